"""A closed-loop load of a few connections: every answer is kept, and none is tried again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from linnet.errors import ServingError
from linnet.serving.client import ServerClient


@dataclass(frozen=True)
class Answer:
    body: bytes
    status: int
    content: dict[str, Any]
    seconds: float
    version: str


class Load:
    """Sends the bodies round and round from `connections` threads between entering and leaving."""

    def __init__(self, url: str, bodies: Sequence[bytes], connections: int = 4, pause: float = 0.0) -> None:
        self.answers: list[Answer] = []
        self.broken: list[str] = []
        self._url, self._bodies, self._pause = url, bodies, pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(connections)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, count: int, seconds: float = 120.0) -> None:
        until = time.monotonic() + seconds
        while len(self.answers) < count and time.monotonic() < until:
            time.sleep(0.01)
        assert len(self.answers) >= count

    def _run(self, start: int) -> None:
        client, i = ServerClient(self._url), start
        while not self._stop.is_set():
            body = self._bodies[i % len(self._bodies)]
            i += len(self._threads)
            began = time.perf_counter()
            try:
                status, headers, content = client.request("POST", "/predict", body)
            except ServingError as error:
                self.broken.append(str(error))
                if "cannot be reached" in str(error):
                    break
                continue
            seconds = time.perf_counter() - began
            version = headers["linnet-model-version"]
            self.answers.append(Answer(body, status, json.loads(content), seconds, version))
            if self._pause:
                time.sleep(self._pause)
        client.close()


def statuses(answers: Iterable[Answer]) -> set[int]:
    return {answer.status for answer in answers}
