"""Wrong infer requests: each is refused with a 4xx and {"error"}, and the server goes on."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from benchmarks.protocol.target import HEAD, Case, Target, outputs_of, refused, with_head

Change = Callable[[dict[str, Any]], Any]


def cases() -> list[Case]:
    return [*_documents(), *_tensors(), *_bodies(), *_binary(), Case("wrong", "and it still answers", _alive)]


def _alive(target: Target) -> None:
    outputs_of(target.infer(target.document()))


def _without(name: str) -> Change:
    return lambda values: values.pop(name)


def _with(**more: Any) -> Change:
    return lambda values: values.update(more)


def _documents() -> list[Case]:
    """A field of the request is wrong."""

    def case(name: str, change: Change) -> Case:
        def check(target: Target) -> None:
            document = copy.deepcopy(target.document())
            change(document)
            refused(target.infer(document))

        return Case("wrong request", name, check)

    return [
        case("without inputs", _without("inputs")),
        case("inputs: empty", _with(inputs=[])),
        case("inputs: an object", _with(inputs={})),
        case("inputs: null", _with(inputs=None)),
        case("inputs: texts", _with(inputs=["image"])),
        case("inputs: numbers", _with(inputs=[1, 2])),
        case("an input too few", lambda d: d["inputs"].pop(0)),
        case("an input twice", lambda d: d["inputs"].append(d["inputs"][0])),
        case(
            "an input that the model has not",
            lambda d: d["inputs"].append({**d["inputs"][0], "name": "other"}),
        ),
        case("id: a number", _with(id=7)),
        case("id: a list", _with(id=["7"])),
        case("outputs: an object", _with(outputs={})),
        case("outputs: one that the model has not", _with(outputs=[{"name": "no-such-output"}])),
        case("outputs: without a name", _with(outputs=[{}])),
        case("parameters: a list", _with(parameters=[])),
    ]


def _tensors() -> list[Case]:
    """A field of the first input is wrong."""

    def case(name: str, change: Change) -> Case:
        def check(target: Target) -> None:
            document = copy.deepcopy(target.document(2))
            change(document["inputs"][0])
            refused(target.infer(document))

        return Case("wrong tensor", name, check)

    def shape(change: Callable[[list[int]], list[Any]]) -> Change:
        return lambda tensor: tensor.update(shape=change(tensor["shape"]))

    return [
        case("without a name", _without("name")),
        case("without a shape", _without("shape")),
        case("without a datatype", _without("datatype")),
        case("without data", _without("data")),
        case("name: a number", _with(name=3)),
        case("datatype: unknown", _with(datatype="FP33")),
        case("datatype: a number", _with(datatype=8)),
        case("datatype: BYTES with numbers", _with(datatype="BYTES")),
        case("shape: a number", _with(shape=4)),
        case("shape: empty", _with(shape=[])),
        case("shape: a dimension too many", shape(lambda s: [*s, 1, 1])),
        case("shape: a dimension too few", shape(lambda s: [s[0], *s[2:]] if len(s) > 2 else s[:1])),
        case("shape: negative", shape(lambda s: [-s[0], *s[1:]])),
        case("shape: a text", shape(lambda s: [str(s[0]), *s[1:]])),
        case("shape: a fraction", shape(lambda s: [s[0] + 0.5, *s[1:]])),
        case("shape: null", shape(lambda s: [None, *s[1:]])),
        case("shape: another size", shape(lambda s: [s[0], s[1] + 1, *s[2:]])),
        case("shape: overflows 64 bits", shape(lambda s: [1 << 33, 1 << 33, *s[2:]])),
        case("shape: terabytes", shape(lambda s: [1 << 40, *s[1:]])),
        case("data: a value too few", lambda t: t["data"].pop()),
        case("data: a value too many", lambda t: t["data"].append(1)),
        case("data: empty", _with(data=[])),
        case("data: a text", _with(data="0123")),
        case("data: null", _with(data=None)),
        case("data: an object", _with(data={})),
        case("data: texts", lambda t: t.update(data=["x"] * len(t["data"]))),
        case("data: nulls", lambda t: t.update(data=[None] * len(t["data"]))),
        case("data: ragged", lambda t: t.update(data=[t["data"][:3], t["data"][3:]])),
        case("data: a number of 400 digits", lambda t: t["data"].__setitem__(0, 10**400)),
    ]


def _bodies() -> list[Case]:
    """The body is no request at all."""

    def case(name: str, make: Callable[[Target], bytes], *statuses: int, **headers: str) -> Case:
        def check(target: Target) -> None:
            sent = {key.replace("_", "-"): value for key, value in headers.items()}
            refused(target.infer(make(target), sent), *(statuses or (400,)))

        return Case("wrong body", name, check)

    def text(target: Target) -> bytes:
        return json.dumps(target.document()).encode()

    def with_literal(literal: str) -> Callable[[Target], bytes]:
        def make(target: Target) -> bytes:
            document = target.document()
            document["inputs"][-1]["data"][0] = "LITERAL"
            return json.dumps(document).replace('"LITERAL"', literal).encode()

        return make

    return [
        case("empty", lambda _: b""),
        case("not JSON", lambda _: b"inputs=1&x=2"),
        case("cut off", lambda t: text(t)[:-20]),
        case("followed by something", lambda t: text(t) + b"}"),
        case("a list", lambda _: b"[]"),
        case("a text", lambda _: b'"inputs"'),
        case("null", lambda _: b"null"),
        case("not UTF-8", lambda _: b'{"id": "\xff\xfe", "inputs": []}'),
        case("100,000 brackets", lambda _: b'{"inputs":' + b"[" * 100_000),
        case("100,000 objects", lambda _: b'{"a":' * 100_000),
        case("NaN", with_literal("NaN")),
        case("Infinity", with_literal("Infinity")),
        case("an encoding that nobody knows", text, 400, 415, Content_Encoding="no-such"),
        case("an image", lambda _: b"\x89PNG\r\n\x1a\n" + bytes(100), 400, 415, Content_Type="image/png"),
    ]


def _binary() -> list[Case]:
    """The binary extension used wrongly."""

    def case(name: str, make: Callable[[Target], tuple[bytes, dict[str, str]]]) -> Case:
        def check(target: Target) -> None:
            refused(target.infer(*make(target)))

        return Case("wrong binary", name, check)

    def length(change: Callable[[int, int], str]) -> Callable[[Target], tuple[bytes, dict[str, str]]]:
        def make(target: Target) -> tuple[bytes, dict[str, str]]:
            body, headers = target.binary()
            return body, headers | {HEAD: change(int(headers[HEAD]), len(body))}

        return make

    def size(change: Callable[[int], Any]) -> Callable[[Target], tuple[bytes, dict[str, str]]]:
        def make(target: Target) -> tuple[bytes, dict[str, str]]:
            body, headers = target.binary()
            document = json.loads(body[: int(headers[HEAD])])
            parameters = document["inputs"][0]["parameters"]
            parameters["binary_data_size"] = change(parameters["binary_data_size"])
            return with_head(document, body[int(headers[HEAD]) :])

        return make

    def cut(target: Target) -> tuple[bytes, dict[str, str]]:
        body, headers = target.binary()
        return body[:-1], headers

    def more(target: Target) -> tuple[bytes, dict[str, str]]:
        body, headers = target.binary()
        return body + b"\0", headers

    def undeclared(target: Target) -> tuple[bytes, dict[str, str]]:
        body, headers = target.binary()
        return body, {"Content-Type": headers["Content-Type"]}

    def no_size(target: Target) -> tuple[bytes, dict[str, str]]:
        body, headers = target.binary()
        document = json.loads(body[: int(headers[HEAD])])
        del document["inputs"][0]["parameters"]
        return with_head(document, body[int(headers[HEAD]) :])

    return [
        case("header length: beyond the body", length(lambda _, whole: str(whole + 1))),
        case("header length: one too short", length(lambda head, _: str(head - 1))),
        case("header length: one too long", length(lambda head, _: str(head + 1))),
        case("header length: zero", length(lambda *_: "0")),
        case("header length: negative", length(lambda *_: "-1")),
        case("header length: a text", length(lambda *_: "many")),
        case("header length: of 30 digits", length(lambda *_: "9" * 30)),
        case("data size: one too small", size(lambda n: n - 1)),
        case("data size: one too large", size(lambda n: n + 1)),
        case("data size: negative", size(lambda _: -1)),
        case("data size: a text", size(str)),
        case("data size: missing", no_size),
        case("a byte too few", cut),
        case("a byte too many", more),
        case("without the header", undeclared),
    ]
