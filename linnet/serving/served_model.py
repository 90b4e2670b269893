"""One model in one worker process: its versions, queue, limits, metrics and log, all of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from linnet.artifacts.onnx_model import OpenSession
from linnet.config import ServingConfig
from linnet.serving.fleet import Fleet
from linnet.serving.isolated_session import IsolatedSession
from linnet.serving.log import PredictionLog
from linnet.serving.messages import too_large
from linnet.serving.metrics import Metrics
from linnet.serving.online import feature_source
from linnet.serving.segments import Segments
from linnet.serving.service import Service
from linnet.serving.shared import Word


class ServedModel:
    """A model that the worker answers for; overload of one fills its own queue and nobody else's."""

    def __init__(
        self,
        name: str,
        in_force: Word,
        asked: Word,
        settings: ServingConfig,
        *,
        workers: int = 1,
        threads: int = 1,
        isolated: bool = False,
        log_dir: Path | None = None,
        unlogged: Callable[[int], None] = lambda _change: None,
    ) -> None:
        """`asked`: when it was asked last; `settings`: the model's own; `workers` share its queue; `threads`:
        of an ONNX session, which is in a process of its own where `isolated`.

        `unlogged` is told how many requests more, or fewer, have not been written to the log.
        """
        self.name, self.header, self.settings = name, quote(name), settings
        self.segments = Segments(settings.segments)
        self._max_body = round(settings.max_body_mb * 1_000_000)
        self.loading = asyncio.Lock()
        self.asleep = False
        """Whether it is not loaded, and is to be when it is asked."""
        self._asked = asked
        source = settings.feature_source
        self.fleet = Fleet(
            in_force, threads, lambda model: feature_source(source, model), self._own if isolated else None
        )
        self.metrics = Metrics(name)
        self.log = PredictionLog(
            log_dir,
            max(1, settings.log_queue // workers),
            settings.log_images,
            settings.log_image_pixelate,
            round(settings.log_queue_mb * 1_000_000 / workers),
            unlogged,
            settings.log_sample / workers,
        )
        self.service = Service(
            self.fleet,
            self.metrics,
            self.log,
            capacity=max(1, settings.max_in_flight // workers),
            max_batch=settings.max_batch,
            deadline=settings.deadline_seconds,
        )

    def start(self) -> None:
        """Begins to log; versions that are loaded show their counters."""
        self.log.start()
        for version in self.fleet.snapshot.predictors:
            self.metrics.known(version)

    def touch(self) -> None:
        """It is asked: it is the last one to be unloaded for want of memory."""
        self._asked.number = time.monotonic_ns()

    @property
    def _own(self) -> OpenSession:
        """Opens sessions in processes of their own, which bear the model's name."""
        return partial(IsolatedSession, title=self.name)

    def isolate(self) -> None:
        """Moves the sessions of all versions into processes of their own. Raises ServingError: see Fleet."""
        self.fleet.isolate(self._own)

    def check_size(self, body: bytes) -> None:
        """Whether a body is not larger than the model takes; the server as a whole may take larger ones.

        Raises:
            RequestRejected: 413.
        """
        if len(body) > self._max_body:
            setting = f"serving.max_body_mb of {self.name}"
            raise too_large(len(body), self._max_body, setting, "send a smaller image")

    def records(self) -> dict[str, Any]:
        """The served records since they were last asked for, and how many were lost."""
        page = {"lost": self.service.lost, "records": list(self.service.records)}
        self.service.lost = 0
        self.service.records.clear()
        return page

    async def end(self, seconds: float) -> None:
        """Answers what it was asked before, for at most `seconds`; writes the log to its end.

        What still waits then is refused (503), as is all that comes from now on.
        """
        await self.service.end(seconds)
        await asyncio.get_running_loop().run_in_executor(None, self.log.close)
