"""Requests a second and latency, beside KServe, MLServer, LitServe and BentoML, and the model without HTTP.

    python -m benchmarks serving [--seconds 4] [--only linnet kserve]

Every server runs the same ONNX file with one ONNX Runtime thread a session and as many worker processes as
there are cores, on the cores that the load generator (load.c, the same for all) uses too. Peers get an
environment of their own each, under .linnet/peers (LINNET_PEERS names another folder).
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.peers.start import PEERS, start
from benchmarks.serving_package import build, sample_images
from linnet.process.cpus import available_cpus
from linnet.vision.decode import encode_png
from linnet.vision.statistics import image_statistics

HERE = Path(__file__).parent
CORES = available_cpus()
OPEN_LOAD = 0.7
"""Share of a server's own closed-loop throughput that the open loop asks for."""
WARM_SECONDS = 5.0
"""Load on a server before its first measurement: what it loads late is loaded then."""


@dataclass(frozen=True)
class Measure:
    name: str
    request: str
    connections: int
    open_loop: str = ""
    """`even` or `poisson`; empty: closed loop."""


MEASURES = (
    *(Measure(f"binary, 1 image, {n} connections", "binary1", n) for n in (1, 8, 32)),
    *(Measure(f"JSON, 1 image, {n} connections", "json1", n) for n in (1, 8, 32)),
    *(Measure(f"PNG, {n} connections", "png", n) for n in (1, 8, 32)),
    *(Measure(f"PNG in JSON, {n} connections", "png_json", n) for n in (1, 8, 32)),
    *(Measure(f"binary, 32 images, {n} connections", "binary32", n) for n in (1, 8)),
    Measure("binary, 1 image, open loop 70 %, even", "binary1", 32, "even"),
    Measure("binary, 1 image, open loop 70 %, Poisson", "binary1", 32, "poisson"),
)


def tensors_of(count: int) -> list[tuple[dict[str, Any], Any]]:
    """Name, shape and datatype of each input for a number of images, and its values."""
    images = sample_images(count)
    given = (("image", "UINT8", images), ("features", "FP32", image_statistics(images)))
    return [
        ({"name": name, "shape": list(values.shape), "datatype": kind}, values)
        for name, kind, values in given
    ]


def json_request() -> tuple[str, bytes, list[str]]:
    """Path, body and headers of an infer request for one image, all of it JSON."""
    tensors = [{**about, "data": values.ravel().tolist()} for about, values in tensors_of(1)]
    body = {"inputs": tensors, "outputs": [{"name": "probabilities"}]}
    return "/v2/models/fashion/infer", json.dumps(body).encode(), ["Content-Type: application/json"]


def binary_request(count: int) -> tuple[str, bytes, list[str]]:
    """Path, body and headers of an infer request with binary tensors in and out."""
    given = tensors_of(count)
    tensors = [{**about, "parameters": {"binary_data_size": values.nbytes}} for about, values in given]
    asked = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": tensors, "outputs": asked}).encode()
    headers = [f"Inference-Header-Content-Length: {len(head)}", "Content-Type: application/octet-stream"]
    return "/v2/models/fashion/infer", head + b"".join(values.tobytes() for _, values in given), headers


def png_request() -> tuple[str, bytes, list[str]]:
    return "/predict", encode_png(sample_images(1)[0]), ["Content-Type: image/png"]


def png_json_request() -> tuple[str, bytes, list[str]]:
    image = base64.b64encode(png_request()[1]).decode()
    return "/predict", json.dumps({"image": image}).encode(), ["Content-Type: application/json"]


def write_requests(folder: Path) -> None:
    kinds = {
        "binary1": binary_request(1), "binary32": binary_request(32), "json1": json_request(),
        "png": png_request(), "png_json": png_json_request(),
    }  # fmt: skip
    for name, (path, body, headers) in kinds.items():
        lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers, "", ""]
        (folder / name).write_bytes("\r\n".join(lines).encode() + body)


