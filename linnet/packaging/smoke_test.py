"""The packaged model in the real server process: right answers, and how long they take."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

from linnet.artifacts.onnx_model import GOLDEN_FILE, PACKAGE_FILE, PackagedModel
from linnet.config import ServingConfig
from linnet.errors import PackagingError, ServingError
from linnet.process.model_server import ServerProcess, server_command
from linnet.progress import Progress
from linnet.records import ModelPackage
from linnet.tasks.answer import Answer, answer_of_package
from linnet.vision.decode import color_of, encode_png, resize

REQUESTS = 200
"""Timed requests, one after the other."""
_WARM_UP = 20
_MATTERS = (
    "workers",
    "threads",
    "max_batch",
    "deadline_seconds",
    "read_timeout_seconds",
    "max_body_mb",
)
_VALUES = 200_000
"""Pixel values in one request of tensors: about 800 kB of JSON."""
_ODD_SHAPES = ((1, 3), (3, 1), (2, 2))
"""How many times as high and as wide as the model's the images are that are uploaded beside them."""
_TOLERANCE = 1e-4
"""Largest difference of a served number from the golden one."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Of single-image uploads over one connection, as a client on the same machine sees them."""

    p50_ms: float
    p95_ms: float
    requests: int


def try_out(folder: Path, serving: ServingConfig, progress: Progress | None = None) -> Latency:
    """Serves the package in `folder`, checks its answers to the golden samples, and times 200 requests.

    Raises:
        PackagingError: the server does not start, or an answer is not the trained model's.
    """
    package = ModelPackage.load(folder / PACKAGE_FILE)
    answer = answer_of_package(package)
    with np.load(folder / GOLDEN_FILE) as golden:
        images, features, expected = golden["images"], golden["features"], golden[answer.output_name]
    with _server(folder, serving) as url:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            _check_tensors(connection, package, images, features, expected)
            bodies = [encode_png(image) for image in images]
            _check_uploads(connection, answer, bodies, expected)
            _check_odd_shapes(connection, PackagedModel.load(folder, threads=1), images)
            return _time(connection, bodies, progress)
        except (OSError, http.client.HTTPException) as error:
            raise PackagingError(f"the server broke off while the package was tried out ({error})") from error
        finally:
            connection.close()


def trial_settings(serving: ServingConfig) -> ServingConfig:
    """The settings that the trial depends on, the others as they are by themselves.

    What a server is called, who may ask it and what it logs does not change what a package answers or how
    fast, so that a package need not be made again when one of them changes.
    """
    own = serving.model_dump(include=set(_MATTERS))
    return ServingConfig.model_validate(own)


@contextlib.contextmanager
def _server(folder: Path, serving: ServingConfig) -> Iterator[str]:
    """The real server on a free port; it is stopped whatever happens."""
    with tempfile.TemporaryDirectory(prefix="linnet-trial-") as scratch:
        state, log, output = (Path(scratch) / name for name in ("state.json", "log", "output"))
        settings = serving.model_copy(
            update={"host": "127.0.0.1", "port": 0, "log_images": 0.0, "log_sample": 0.0}
        )
        command = server_command(folder, "candidate", settings, state, log)
        command += ["--parent", str(os.getpid())]
        try:
            process = ServerProcess(command, state, output, own_session=False)
        except ServingError as error:
            raise PackagingError(f"the server cannot serve the package: {error}") from error
        try:
            yield process.state.url
        finally:
            process.stop()


def _check_tensors(
    connection: http.client.HTTPConnection, package: ModelPackage, images: Any, features: Any, expected: Any
) -> None:
    """Open Inference Protocol, images and features as tensors: whole outputs are compared."""
    step = max(1, _VALUES // max(int(np.prod(images.shape[1:])), 1))  # JSON of many photos is no request
    for start in range(0, len(images), step):
        rows = slice(start, start + step)
        _check_tensor_rows(connection, package, images[rows], features[rows], expected[rows])


def _check_tensor_rows(
    connection: http.client.HTTPConnection, package: ModelPackage, images: Any, features: Any, expected: Any
) -> None:
    tensors = [("image", "UINT8", images), ("features", "FP32", features)]
    document = {
        "inputs": [
            {"name": name, "datatype": kind, "shape": list(values.shape), "data": values.ravel().tolist()}
            for name, kind, values in tensors
        ],
        "outputs": [{"name": answer_of_package(package).output_name}],
    }
    path = f"/v2/models/{quote(package.name, safe='')}/infer"
    said = _ask(connection, path, json.dumps(document).encode(), "application/json")
    found = np.asarray(said["outputs"][0]["data"]).reshape(expected.shape)
    difference = answer_of_package(package).difference(found, expected)
    if not difference <= _TOLERANCE:
        raise PackagingError(
            f"the served model differs from the trained one by {difference:.2g} on the golden samples; "
            f"at most {_TOLERANCE:g} is allowed"
        )


def _check_uploads(
    connection: http.client.HTTPConnection, answer: Answer, bodies: list[bytes], expected: Any
) -> None:
    """Image uploads: the server decodes and computes the features itself, so skew shows here."""
    for index, body in enumerate(bodies):
        said = _ask(connection, "/predict", body, "application/octet-stream")["predictions"]
        off = answer.off(said, expected[index])
        if not off <= _TOLERANCE:
            raise PackagingError(
                f"golden image {index} gives {json.dumps(said)[:200]} when uploaded, {off:.2g} off what it "
                "gives in training: the features at request time are not those of training"
            )


def _check_odd_shapes(connection: http.client.HTTPConnection, model: PackagedModel, images: Any) -> None:
    """Uploads that are much wider, much taller, and larger than the model's images: fitted as in training."""
    package = model.package
    color = color_of(package.channels)
    for image, (rows, columns) in zip(images, _ODD_SHAPES, strict=False):
        odd = np.repeat(np.repeat(image, rows, axis=0), columns, axis=1)[1:, :-1]
        fitted = resize(odd, package.height, package.width, color, package.fit)[None]
        output, _ = model.predict(fitted)
        said = _ask(connection, "/predict", encode_png(odd), "application/octet-stream")["predictions"]
        off = model.answer.off(said, output[0])
        if not off <= _TOLERANCE:
            raise PackagingError(
                f"an image of {odd.shape[0]} x {odd.shape[1]} pixels gives {json.dumps(said)[:200]} when "
                f"uploaded, {off:.2g} off what it gives as training fits it ({package.fit}): the server "
                "prepares images in another way"
            )


def _time(connection: http.client.HTTPConnection, bodies: list[bytes], progress: Progress | None) -> Latency:
    seconds = []
    for index in range(_WARM_UP + REQUESTS):
        began = time.perf_counter()
        _ask(connection, "/predict", bodies[index % len(bodies)], "application/octet-stream")
        seconds.append(time.perf_counter() - began)
        if progress:
            progress("latency in the real server", max(0, index + 1 - _WARM_UP), REQUESTS)
    p50, p95 = np.percentile(np.asarray(seconds[_WARM_UP:]) * 1e3, [50, 95])
    return Latency(round(float(p50), 3), round(float(p95), 3), REQUESTS)


def _ask(connection: http.client.HTTPConnection, path: str, body: bytes, kind: str) -> Any:
    connection.request("POST", path, body, {"Content-Type": kind})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        problem = content[:300].decode("utf-8", "replace")
        raise PackagingError(f"the server answered {response.status} to a golden sample: {problem}")
    return json.loads(content)
