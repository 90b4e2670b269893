"""Open Inference Protocol v2: what is parsed, what is refused, and the binary extension."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from linnet.errors import RequestRejected
from linnet.serving.predictor import Prediction
from linnet.serving.protocol import format_answer, parse_request
from linnet.tasks.answer import answer_of


def image(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "image", "shape": [1, 2, 2, 1], "datatype": "UINT8", "data": [0, 1, 2, 255]}
    return {key: value for key, value in (tensor | changes).items() if value is not ...}


def body(*inputs: Any, **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs)} | more).encode()


def test_flat_and_nested_data_are_the_same() -> None:
    flat = parse_request(body(image()), None).images
    nested = parse_request(body(image(data=[[[[0], [1]], [[2], [255]]]])), None).images
    assert flat.dtype == np.uint8 and flat.shape == (1, 2, 2, 1)
    assert np.array_equal(flat, nested)


def test_features_and_outputs_are_taken() -> None:
    features = {"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1, 0.5]}
    request = parse_request(body(image(), features, id="a", outputs=[{"name": "class"}]), None)
    assert request.id == "a" and request.outputs == ("class",)
    assert request.features is not None and request.features.tolist() == [[1.0, 0.5]]


BAD = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b"[]", "JSON object"),
    (b"[" * 200_000, "nested too deeply"),
    (b'{"inputs": [{"name": "image", "x": NaN}]}', "NaN is not JSON"),
    (b"{}", "inputs"),
    (body(), "inputs"),
    (body(3), "name image or features"),
    (body({"name": "x"}), "name image or features"),
    (body(image(), image()), "duplicate"),
    (body(image(), id=7), "id"),
    (body(image(), parameters=[]), "parameters"),
    (body(image(), outputs={}), "outputs"),
    (body(image(), outputs=[{"name": "nope"}]), "outputs"),
    (body(image(), outputs=[{"name": "class"}, {"name": "class"}]), "outputs"),
    (body(image(datatype="INT8")), "datatype must be UINT8"),
    (body(image(datatype=...)), "datatype"),
    (body(image(shape=...)), "shape"),
    (body(image(shape=[])), "shape"),
    (body(image(shape=[1, 2, 2, -1])), "shape"),
    (body(image(shape=[1, 2, 2, True])), "shape"),
    (body(image(shape=[1, 2, 2, 1.0])), "shape"),
    (body(image(shape=[1 << 30, 1 << 30, 1 << 30, 1])), "too large"),
    (body(image(shape=[1, 2, 2, 2])), "another number"),
    (body(image(shape=[4])), r"\[N, H, W, C\]"),
    (body(image(shape=[0, 2, 2, 1], data=[])), "N of at least 1"),
    (body(image(data=...)), "data must be a list"),
    (body(image(data="abcd")), "data must be a list"),
    (body(image(data=[0, 1, 2, 256])), "0 to 255"),
    (body(image(data=[0, 1, 2, -1])), "0 to 255"),
    (body(image(data=[0, 1, 2, 1.5])), "0 to 255"),
    (body(image(data=[0, 1, 2, 10**30])), "0 to 255"),
    (body(image(data=[0, 1, 2, "3"])), "0 to 255"),
    (body(image(data=[True, False, True, True])), "0 to 255"),
    (body(image(data=[0, 1, 2, None])), "0 to 255"),
    (body(image(data=[[0, 1], [2]])), "ragged"),
    (body(image(data=[[0, 1, 2, 3]])), "nested as"),
    (body(image(parameters={"binary_data_size": 4}, data=...)), "Inference-Header-Content-Length"),
    (body(image(), {"name": "features", "shape": [1], "datatype": "FP32", "data": [1e39]}), "finite"),
]


@pytest.mark.parametrize(("data", "problem"), BAD, ids=range(len(BAD)))
def test_wrong_request_is_refused_with_its_reason(data: bytes, problem: str) -> None:
    with pytest.raises(RequestRejected, match=problem) as caught:
        parse_request(data, None)
    assert caught.value.status == 400


def binary(raw: bytes, size: int, **changes: Any) -> tuple[bytes, int]:
    head = body(image(data=..., parameters={"binary_data_size": size}, **changes))
    return head + raw, len(head)


def test_binary_tensor_is_read_as_it_lies() -> None:
    data, head = binary(bytes([0, 1, 2, 255]), 4)
    assert parse_request(data, head).images.ravel().tolist() == [0, 1, 2, 255]


@pytest.mark.parametrize(
    ("raw", "size", "problem"), [(b"abc", 4, "are left"), (b"abcde", 4, "follow"), (b"abcde", 5, "must be 4")]
)
def test_binary_tensor_of_wrong_size_is_refused(raw: bytes, size: int, problem: str) -> None:
    with pytest.raises(RequestRejected, match=problem):
        parse_request(*binary(raw, size))


@pytest.mark.parametrize("length", [0, 10**6])
def test_header_length_beyond_the_body_is_refused(length: int) -> None:
    with pytest.raises(RequestRejected, match="does not fit"):
        parse_request(body(image()), length)


def test_answer_in_json_and_in_bytes_says_the_same() -> None:
    one = np.array([[0.25, 0.75]], np.float32)
    prediction = Prediction(np.zeros((1, 2, 2, 1), np.uint8), one, one, one + 1)
    plain = parse_request(body(image(), id="x"), None)
    text, none = format_answer("m", "1", plain, prediction, answer_of("classification", ("a", "b")))
    answer = json.loads(text)
    assert none is None and answer["id"] == "x" and answer["model_version"] == "1"
    data = {output["name"]: output["data"] for output in answer["outputs"]}
    assert data == {"probabilities": [0.25, 0.75], "embedding": [1.25, 1.75], "class": ["b"]}
    wanted = parse_request(body(image(), parameters={"binary_data_output": True}), None)
    raw, head = format_answer("m", "1", wanted, prediction, answer_of("classification", ("a", "b")))
    assert head is not None
    assert np.frombuffer(raw[head:], "<f4").tolist() == [0.25, 0.75, 1.25, 1.75]
