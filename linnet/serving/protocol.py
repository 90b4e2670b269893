"""Open Inference Protocol v2, REST: requests parsed strictly, answers formatted.

Follows the protocol's published specification (KServe, "Open Inference Protocol (V2)") with the
binary tensor data extension: with the header `Inference-Header-Content-Length: L` the first L bytes
are the JSON, and each binary tensor follows as raw little-endian values in the order of the inputs.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.artifacts.onnx_model import EMBEDDING, Floats, Images
from linnet.errors import RequestRejected
from linnet.records import ModelPackage
from linnet.serving.predictor import Prediction
from linnet.serving.protocol_json import parse_json
from linnet.tasks.answer import Answer, answer_of_package
from linnet.vision.preprocessing import parameters_of

_DTYPES: dict[str, tuple[str, Any]] = {"image": ("UINT8", np.uint8), "features": ("FP32", np.float32)}
OTHER_OUTPUTS = (EMBEDDING, "class")
"""Besides the one of the model's task."""
MAX_SIZE = 1 << 31
"""No dimension, and no product of the dimensions that are not 0, is as large as this."""
MAX_DIMENSIONS = 8
_VALUE_BYTES = 20
"""A float in JSON, its comma included, takes about this much; in a binary tensor it takes 4."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A parsed request: image uint8 [N, H, W, C], features float32 [N, F] or None, outputs wanted."""

    id: str | None
    images: Images
    features: Floats | None
    outputs: tuple[str, ...]
    binary: frozenset[str]
    """Outputs that are answered as raw bytes."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """The request's own, such as its segments."""


def parse_request(body: bytes, header_length: int | None, output: str = "probabilities") -> InferRequest:
    """Parses an infer request; `header_length`: of the JSON, if binary tensors follow it.

    `output`: what the model calls its answers.

    Raises:
        RequestRejected: 400, with the field and what is wrong with it.
    """
    if header_length is not None and not 0 < header_length <= len(body):
        raise _wrong(
            f"Inference-Header-Content-Length: {header_length} does not fit the body of {len(body)} bytes"
        )
    document = parse_json(body if header_length is None else body[:header_length])
    if not isinstance(document, dict):
        raise _wrong("the body must be a JSON object with `inputs`")
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise _wrong("id: must be a string")
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise _wrong("inputs: must be a list with a tensor named image")
    binary = memoryview(body)[header_length:] if header_length is not None else None
    tensors: dict[str, npt.NDArray[Any]] = {}
    for tensor in inputs:
        name, values, binary = _tensor(tensor, binary)
        if name in tensors:
            raise _wrong(f"input {name}: duplicate name")
        tensors[name] = values
    if binary is not None and len(binary):
        raise _wrong(f"{len(binary)} bytes follow the last binary tensor")
    if "image" not in tensors:
        raise _wrong("inputs: the tensor image is missing")
    images = tensors["image"]
    if images.ndim != 4 or len(images) == 0:
        raise _wrong(
            f"input image: its shape must be [N, H, W, C] with N of at least 1, not {list(images.shape)}"
        )
    outputs, as_bytes = _outputs(document, (output, *OTHER_OUTPUTS))
    return InferRequest(
        request_id, images, tensors.get("features"), outputs, as_bytes, document.get("parameters") or {}
    )


def check_answer(request: InferRequest, output: int, embedding: int, limit: int) -> None:
    """Whether the answer fits into `limit` bytes; `output`, `embedding`: their values an image.

    A row of a few bytes may ask for thousands of values: what an answer takes is known before the model runs.

    Raises:
        RequestRejected: 413, it does not.
    """
    each = {EMBEDDING: embedding, "class": 1}
    row = sum(
        each.get(name, output) * (4 if name in request.binary else _VALUE_BYTES) for name in request.outputs
    )
    if row * len(request.images) > limit:
        raise RequestRejected(
            413,
            f"the answer to {len(request.images)} images would take about "
            f"{row * len(request.images) / 1e6:.0f} MB, at most {limit / 1e6:g} MB are sent: "
            f"send at most {limit // row} images at a time, or ask for fewer `outputs`",
        )


