"""Starts other servers for a comparison, each in an environment of its own, made when it is missing."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
START_SECONDS = 240.0


@dataclass(frozen=True)
class Peer:
    name: str
    packages: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    """Requests of the benchmark that it can answer; none: it is no server."""

    def python(self) -> str:
        """The interpreter of its environment."""
        folder = Path(os.environ.get("LINNET_PEERS", ".linnet/peers")).resolve() / self.name
        program = folder / "bin" / "python"
        if not program.exists():
            print(f"  installing {self.name} into {folder} ...", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run([str(program), "-m", "pip", "-q", "install", *self.packages], check=True)
        return str(program)


_RUNTIME = ("onnxruntime==1.32.0", "pillow", "numpy==2.4.6")
PEERS = {
    peer.name: peer
    for peer in (
        Peer("kserve", ("kserve==0.21.*", *_RUNTIME), ("binary1", "binary32", "json1")),
        # Its worker processes do not start with uvloop 0.22, and its REST server refuses binary tensors.
        Peer("mlserver", ("mlserver==1.7.*", "uvloop<0.22", *_RUNTIME), ("json1",)),
        Peer("litserve", ("litserve", *_RUNTIME), ("png_json",)),
        Peer("bentoml", ("bentoml", *_RUNTIME), ("png",)),
        Peer("openvino", ("openvino", *_RUNTIME)),
    )
}


@contextlib.contextmanager
def start(name: str, package: Path, folder: Path, workers: int) -> Iterator[int]:
    """A peer that serves the package; gives its port."""
    peer, port = PEERS[name], _free_port()
    python = peer.python()
    modules = folder / f"{name}-modules"
    modules.mkdir(exist_ok=True)
    for path in HERE.glob("*.py"):
        shutil.copy(path, modules / path.name)
    statistics = Path(__file__).parents[2] / "linnet" / "vision" / "statistics.py"
    shutil.copy(statistics, modules / "statistics_of_images.py")
    environment = {
        **os.environ, "BENCH_PACKAGE": str(package), "BENCH_PORT": str(port), "BENCH_WORKERS": str(workers),
        "PYTHONPATH": str(modules), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(folder / "bento"),
        "OMP_NUM_THREADS": "1", "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    command = _command(name, python, modules, port, workers)
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=modules, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(process, port, peer, folder / f"{name}.log")
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _command(name: str, python: str, modules: Path, port: int, workers: int) -> list[str]:
    programs = Path(python).parent
    if name == "mlserver":
        settings = {
            "http_port": port, "host": "127.0.0.1", "parallel_workers": workers, "debug": False,
            "grpc_port": _free_port(), "metrics_port": _free_port(),
        }  # fmt: skip
        (modules / "settings.json").write_text(json.dumps(settings))
        about = {
            "name": "fashion",
            "implementation": "mlserver_model.Fashion",
            "parameters": {"version": "1"},
        }
        (modules / "model-settings.json").write_text(json.dumps(about))
        return [str(programs / "mlserver"), "start", str(modules)]
    if name == "bentoml":
        words = ["serve", "bentoml_service:Fashion", "--port", str(port), "--host", "127.0.0.1"]
        return [str(programs / "bentoml"), *words, "--working-dir", str(modules)]
    return [python, str(modules / f"{name}_server.py")]


def _wait(process: subprocess.Popen[bytes], port: int, peer: Peer, log: Path) -> None:
    path = "/v2/models/fashion/ready" if "json1" in peer.kinds else "/health"
    path = "/readyz" if peer.name == "bentoml" else path
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise RuntimeError(f"{peer.name} did not start:\n{log.read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
