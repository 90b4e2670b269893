"""Keeps a sample of what was refused, or failed, so that somebody can look at it and send it again.

Bounded everywhere: a reason has so many a second, a body so many bytes, what waits to be written so much
memory, the folder so many files, megabytes and days. A flood of bad requests costs a line of arithmetic each.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from linnet.config import ServingConfig
from linnet.errors import RequestRejected
from linnet.records.refused import ABOUT_THE_INPUT, RefusedRequest, refused_files, write_refused
from linnet.serving.messages import Request

logger = logging.getLogger(__name__)
BURST, PER_SECOND = 10.0, 1.0
"""Refusals of one model and reason that are kept and logged at once, and each second after that."""
MAX_BODY = 4 << 20
"""Bytes of a body that is kept; of a larger one only what is said of it."""
_WAITING = 64
_WAITING_BYTES = 8 << 20
_KEPT_HEADERS = ("content-type", "inference-header-content-length", "linnet-entity")
_TEXT = 500
"""Characters of a problem and of a path that are kept."""


class _Waiting(NamedTuple):
    request: RefusedRequest
    body: bytes


@dataclass(slots=True)
class _Allowance:
    left: float = BURST
    at: float = 0.0

    def take(self, now: float) -> bool:
        self.left, self.at = min(BURST, self.left + (now - self.at) * PER_SECOND), now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Quarantine:
    """The quarantine of one worker process; several write into one folder."""

    def __init__(self, folder: Path | None, config: ServingConfig, workers: int = 1) -> None:
        """`folder` None: nothing is kept. What waits in memory never exceeds the prediction log's room."""
        self._folder = folder if config.refused_keep else None
        self._config = config
        room = min(_WAITING_BYTES, config.log_queue_mb * 1e6 / 4) / max(workers, 1)
        self._room, self._held, self._holding = round(room), 0, threading.Lock()
        self._allowed: dict[tuple[str, str], _Allowance] = {}
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._number = 0

    def start(self) -> None:
        """Starts the writing thread."""
        if self._folder is not None:
            self._thread = threading.Thread(target=self._run, name="quarantine", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Writes what waits, and ends the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def offer(
        self,
        request: Request,
        request_id: str,
        model: str,
        refusal: RequestRejected,
        own: Sequence[ServingConfig] = (),
    ) -> None:
        """Logs a refusal and keeps its request, if there is room for one more of its kind; never waits.

        `own`: the settings of the model that was meant, or of all that may have been: what one of them keeps
        back is not kept, whatever the server as a whole keeps.
        """
        now = time.monotonic()
        if not self._allowed.setdefault((model, refusal.reason), _Allowance(at=now)).take(now):
            return
        headers = {name: request.headers[name][:_TEXT] for name in _KEPT_HEADERS if name in request.headers}
        said = RefusedRequest(
            request_id=request_id, at=datetime.now(UTC), model=model, status=refusal.status,
            reason=refusal.reason, problem=refusal.problem[:_TEXT], method=request.method[:20],
            path=request.path[:_TEXT], size=len(request.body),
            headers=headers,
            kept=self._keeps(request, refusal, own),
        )  # fmt: skip
        logger.info(
            "refused %s: status %d, reason %s, model %r: %a",
            request_id or "a request", said.status, said.reason, model, said.problem,
        )  # fmt: skip
        if self._thread is None or not all(settings.refused_keep for settings in own):
            return
        body = request.body if said.kept else b""
        with self._holding:
            if self._held + len(body) > self._room:
                said, body = said.model_copy(update={"kept": False}), b""
            self._held += len(body)
        try:
            self._queue.put_nowait(_Waiting(said, body))
        except queue.Full:
            self._give(len(body))

    def _keeps(self, request: Request, refusal: RequestRejected, own: Sequence[ServingConfig]) -> bool:
        """Whole bodies alone, of inputs alone, and none where kept images must not be readable."""
        return (
            refusal.reason in ABOUT_THE_INPUT
            and 0 < len(request.body) <= MAX_BODY
            and not any(settings.log_image_pixelate for settings in (self._config, *own))
        )

    def _give(self, size: int) -> None:
        with self._holding:
            self._held -= size

    def _run(self) -> None:
        assert self._folder is not None
        while (waiting := self._queue.get()) is not None:
            self._number += 1
            try:
                write_refused(self._folder, waiting.request, waiting.body, self._number)
                sweep(self._folder, self._config, time.time())
            except Exception as error:  # noqa: BLE001  what is wrong with one must not keep later ones out
                logger.warning("a refused request cannot be kept: %s", error)
            finally:
                self._give(len(waiting.body))


def sweep(folder: Path, config: ServingConfig, now: float) -> None:
    """Deletes the oldest beyond `refused_keep` files and `refused_mb`, and all older than `refused_days`."""
    count, size = 0, 0
    for path in refused_files(folder):
        with contextlib.suppress(OSError):  # another worker was first
            about = path.stat()
            count, size = count + 1, size + about.st_size
            old = now - about.st_mtime > config.refused_days * 86_400
            if count > config.refused_keep or size > config.refused_mb * 1e6 or old:
                path.unlink()
