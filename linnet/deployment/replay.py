"""Sends held-out, labelled images to the server as traffic, and knows which answers were right.

Open loop: request i is due at i / rate seconds, whether or not earlier ones were answered, so a slow
server does not slow its traffic down. One that is due while too many are in flight is left out: beyond what
a server can do, on a machine that has other work besides, traffic shows how long its queue is, and nothing
about a version. How many are too many follows from how long answers take (linnet.deployment.pace).

Images are drawn at random with replacement, which makes the answers exchangeable, as the judge's bounds
demand. Plain `http.client` over kept connections, because the sender shares the machine with the server it
measures and should burn little of its time.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

import numpy as np
import numpy.typing as npt

from linnet.artifacts.windows import DATASET, SOURCE
from linnet.config import DEFAULT_TASK
from linnet.deployment.evidence import LabeledOutcome
from linnet.deployment.local_server import is_loopback
from linnet.deployment.pace import Pace, Window
from linnet.errors import RolloutError, StorageError
from linnet.records import TrainingSetManifest
from linnet.tasks.agree import agreement_of
from linnet.tasks.answer import answer_of
from linnet.tasks.target import target_of
from linnet.vision.decode import encode_png

WORKERS = 16
"""Requests that may be in flight at once; when all hang, later ones are left out, not queued."""
_TIMEOUT = 1 / 3
"""Share of the patience after which a request that waits, here or at the server, is left out."""
_BUSY = (429, 503)
"""Refusals that the server's records do not hold against a version either."""
_MOST_IMAGES = 4096
_MOST_BYTES = 64 << 20
_WINDOWS_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Traffic:
    """Encoded images and the label of each."""

    bodies: tuple[bytes, ...]
    labels: tuple[str, ...]
    windows: int = 0
    """How many of them, the last, are of labelled production windows: every second request is one of these,
    so that a candidate which lost what they taught is seen, however few they are."""
    task: str = DEFAULT_TASK
    of: int = 0
    """Images that there are, where these are a random part of them; 0: they are all."""

    @property
    def cut(self) -> str:
        """That these are not all images, in words; empty: they are."""
        shown = f"the replay sends {len(self.bodies):,} of {self.of:,} images of the production split"
        return f"{shown}, drawn at random" if self.of else ""

    def draw(self, source: random.Random) -> int:
        """The next image: at random, and independent of those before."""
        own = len(self.bodies) - self.windows
        if self.windows and (not own or source.random() < _WINDOWS_SHARE):
            return own + source.randrange(self.windows)
        return source.randrange(own)

    @classmethod
    def of_training_set(cls, folder: Path, seed: int = 0, windows: bool = True) -> Traffic:
        """The production split of a training set as PNG files; a random part of a large one.

        `windows`: with the samples of production windows; False: the dataset's own alone.

        Raises:
            RolloutError: the split is missing, damaged or empty.
        """
        try:
            about = TrainingSetManifest.load(folder / "training_set.json")
            images = np.load(folder / "images-production.npy", mmap_mode="r")
            labels = np.load(folder / "labels-production.npy")
            taught = _of_windows(folder, len(labels))
        except (StorageError, OSError, ValueError) as error:
            raise RolloutError(f"{folder}: no readable production split to replay ({error})") from error
        if len(images) == 0 or len(images) != len(labels):
            raise RolloutError(f"{folder}: the production split is empty: raise data.production_fraction")
        most = max(min(_MOST_IMAGES, _MOST_BYTES // images[0].nbytes), 64)
        mixed = np.random.default_rng(seed).permutation(len(images))
        own, others = mixed[~taught[mixed]], mixed[taught[mixed]][: most // 2]
        if not windows:
            others = others[:0]
        chosen = np.concatenate([own[: most - len(others)], others])
        bodies = tuple(encode_png(np.asarray(images[index])) for index in chosen)
        target = target_of(about.task)
        truth = tuple(target.decode(labels[index], about.classes) for index in chosen)
        there = len(images) if windows else int(np.count_nonzero(~taught))
        return cls(bodies, truth, len(others), about.task, there if there > len(chosen) else 0)


def _of_windows(folder: Path, samples: int) -> npt.NDArray[np.bool_]:
    """[N] whether a sample of the production split is of a labelled production window."""
    path = folder / "cohorts-production.npz"
    if path.exists():
        with np.load(path) as stored:
            if SOURCE in stored.files:
                return np.asarray(stored[SOURCE] != DATASET)
    return np.zeros(samples, bool)


class Replayer:
    """Traffic at a set rate to a loopback URL, from `with` to its end (at most `max_seconds`)."""

    def __init__(
        self,
        url: str,
        model: str,
        traffic: Traffic,
        pace: Pace,
        *,
        max_seconds: float = 600.0,
        seed: int = 0,
    ) -> None:
        """`model`: whom the server is asked for; answers of any other would count as failures."""
        if not is_loopback(url):
            raise RolloutError(f"{url}: replayed traffic is sent to this machine only")
        self._host, self._port = urlsplit(url).hostname or "", urlsplit(url).port or 80
        self.traffic, self._pace = traffic, pace
        self._answer, self._agreement = answer_of(traffic.task, ()), agreement_of(traffic.task)
        self._model = quote(model, safe="")
        self._random = random.Random(seed)  # noqa: S311  chooses images, keeps no secret
        self._most = int(pace.rate * max_seconds)
        self._timeout = _TIMEOUT * pace.patience
        self._headers = {"Content-Type": "image/png", "Linnet-Timeout": f"{self._timeout:g}"}
        self._lock = threading.Lock()
        self._window = Window(WORKERS, pace.late)
        self._next = 0
        self._outcomes: list[LabeledOutcome] = []
        self._stopping = threading.Event()
        self.answered: Counter[str] = Counter()
        """Predictions by version."""
        self.failed: Counter[str] = Counter()
        """Answers that are no prediction, by version; `none` if nobody answered."""
        self.refused = 0
        """Requests that the server was too busy for, and said so."""
        self.left_out = 0
        """Requests that were not sent, as too many were in flight when they were due."""
        self._workers = [
            threading.Thread(target=self._work, name="replay", daemon=True) for _ in range(WORKERS)
        ]

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for worker in self._workers:
            worker.join(self._pace.patience + 1)

    def outcomes(self) -> list[LabeledOutcome]:
        """What became of the requests that ended since the last call."""
        with self._lock:
            found, self._outcomes = self._outcomes, []
        return found

    def _work(self) -> None:
        connection = HTTPConnection(self._host, self._port, timeout=self._pace.patience)
        while (taken := self._take()) is not None:
            due, body, truth = taken
            if self._stopping.wait(max(due - time.monotonic(), 0.0)):
                break
            began = time.monotonic()
            with self._lock:
                if began - due > self._timeout or not self._window.enter():
                    self.left_out += 1
                    continue
            outcome = self._send(connection, body, truth)
            self._note(outcome, time.monotonic() - began)
        connection.close()

    def _take(self) -> tuple[float, bytes, str] | None:
        with self._lock:
            if self._next >= self._most or self._stopping.is_set():
                return None
            index = self.traffic.draw(self._random)
            due = self._began + self._next / self._pace.rate
            self._next += 1
        return due, self.traffic.bodies[index], self.traffic.labels[index]

    def _send(self, connection: HTTPConnection, body: bytes, truth: str) -> LabeledOutcome | None:
        """What came of a request; None: the server was too busy."""
        kept = connection.sock is not None
        try:
            connection.request("POST", f"/predict/{self._model}", body, self._headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException) as error:
            connection.close()
            if kept and isinstance(error, ConnectionError):  # an idle connection may be closed: ask anew
                return self._send(connection, body, truth)
            return LabeledOutcome(None, None)
        if answer.status in _BUSY:
            return None
        version = answer.headers.get("Linnet-Model-Version")
        if answer.status != 200 or version is None or answer.headers.get("Linnet-Model") != self._model:
            return LabeledOutcome(version, None)
        try:
            said = self._answer.said(json.loads(content)["predictions"])
            return LabeledOutcome(version, self._agreement(said, truth))
        except (ValueError, KeyError, IndexError, TypeError):
            return LabeledOutcome(None, None)

    def _note(self, outcome: LabeledOutcome | None, seconds: float) -> None:
        with self._lock:
            if outcome is None:
                self.refused += 1
                self._window.leave(seconds)
                return
            self._window.leave(None if outcome.version is None else seconds)
            self._outcomes.append(outcome)
            counter = self.failed if outcome.correct is None else self.answered
            counter[outcome.version or "none"] += 1