def format_answer(
    model: str, version: str, request: InferRequest, prediction: Prediction, answer: Answer
) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON if binary tensors follow it."""
    outputs: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name in request.outputs:
        if name == "class":
            names = answer.labels(prediction.output)
            outputs.append({"name": name, "datatype": "BYTES", "shape": [len(names)], "data": names})
            continue
        values = prediction.embedding if name == EMBEDDING else prediction.output
        output: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(values.shape)}
        if name in request.binary:
            raw.append(np.ascontiguousarray(values, "<f4").tobytes())
            output["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            output["data"] = values.ravel().tolist()
        outputs.append(output)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if request.id is not None:
        document["id"] = request.id
    head = json.dumps(document, separators=(",", ":")).encode()
    return (head + b"".join(raw), len(head)) if raw else (head, None)


def model_metadata(
    model: str, versions: list[str], package: ModelPackage, embedding: int = -1
) -> dict[str, Any]:
    """The protocol's model metadata; -1 is a free dimension."""
    image = [-1, package.height, package.width, package.channels]
    answer = answer_of_package(package)
    return {
        "name": model,
        "versions": versions,
        "platform": "onnx_onnxv1",
        "inputs": [
            {
                "name": "image",
                "datatype": "UINT8",
                "shape": image,
                "parameters": parameters_of(package.channels, package.fit),
            },
            {
                "name": "features",
                "datatype": "FP32",
                "shape": [-1, len(package.features)],
                "parameters": {"optional": True, "names": list(package.features)},
            },
        ],
        "outputs": [
            {
                "name": answer.output_name,
                "datatype": "FP32",
                "shape": [-1, *answer.row_shape(package.height, package.width)],
                "parameters": {"classes": list(package.classes), "task": package.task},
            },
            {"name": EMBEDDING, "datatype": "FP32", "shape": [-1, embedding]},
            {"name": "class", "datatype": "BYTES", "shape": [-1]},
        ],
    }


def _tensor(tensor: Any, binary: memoryview | None) -> tuple[str, npt.NDArray[Any], memoryview | None]:
    """One input: its name, its values, and the binary data that is left for the next one."""
    name = tensor.get("name") if isinstance(tensor, dict) else None
    if not isinstance(name, str) or name not in _DTYPES:
        raise _wrong(f"inputs: a tensor must be an object with the name image or features, not {name!r:.80}")
    datatype, dtype = _DTYPES[name]
    if tensor.get("datatype") != datatype:
        raise _wrong(f"input {name}: datatype must be {datatype}, not {tensor.get('datatype')!r:.80}")
    shape = _shape(name, tensor.get("shape"))
    parameters = tensor.get("parameters", {})
    if not isinstance(parameters, dict):
        raise _wrong(f"input {name}: parameters must be an object")
    if "binary_data_size" in parameters:
        if "data" in tensor or binary is None:
            raise _wrong(
                f"input {name}: binary_data_size needs the header Inference-Header-Content-Length and no data"
            )
        values, binary = _binary_values(name, parameters["binary_data_size"], dtype, shape, binary)
    else:
        values = _json_values(name, tensor.get("data"), dtype, shape)
    if dtype is np.float32 and not np.isfinite(values).all():
        raise _wrong(f"input {name}: a value is not finite as FP32")
    return name, values, binary


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list) or not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise _wrong(f"input {name}: shape must be a list of 1 to {MAX_DIMENSIONS} numbers")
    size = 1
    for length in shape:
        if isinstance(length, bool) or not isinstance(length, int) or not 0 <= length < MAX_SIZE:
            raise _wrong(f"input {name}: shape must be of whole numbers from 0, not {length!r:.80}")
        size *= max(length, 1)  # a 0 does not make the others small: numpy refuses such shapes, too
    if size >= MAX_SIZE:
        raise _wrong(f"input {name}: shape {shape} is too large")
    return tuple(shape)