def raw(
    package: Path, seconds: float, count: int, python: str = sys.executable, engine: str = "ort"
) -> float:
    """Images a second of the bare engine: one process per core, one thread each."""
    command = [python, str(HERE / "peers" / "bare.py"), engine, str(package), str(seconds), str(count)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(CORES)]
    return sum(float(process.communicate()[0]) for process in running)


def load(
    program: Path, port: int, folder: Path, measure: Measure, seconds: float, rate: float
) -> dict[str, Any]:
    poisson = "1" if measure.open_loop == "poisson" else "0"
    words = [str(program), str(port), str(measure.connections), str(seconds), f"{rate:.2f}", poisson]
    said = subprocess.run([*words, str(folder / measure.request)], capture_output=True, text=True, check=True)
    values: dict[str, Any] = json.loads(said.stdout)
    return values


def measure_server(
    program: Path, port: int, folder: Path, kinds: tuple[str, ...], seconds: float
) -> Iterator[tuple[Measure, dict[str, Any]]]:
    measures = [measure for measure in MEASURES if measure.request in kinds]
    load(program, port, folder, measures[0], WARM_SECONDS, 0.0)
    best = 0.0
    for measure in measures:
        if measure.open_loop and not best:
            continue
        rate = OPEN_LOAD * best if measure.open_loop else 0.0
        load(program, port, folder, measure, 0.5, rate)
        found = load(program, port, folder, measure, seconds, rate)
        if measure.request == "binary1" and not measure.open_loop:
            best = max(best, found["per_second"])
        yield measure, found


@contextmanager
def linnet(package: Path, folder: Path) -> Iterator[int]:
    from linnet.config import ServingConfig
    from linnet.process.model_server import ServerProcess, server_command

    state = folder / "server.json"
    config = ServingConfig(port=0)
    server = ServerProcess(
        server_command(package, "1", config, state, folder / "log"), state, folder / "server.log"
    )
    try:
        yield int(server.state.url.rsplit(":", 1)[1])
    finally:
        server.stop()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks serving", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--only", nargs="*", default=["linnet", *PEERS], help="servers to measure")
    options = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        program = folder / "load"
        subprocess.run(["cc", "-O2", "-o", str(program), str(HERE / "load.c"), "-lm"], check=True)
        package = build(folder / "package")
        write_requests(folder)
        limit = raw(package, options.seconds, 1)
        print(f"serving: ONNX Runtime without HTTP, 1 image a run: {limit:.0f} images/s", flush=True)
        print(f"  32 images a run: {raw(package, options.seconds, 32):.0f} images/s", flush=True)
        other = raw(package, options.seconds, 1, PEERS["openvino"].python(), "openvino")
        print(f"  OpenVINO without HTTP, 1 image a run: {other:.0f} images/s", flush=True)
        for name in options.only:
            kinds = ("binary1", "binary32", "json1", "png") if name == "linnet" else PEERS[name].kinds
            if kinds:
                opened = linnet(package, folder) if name == "linnet" else start(name, package, folder, CORES)
                with opened as port:
                    for measure, found in measure_server(program, port, folder, kinds, options.seconds):
                        _say(name, measure, found, limit)
        again = raw(package, options.seconds, 1)
        print(f"  ONNX Runtime without HTTP, again at the end: {again:.0f} images/s")
    print(f"  {describe('onnxruntime', 'httptools', 'uvloop')}")


def _say(name: str, measure: Measure, found: dict[str, Any], limit: float) -> None:
    line = f"  {name}: {measure.name}: {found['per_second']:.0f}/s, p50 {found['p50_ms']:.2f} ms"
    line += f", p99 {found['p99_ms']:.2f} ms"
    if measure.request == "binary1":
        line += f", {found['per_second'] / limit:.2f} of ONNX Runtime"
    print(line + (f", FAILED {found['failed']}" if found["failed"] else ""), flush=True)
