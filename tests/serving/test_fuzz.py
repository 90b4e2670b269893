"""Schema-driven fuzzing of every route of the model server, and a grammar for binary tensors."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fuzzing import Fuzzer, Sent, counts, requests_of
from tests.serving.attacking import memory_mb, warm_up
from tests.serving.packages import CLASSES, make_package
from tests.serving.running import RunningServer, png, running

SPEC: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "linnet" / "serving" / "openapi.json").read_text()
)
# Who may take the model or its version away may, and then nothing is left to ask.
for _item in SPEC["paths"].values():
    _item.pop("delete", None)
del SPEC["paths"]["/v2/repository/models/{model}/unload"]
BINARY = [1_000, pytest.param(100_000, marks=[pytest.mark.proof, pytest.mark.timeout(4 * 3600)])]
MOST_GROWTH_MB = 120.0
"""Of all processes together: the ring of served records and remembered labels fill up to their bounds."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("fuzz")
    with running(folder, make_package(folder / "package"), "1", "--workers", "1") as started:
        warm_up(started)
        yield started


def known(parameters: dict[str, Any], draw: random.Random) -> None:
    """Most requests are for the model and the version that are there."""
    for name, value in (("model", "tiny"), ("version", "1")):
        if name in parameters and draw.random() < 0.8:
            parameters[name] = value


def serves(server: RunningServer) -> None:
    routes = server.client.routes()
    if routes["champion"] != "1":  # a fuzzed table may say otherwise, as its sender had the token
        server.client.set_routes("1")
    assert server.client.predict(png(200))["version"] == "1"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("count", "part"), counts())
def test_no_request_makes_the_server_fail_grow_or_speak_python(
    server: RunningServer, count: int, part: int
) -> None:
    token = {"Authorization": f"Bearer {server.state.token}"}
    stranger, operator = Fuzzer(server.state.url), Fuzzer(server.state.url, token)
    before = memory_mb(server)
    for number, one in enumerate(requests_of(SPEC, count, part, known)):
        fuzzer = operator if number % 4 < 2 else stranger
        fuzzer.send(one)
        if number % 200 == 0:
            serves(server)
    faults = stranger.faults + operator.faults
    print(stranger.statuses + operator.statuses, f"{memory_mb(server) - before:.0f} MB more")
    assert not faults, f"{len(faults)} faults: " + "\n".join(faults[:10])
    found = stranger.statuses + operator.statuses
    assert sum(found.values()) >= count and found[200] and found[400] and found[401] and found[404], found
    assert memory_mb(server) - before < MOST_GROWTH_MB
    serves(server)
    stranger.close()
    operator.close()


def binary_requests(count: int, number: int) -> Iterator[tuple[Sent, Any]]:
    """Binary infer requests by a grammar, with what a right one must be answered (None: it may be refused).

    request := json tensor*; a tensor of N images with features or without; any part may be wrong in one
    way of many: shape, datatype, size, name, order, the header's length, bytes too few, too many or swapped.
    """
    draw = random.Random(number)
    for _ in range(count):
        images = draw.choice([1, 1, 1, 2, 3, 7, 40])
        pixels = draw.randbytes(images * 64)
        tensors = [{"name": "image", "datatype": "UINT8", "shape": [images, 8, 8, 1]}]
        parts = [pixels]
        if draw.random() < 0.4:
            width = draw.choice([len_features(), 4, 1])
            tensors.append({"name": "features", "datatype": "FP32", "shape": [images, width]})
            parts.append(np.asarray([draw.gauss(0, 1) for _ in range(images * width)], "<f4").tobytes())
        for tensor, part in zip(tensors, parts, strict=True):
            tensor["parameters"] = {"binary_data_size": len(part)}
        right = draw.random() < 0.3 and len(parts) == 1
        document: dict[str, Any] = {"inputs": tensors}
        if draw.random() < 0.5:
            document["parameters"] = {"binary_data_output": draw.random() < 0.7}
        if not right:
            _break(draw, tensors, parts, document)
        head = json.dumps(document).encode()
        length = str(len(head))
        if not right and draw.random() < 0.3:
            length = draw.choice(
                ["0", "-1", str(len(head) + 1), str(len(head) - 1), "9" * 20, "", "x", " 5", "1e2"]
            )
        headers = {"Inference-Header-Content-Length": length}
        yield (
            Sent("POST", "/v2/models/tiny/infer", headers, head + b"".join(parts)),
            images if right else None,
        )


def len_features() -> int:
    from linnet.vision.statistics import FEATURES

    return len(FEATURES)


def _break(draw: random.Random, tensors: list[Any], parts: list[bytes], document: dict[str, Any]) -> None:
    numbers = [0, -1, 1, 2**31 - 1, 2**31, 2**63, 1.5, True, None, "8", [], {}, 1e300]
    for _ in range(draw.randint(1, 3)):
        which = draw.randrange(len(tensors))
        tensor, kind = tensors[which], draw.randrange(10)
        if kind == 0:
            shape = tensor["shape"] if isinstance(tensor.get("shape"), list) else [1]
            tensor["shape"] = [draw.choice(numbers) if draw.random() < 0.4 else part for part in shape]
        elif kind == 1:
            tensor["shape"] = draw.choice([*numbers, [], [1] * 9, [2**31 - 1] * 3 + [0], [2**16] * 4])
        elif kind == 2:
            tensor["datatype"] = draw.choice(["FP32", "UINT8", "BYTES", "INT64", "", *numbers])
        elif kind == 3:
            tensor["parameters"] = draw.choice([{"binary_data_size": draw.choice(numbers)}, *numbers])
        elif kind == 4:
            parts[which] = parts[which][: draw.randrange(len(parts[which]) + 1)]
        elif kind == 5:
            parts[which] += draw.randbytes(draw.randint(1, 70))
        elif kind == 6:
            tensor["name"] = draw.choice(["features", "image", "images", "", *numbers])
        elif kind == 7:
            parts.reverse()
        elif kind == 8:
            wanted = [
                {"name": draw.choice(["class", "embedding", "probabilities", "x", *numbers])}
                for _ in range(3)
            ]
            document["outputs"] = draw.choice([wanted, wanted[:1], *numbers])
        else:
            tensor["data"] = draw.choice([[1] * 64, *numbers])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", BINARY)
def test_binary_tensors_by_the_grammar_are_answered_or_refused(server: RunningServer, count: int) -> None:
    fuzzer, before = Fuzzer(server.state.url), memory_mb(server)
    for one, images in binary_requests(count, count):
        status, content = fuzzer.send(one)
        assert status in (200, 400, 413), (status, one, content[:300])
        if images is not None:
            end = content.index(b"}]}") + 3 if b"}]}" in content else len(content)
            shapes = [output["shape"] for output in json.loads(content[:end])["outputs"]]
            assert status == 200 and all(shape[0] == images for shape in shapes)
    print(fuzzer.statuses, f"{memory_mb(server) - before:.0f} MB more")
    assert not fuzzer.faults, fuzzer.faults[:5]
    assert fuzzer.statuses[200] > count / 10 and fuzzer.statuses[400] > count / 10
    assert memory_mb(server) - before < MOST_GROWTH_MB
    serves(server)
    fuzzer.close()


def test_classes_of_the_model_are_what_labels_may_be(server: RunningServer) -> None:
    """A fuzzer that never says a right label proves little: said once, rightly."""
    body = json.dumps({"request_id": "fuzz", "label": CLASSES[0]}).encode()
    assert server.client.request("POST", "/feedback", body)[0] == 200
