"""Runs the real Prometheus and Alertmanager on free ports, and what they talk to."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.monitoring.debian import program

PATIENCE = 150.0
"""Seconds that a busy machine may take for what takes a few."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def wait_for(what: str, look: Callable[[], Any]) -> Any:
    """The first true answer of `look`."""
    until = time.monotonic() + PATIENCE
    problem: object = None
    while time.monotonic() < until:
        try:
            if found := look():
                return found
        except OSError as error:
            problem = error
        time.sleep(0.25)
    raise AssertionError(f"not within {PATIENCE:.0f} s: {what} ({problem})")


@contextmanager
def process(words: list[str], output: Path) -> Iterator[None]:
    with output.open("wb") as log:
        started = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        yield
    finally:
        started.terminate()
        started.wait(120)


class Receiver:
    """An HTTP server that keeps the notifications it gets."""

    def __init__(self) -> None:
        received: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def firing(self, alertname: str) -> list[dict[str, Any]]:
        return [
            alert
            for notification in list(self.received)
            for alert in notification["alerts"]
            if alert["labels"]["alertname"] == alertname and alert["status"] == "firing"
        ]


@contextmanager
def watched(folder: Path, alertmanager: int, prometheus: int) -> Iterator[None]:
    """Prometheus and Alertmanager over the generated files in `folder`."""
    with ExitStack() as stack:
        stack.enter_context(
            process(
                [
                    program("prometheus-alertmanager", "prometheus-alertmanager"),
                    f"--config.file={folder}/alertmanager/alertmanager.yml",
                    f"--storage.path={folder}/am",
                    f"--web.listen-address=127.0.0.1:{alertmanager}",
                    "--cluster.listen-address=",
                ],
                folder / "alertmanager.log",
            )
        )
        stack.enter_context(
            process(
                [
                    program("prometheus", "prometheus"),
                    f"--config.file={folder}/prometheus/prometheus.yml",
                    f"--storage.tsdb.path={folder}/tsdb",
                    f"--web.listen-address=127.0.0.1:{prometheus}",
                ],
                folder / "prometheus.log",
            )
        )
        yield
