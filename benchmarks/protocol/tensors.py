"""Right infer requests: JSON and binary tensors, batches, outputs that are asked for, ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.protocol.target import HEAD, Case, Target, outputs_of, same

BATCHES = (1, 2, 3, 5, 17)
IDS = ("1", "a-b.c_d", "0" * 64, "with space", "ünïcode ✓", '"quoted"\\')


def cases() -> list[Case]:
    return [*_answers(), *_batches(), *_ids(), *_outputs(), *_binary(), *_tolerated()]


def _answers() -> list[Case]:
    def has(name: str, right: Callable[[Any, Target], bool]) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            value = target.infer(target.document()).json().get(name)
            assert right(value, target), f"{name} is {value!r:.120}"

        return check

    def kind(target: Target) -> None:
        assert "json" in target.infer(target.document()).headers["content-type"]

    def again(target: Target) -> None:
        first, second = (outputs_of(target.infer(target.document())) for _ in range(2))
        assert all(np.array_equal(first[name], second[name]) for name in first), "not the same twice"

    def nested(target: Target) -> None:
        same(
            outputs_of(target.infer(target.document(3))),
            outputs_of(target.infer(target.document(3, nested=True))),
        )

    def of_version(target: Target) -> None:
        version = target.metadata()["versions"][0]
        reply = target.infer(target.document(), path=f"/versions/{version}/infer")
        outputs_of(reply)
        assert reply.json().get("model_version") == version

    def declared(target: Target) -> None:
        described = {one["name"]: one for one in target.metadata()["outputs"]}
        for output in target.infer(target.document()).json()["outputs"]:
            assert output["datatype"] == described[output["name"]]["datatype"], output["name"]

    def shaped(target: Target) -> None:
        described = {one["name"]: one["shape"] for one in target.metadata()["outputs"]}
        for name, values in outputs_of(target.infer(target.document())).items():
            wanted = described[name]
            fits = all(n in (-1, m) for n, m in zip(wanted, values.shape, strict=True))
            assert fits, f"{name}: {values.shape} against {wanted}"

    return [
        Case("infer", "model_name", has("model_name", lambda v, t: bool(v == t.model))),
        Case("infer", "model_version", has("model_version", lambda v, _: isinstance(v, str))),
        Case("infer", "outputs", has("outputs", lambda v, _: isinstance(v, list) and len(v) > 0)),
        Case("infer", "content type", kind),
        Case("infer", "the same answer twice", again),
        Case("infer", "nested and flat data mean the same", nested),
        Case("infer", "of a version", of_version),
        Case("infer", "datatypes are the declared ones", declared),
        Case("infer", "shapes are the declared ones", shaped),
    ]


def _batches() -> list[Case]:
    def batch(rows: int) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            for name, values in outputs_of(target.infer(target.document(rows))).items():
                assert len(values) == rows, f"{name}: {len(values)} rows"

        return check

    def alone(target: Target) -> None:
        document = target.document(4)
        together = outputs_of(target.infer(document))
        for row, one in enumerate(_rows(target, 4)):
            found = outputs_of(target.infer(one))
            same(found, {name: values[row : row + 1] for name, values in together.items()})

    found = [Case("batch", f"of {rows}", batch(rows)) for rows in BATCHES]
    return [*found, Case("batch", "a row's answer does not depend on the others", alone)]


def _rows(target: Target, rows: int) -> list[dict[str, Any]]:
    arrays, document = target.arrays(rows), target.document(rows)
    split = []
    for row in range(rows):
        tensors = [
            {
                **tensor,
                "shape": [1, *tensor["shape"][1:]],
                "data": arrays[tensor["name"]][row].ravel().tolist(),
            }
            for tensor in document["inputs"]
        ]
        split.append({"inputs": tensors})
    return split


def _ids() -> list[Case]:
    def echo(given: str) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            found = target.infer(target.document(id=given)).json().get("id")
            assert found == given, f"id {found!r}"

        return check

    def echo_binary(target: Target) -> None:
        body, headers = target.binary(id="in-binary")
        reply = target.infer(body, headers)
        length = reply.headers.get(HEAD.lower())
        head = reply.body if length is None else reply.body[: int(length)]
        assert b'"in-binary"' in head

    return [
        *(Case("id", f"{given:.12} comes back", echo(given)) for given in IDS),
        Case("id", "comes back from a binary request", echo_binary),
    ]


def _outputs() -> list[Case]:
    def each_alone(target: Target) -> None:
        for output in target.metadata()["outputs"]:
            reply = target.infer(target.document(outputs=[{"name": output["name"]}]))
            assert [one["name"] for one in reply.json()["outputs"]] == [output["name"]]

    def ordered(target: Target) -> None:
        names = [one["name"] for one in target.metadata()["outputs"]][::-1]
        reply = target.infer(target.document(outputs=[{"name": name} for name in names]))
        found = [one["name"] for one in reply.json()["outputs"]]
        assert sorted(found) == sorted(names), found

    def everything(target: Target) -> None:
        found = {one["name"] for one in target.infer(target.document()).json()["outputs"]}
        assert found == {one["name"] for one in target.metadata()["outputs"]}, found

    return [
        Case("outputs", "each one alone", each_alone),
        Case("outputs", "all by name", ordered),
        Case("outputs", "all when none is named", everything),
    ]


def _binary() -> list[Case]:
    def sent(rows: int, as_json: int = 0) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            body, headers = target.binary(rows, as_json=as_json)
            same(outputs_of(target.infer(body, headers)), outputs_of(target.infer(target.document(rows))))

        return check

    def received(rows: int) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            reply = target.infer(target.document(rows, parameters={"binary_data_output": True}))
            assert HEAD.lower() in reply.headers, "the answer has no binary data"
            same(outputs_of(reply), outputs_of(target.infer(target.document(rows))))

        return check

    def one_output(target: Target) -> None:
        name = _numeric(target)
        asked = [{"name": name, "parameters": {"binary_data": True}}]
        reply = target.infer(target.document(outputs=asked))
        assert HEAD.lower() in reply.headers and set(outputs_of(reply)) == {name}

    def overridden(target: Target) -> None:
        asked = [{"name": _numeric(target), "parameters": {"binary_data": False}}]
        reply = target.infer(target.document(outputs=asked, parameters={"binary_data_output": True}))
        assert HEAD.lower() not in reply.headers and "data" in reply.json()["outputs"][0]

    def both(target: Target) -> None:
        body, headers = target.binary(2, parameters={"binary_data_output": True})
        same(outputs_of(target.infer(body, headers)), outputs_of(target.infer(target.document(2))))

    def kind(target: Target) -> None:
        reply = target.infer(target.document(parameters={"binary_data_output": True}))
        assert reply.headers["content-type"] == "application/octet-stream", reply.headers["content-type"]

    def json_head(target: Target) -> None:
        body, headers = target.binary()
        headers["Content-Type"] = "application/json"  # as some clients say
        outputs_of(target.infer(body, headers))

    def whole(target: Target) -> None:
        document = target.document()
        import json

        outputs_of(target.infer(document, {HEAD: str(len(json.dumps(document).encode()))}))

    def chunked(target: Target) -> None:
        body, headers = target.binary(2)
        parts = iter([body[i : i + 1000] for i in range(0, len(body), 1000)])
        outputs_of(target.infer(parts, headers | {"Transfer-Encoding": "chunked"}))

    return [
        *(Case("binary", f"inputs, batch of {rows}", sent(rows)) for rows in BATCHES),
        *(Case("binary", f"outputs, batch of {rows}", received(rows)) for rows in BATCHES),
        Case("binary", "some inputs binary, some JSON", sent(2, as_json=1)),
        Case("binary", "one output", one_output),
        Case("binary", "one output as JSON against the request's default", overridden),
        Case("binary", "inputs and outputs", both),
        Case("binary", "content type of the answer", kind),
        Case("binary", "content type JSON", json_head),
        Case("binary", "a header length that is the whole body", whole),
        Case("binary", "chunked", chunked),
    ]


def _numeric(target: Target) -> str:
    return str(next(one["name"] for one in target.metadata()["outputs"] if one["datatype"] != "BYTES"))


def _tolerated() -> list[Case]:
    def with_fields(**more: Any) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            outputs_of(target.infer(target.document(**more)))

        return check

    def input_parameters(target: Target) -> None:
        document = target.document()
        document["inputs"][0]["parameters"] = {"my_own": 1}
        outputs_of(target.infer(document))

    def kind(given: str) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            outputs_of(target.infer(target.document(), {"Content-Type": given}))

        return check

    return [
        Case("tolerated", "parameters of the request", with_fields(parameters={"my_own": "x"})),
        Case("tolerated", "parameters that are empty", with_fields(parameters={})),
        Case("tolerated", "outputs that are empty", with_fields(outputs=[])),
        Case("tolerated", "parameters of an input", input_parameters),
        Case("tolerated", "content type with a charset", kind("application/json; charset=utf-8")),
    ]
