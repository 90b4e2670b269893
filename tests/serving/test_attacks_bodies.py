"""Attacks with bodies: what little JSON or a few bytes of tensor ask for, and words that are nobody's business."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving.attacking import PYTHON_TEXT, bounded_growth, warm_up
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, png, running

INFER = "/v2/models/tiny/infer"
BINARY = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("bodies")
    settings = {"workers": 1, "max_answer_mb": 2.0}
    with running(
        folder, make_package(folder / "package"), "1", "--config-json", json.dumps(settings)
    ) as started:
        warm_up(started)
        yield started


def image(data: Any, shape: Any = (1, 8, 8, 1), **more: Any) -> dict[str, Any]:
    return {"name": "image", "datatype": "UINT8", "shape": list(shape), "data": data, **more}


def features(data: Any, shape: Any = (1, 4), **more: Any) -> dict[str, Any]:
    return {"name": "features", "datatype": "FP32", "shape": list(shape), "data": data, **more}


def inputs(*tensors: Any, **more: Any) -> bytes:
    return json.dumps({"inputs": list(tensors), **more}).encode()


GREY = [9] * 64
LONG = "x" * 80_000
TOP = 2**31 - 1
HOSTILE = {
    "a long string among short ones": inputs(image([LONG, *["y"] * 20_000])),
    "long strings in rows": inputs(image([[LONG, "y"]] * 2 + [["y", "y"]] * 10_000, (10_002, 2, 1, 1))),
    "strings of digits": inputs(image(["9"] * 64)),
    "a long string as a feature": inputs(image(GREY), features([LONG, *[1.5] * 20_000], (1, 20_001))),
    "objects as values": inputs(image([{}] * 1_000_000)),
    "lists as values": inputs(image([[]] * 1_000_000)),
    "lists in lists of other lengths": inputs(image([[1], [1, 2]] * 300_000)),
    "nulls as values": inputs(image([None] * 64)),
    "booleans as values": inputs(image([True] * 64)),
    "fractions as pixels": inputs(image([1.5] * 64)),
    "a number of 4,000 digits": inputs(image([int("9" * 4_000), *[0] * 63])),
    "a number of 5,000 digits": b'{"inputs": [' + b"9" * 5_000 + b"]}",
    "a feature of 400 digits": inputs(image(GREY), features([10**400, 0, 0, 0])),
    "a feature beyond FP32": inputs(image(GREY), features([1e39, 0, 0, 0])),
    "a feature of 1e999": inputs(image(GREY))
    .replace(b'"inputs"', b'"x": 1e999, "inputs"')
    .replace(b"9", b"1e999", 1),
    "a shape that a zero hides": inputs(image([], (TOP, TOP, TOP, 0))),
    "a shape with the zero first": inputs(image([], (0, TOP, TOP, TOP))),
    "a feature shape that a zero hides": inputs(image(GREY), features([], (TOP, TOP, TOP, 0))),
    "a shape of 2^31 - 1": inputs(image([1], (TOP,))),
    "a shape of 2^63": inputs(image([1], (2**63, 1, 1, 1))),
    "a shape whose product overflows": inputs(image([1], (2**16, 2**16, 2**16, 2**16))),
    "a negative shape": inputs(image(GREY, (-1, 8, 8, 1))),
    "a shape of fractions": inputs(image(GREY, (1.0, 8, 8, 1))),
    "a shape of booleans": inputs(image(GREY, (True, 8, 8, 1))),
    "a shape of strings": inputs(image(GREY, ("1", 8, 8, 1))),
    "a shape of 33 dimensions": inputs(image([1], (1,) * 33)),
    "a shape that is an object": inputs({**image(GREY), "shape": {}}),
    "lists in 500 lists": inputs(image(json.loads("[" * 500 + "]" * 500), (1, 1))),
    "lists in 100,000 lists": b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects in 100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "100,000 tensors": inputs(*[image([], (0,))] * 100_000),
    "100,000 outputs": inputs(image(GREY), outputs=[{"name": "class"}] * 100_000),
    "an output that is a list": inputs(image(GREY), outputs=[{"name": ["class"]}]),
    "an output that is an object": inputs(image(GREY), outputs=[{"name": {}}]),
    "a tensor's name that is a list": inputs({**image(GREY), "name": ["image"]}),
    "a datatype that is a list": inputs({**image(GREY), "datatype": ["UINT8"]}),
    "a tensor that is a number": inputs(7),
    "NaN": inputs(image(GREY)).replace(b"9", b"NaN", 1),
    "half of a JSON": inputs(image(GREY))[:-20],
    "UTF-16": inputs(image(GREY)).decode().encode("utf-16"),
    "bytes that are no text": b'{"inputs": "\xff\xfe"}',
    "a byte order mark": b"\xef\xbb\xbf" + inputs(image(GREY)),
    "an empty body": b"",
    "null": b"null",
    "a list": b"[]",
    "8 MB of opened lists": b"[" * 7_900_000,
    "8 MB of empty lists": b'{"inputs": [' + b"[]," * 2_600_000 + b"[]]}",
    "8 MB of zeros": inputs(image([0])).replace(b"[0]", b"[" + b"0," * 3_900_000 + b"0]"),
}


def refused(
    server: RunningServer, body: bytes, headers: dict[str, str] | None = None, path: str = INFER
) -> str:
    status, _, content = server.client.request("POST", path, body, headers)
    said = json.loads(content)
    assert 400 <= status < 500, (status, content[:300])
    assert list(said) == ["error"] and len(content) < 1_000, content[:300]
    assert not any(word in said["error"] for word in PYTHON_TEXT), said
    return str(said["error"])


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_json_is_refused_in_words_and_allocates_little(server: RunningServer, attack: str) -> None:
    body = HOSTILE[attack]
    with bounded_growth(server, 30 + 30 * len(body) / 1e6):
        refused(server, body)
    assert server.client.request("POST", "/predict", png(100))[0] == 200


def framed(header: Any, tail: bytes) -> tuple[bytes, dict[str, str]]:
    head = json.dumps(header).encode()
    return head + tail, {BINARY: str(len(head))}


def raw_image(size: Any, shape: Any = (1, 8, 8, 1)) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(shape)}
    return {"inputs": [{**tensor, "parameters": {"binary_data_size": size}}]}


@pytest.mark.parametrize(
    ("header", "tail"),
    [
        pytest.param(raw_image(64), bytes(63), id="too few bytes"),
        pytest.param(raw_image(64), bytes(65), id="bytes left over"),
        pytest.param(raw_image(2**40), bytes(64), id="a size of a terabyte"),
        pytest.param(raw_image(2**40, (2**10, 2**10, 2**10, 1)), b"", id="a shape of a gigabyte"),
        pytest.param(raw_image(2**40, (2**10, 2**15, 2**15, 1)), b"", id="a shape of a terabyte"),
        pytest.param(raw_image(0, (TOP, TOP, TOP, 0)), b"", id="a shape that a zero hides"),
        pytest.param(raw_image(-64), bytes(64), id="a negative size"),
        pytest.param(raw_image(64.0), bytes(64), id="a size that is a fraction"),
        pytest.param(raw_image(True, (1, 1, 1, 1)), bytes(1), id="a size that is a boolean"),
        pytest.param(raw_image("64"), bytes(64), id="a size that is a string"),
        pytest.param(
            {"inputs": [{**image(GREY), "parameters": {"binary_data_size": 64}}]}, bytes(64), id="data twice"
        ),
        pytest.param({"inputs": [raw_image(64)["inputs"][0]] * 2}, bytes(128), id="a tensor twice"),
        pytest.param(
            {"inputs": [{**raw_image(64)["inputs"][0], "parameters": []}]}, bytes(64), id="parameters a list"
        ),
    ],
)
def test_hostile_binary_tensors_are_refused_in_words(server: RunningServer, header: Any, tail: bytes) -> None:
    with bounded_growth(server, 30):
        refused(server, *framed(header, tail))


@pytest.mark.parametrize(
    "length", ["-1", "0", "+5", "1e3", "99999999999", "999999999999999", "٣", "5, 5", "", "0x10"]
)
def test_hostile_lengths_of_the_binary_header_are_refused(server: RunningServer, length: str) -> None:
    sent = {BINARY: length.encode().decode("latin-1")}
    refused(server, inputs(image(GREY)), sent)


def test_features_that_are_not_finite_are_refused_in_binary_too(server: RunningServer) -> None:
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
    header = {"inputs": [raw_image(64)["inputs"][0], tensor]}
    for bits in (b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\x00\x00\x80\xff"):
        refused(server, *framed(header, bytes(64) + bits * 4))


@pytest.mark.parametrize("outputs", [[], [{"name": "embedding"}], [{"name": "class"}]])
def test_answer_that_would_be_many_times_the_request_is_refused_before_it_is_computed(
    server: RunningServer, outputs: list[Any]
) -> None:
    count = 110_000  # 7 MB of images of 64 bytes
    body, headers = framed({**raw_image(64 * count, (count, 8, 8, 1)), "outputs": outputs}, bytes(64 * count))
    with bounded_growth(server, 60):
        said = refused(server, body, headers)
    assert "at most 2 MB" in said and "images at a time" in said
    most = int(said.rpartition("at most ")[2].split()[0])
    body, headers = framed({**raw_image(64 * most, (most, 8, 8, 1)), "outputs": outputs}, bytes(64 * most))
    status, _, content = server.client.request("POST", INFER, body, headers)
    assert status == 200 and 200_000 < len(content) < 2_000_000


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "gzip"}, {"Content-Encoding": "x" * 8_000}, {"Linnet-Timeout": "nan"},
        {"Linnet-Timeout": "-1"}, {"Linnet-Timeout": "1e999"}, {"Linnet-Entity": "a" * 8_000},
        {"Linnet-Entity": "sample_id=" + "a" * 300}, {"Linnet-Entity": "__class__=x"},
        {"Linnet-Request-Id": "x" * 129}, {"Linnet-Request-Id": "\xe9"}, {"Linnet-Request-Id": ""},
    ],
)  # fmt: skip
def test_hostile_headers_are_refused_in_words(server: RunningServer, headers: dict[str, str]) -> None:
    refused(server, png(100), headers, "/predict")


@pytest.mark.parametrize("path", ["/v2/models/%00/infer", "/v2/models/tiny/versions/%0d%0ax/infer", "/v2/models//infer",
                                  "/v2/models/tiny/versions/../infer", "/v2/models/" + "a" * 9_000 + "/infer",
                                  "/v2/models/tiny/versions/%ff/infer", "/%0d%0aSet-Cookie:a"])  # fmt: skip
def test_hostile_names_in_paths_are_refused_in_words(server: RunningServer, path: str) -> None:
    status, headers, content = server.client.request("POST", path, png(100))
    assert status == 404 and len(content) < 1_000 and "set-cookie" not in headers
    assert not any(word in content.decode() for word in PYTHON_TEXT)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/admin/versions/2", {"package": "\0"}), ("PUT", "/admin/versions/2", {"package": "\ud800"}),
        ("PUT", "/admin/versions/2", {"package": "/etc"}), ("PUT", "/admin/versions/2", {"package": "x" * 9_000}),
        ("PUT", "/admin/versions/2", {"package": ["a"]}), ("PUT", "/admin/versions/" + "v" * 65, {"package": "/"}),
        ("PUT", "/admin/versions/a%0d%0ab", {"package": "/"}), ("PUT", "/admin/versions/2", []),
        ("PUT", "/admin/routes", {"champion": ["1"]}), ("PUT", "/admin/routes", {"champion": "1", "percent": 1e999}),
        ("PUT", "/admin/routes", {"champion": "1", "percent": "5"}), ("PUT", "/admin/routes", []),
        ("PUT", "/admin/routes", {"champion": "\ud800"}), ("PUT", "/admin/routes", {"champion": "1", "candidate": "1"}),
        ("GET", "/admin/records?after=" + "9" * 30, None), ("GET", "/admin/records?after=1e3", None),
        ("GET", "/admin/records?limit=%d9%a3", None), ("POST", "/v2/repository/models/tiny/load", {"parameters": []}),
        ("POST", "/v2/repository/models/tiny/load", {"parameters": {"version": 3}}),
        ("POST", "/v2/repository/index", {"ready": "yes"}), ("DELETE", "/admin/versions/none", None),
        ("POST", "/v2/repository/models/other/unload", {}), ("DELETE", "/admin/versions/1", None),
    ],
)  # fmt: skip
def test_hostile_words_of_an_operator_are_refused_in_words(
    server: RunningServer, method: str, path: str, body: Any
) -> None:
    sent = b"" if body is None else json.dumps(body).replace("Infinity", "1e999").encode()
    headers = {"Authorization": f"Bearer {server.state.token}"}
    status, _, content = server.client.request(method, path, sent, headers)
    said = json.loads(content)["error"]
    assert 400 <= status < 500 and len(content) < 1_000, content[:300]
    assert not any(word in said for word in PYTHON_TEXT), said
    assert server.client.routes()["champion"] == "1"