def _binary_values(
    name: str, size: Any, dtype: Any, shape: tuple[int, ...], binary: memoryview
) -> tuple[npt.NDArray[Any], memoryview]:
    needed = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if isinstance(size, bool) or not isinstance(size, int) or size != needed:
        raise _wrong(
            f"input {name}: binary_data_size must be {needed} for shape {list(shape)}, not {size!r:.80}"
        )
    if len(binary) < needed:
        raise _wrong(f"input {name}: {needed} bytes are announced, but {len(binary)} are left in the body")
    little = np.dtype(dtype).newbyteorder("<")
    return np.frombuffer(binary[:needed], little).astype(dtype).reshape(shape), binary[needed:]


def _json_values(name: str, data: Any, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A tensor's values from JSON.

    Every value is looked at before numpy sees any: numpy makes room for the longest string a value, and
    for the deepest nesting, of whatever it is given.
    """
    if not isinstance(data, list):
        raise _wrong(f"input {name}: data must be a list of numbers, flat or nested")
    values, nested = _flat(name, data)
    if not values and 0 in shape:
        return np.zeros(shape, dtype)
    if len(nested) > 1 and nested != shape:
        raise _wrong(f"input {name}: data is nested as {list(nested)}, but shape says {list(shape)}")
    if len(values) != math.prod(shape):
        raise _wrong(
            f"input {name}: data has {len(values)} values, but shape {list(shape)} needs another number"
        )
    whole = dtype is np.uint8
    if not set(map(type, values)) <= ({int} if whole else {int, float}):
        raise _wrong(f"input {name}: data must be {'whole numbers from 0 to 255' if whole else 'numbers'}")
    try:
        if whole:
            return np.frombuffer(bytearray(values), dtype).reshape(shape)
        with np.errstate(over="ignore"):  # an overflow to infinity is told to the client by the caller
            return np.fromiter(values, np.float64, len(values)).astype(dtype).reshape(shape)
    except (ValueError, OverflowError) as error:
        what = "whole numbers from 0 to 255" if whole else "finite as FP32"
        raise _wrong(f"input {name}: data must be {what}") from error


def _flat(name: str, data: list[Any]) -> tuple[list[Any], tuple[int, ...]]:
    """The values of a list that is flat or nested, and how it is nested."""
    lengths = [len(data)]
    while data and isinstance(data[0], list):
        wide = {len(part) if isinstance(part, list) else -1 for part in data}
        if len(wide) > 1 or len(lengths) == MAX_DIMENSIONS:
            raise _wrong(f"input {name}: data is ragged or too deep")
        lengths.append(wide.pop())
        data = list(chain.from_iterable(data))
    return data, tuple(lengths)


def _outputs(document: dict[str, Any], known: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str]]:
    parameters = document.get("parameters", {})
    outputs = document.get("outputs", [])
    if not isinstance(parameters, dict) or not isinstance(outputs, list):
        raise _wrong("parameters must be an object and outputs a list")
    everything = parameters.get("binary_data_output", False)
    if not outputs:
        return known, frozenset(known if everything is True else ())
    names, binary = [], set()
    for output in outputs:
        name = output.get("name") if isinstance(output, dict) else None
        if name not in known or name in names:
            raise _wrong(f"outputs: must be different ones of {list(known)}, not {name!r:.80}")
        own = output.get("parameters", {})
        if not isinstance(own, dict):
            raise _wrong(f"output {name}: parameters must be an object")
        names.append(name)
        if own.get("binary_data", everything) is True:
            binary.add(name)
    return tuple(names), frozenset(binary)


def _wrong(problem: str) -> RequestRejected:
    return RequestRejected(400, problem)
