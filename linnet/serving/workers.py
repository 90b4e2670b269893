"""A worker's place in the supervisor: the process that fills it is started, watched, replaced and ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.config import ServingConfig
from linnet.errors import RequestRejected, ServingError
from linnet.serving.models import Models
from linnet.serving.rpc import Answerer, Channel, ChannelClosed

logger = logging.getLogger(__name__)
STOP_SECONDS = 25.0
PAUSES = (0.0, 0.5, 2.0, 5.0, 15.0)
"""Seconds before a worker that keeps ending is started again."""
_ABSENT = 1 << 40
"""Connections of a worker that is not there: it is never the one with the fewest."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What every worker is told when it starts."""

    config: ServingConfig
    workers: int
    threads: int
    token: str
    keys: Path | None
    log_dir: Path | None

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "config": self.config.model_dump(mode="json"),
            "workers": self.workers,
            "threads": self.threads,
            "token": self.token,
            "keys": str(self.keys) if self.keys is not None else None,
            "log_dir": str(self.log_dir) if self.log_dir is not None else None,
        }


class WorkerSlot:
    """One of the server's workers."""

    def __init__(
        self,
        number: int,
        listener: socket.socket,
        models: Models,
        settings: WorkerSettings,
        answer: Answerer,
    ) -> None:
        self.number = number
        self._listener, self._models, self._settings, self._answer = listener, models, settings, answer
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel | None = None

    async def start(self) -> None:
        """Starts a process and tells it its settings.

        Raises:
            ServingError: it ended at once.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = (self._listener.fileno(), theirs.fileno(), self._models.page.descriptor)
            words = [sys.executable, "-m", "linnet.serving.worker", *map(str, descriptors), str(self.number)]
            self._process = await _spawn(words, descriptors)
        self._channel = await Channel.over(ours, self._answer)
        try:
            await self._channel.ask("configure", **self._settings.values())
        except ChannelClosed as error:
            raise ServingError(f"worker {self.number} ended before it could load anything") from error
        self._models.workers[self.number] = self._channel

    async def serve(self) -> None:
        """Has the worker take connections."""
        assert self._channel is not None
        await self._channel.ask("serve")

    async def watch(self) -> None:
        """Replaces the process whenever it ends, for ever."""
        failures = 0
        while True:
            assert self._channel is not None
            assert self._process is not None
            began = asyncio.get_running_loop().time()
            await self._channel.closed.wait()
            self._gone()
            status = await self._process.wait()
            lived = asyncio.get_running_loop().time() - began
            failures = 0 if lived > 60 else min(failures + 1, len(PAUSES) - 1)
            logger.error("worker %d ended with status %s; another takes its place", self.number, status)
            await self._replace(failures)

    async def stop(self) -> None:
        """Has the worker answer what it accepted, and ends it."""
        if self._process is None:
            return
        if self._channel is not None and not self._channel.closed.is_set():
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._channel.ask("drain")
            except (TimeoutError, RequestRejected, ServingError) as error:
                logger.warning("worker %d did not drain: %s", self.number, error)
            self._channel.close()
        try:
            async with asyncio.timeout(2.0):
                await self._process.wait()
        except TimeoutError:
            self._kill(self._process)
            await self._process.wait()

    @staticmethod
    def _kill(process: asyncio.subprocess.Process) -> None:
        """Not by `process.kill()`: that reaps one that just ended, and asyncio warns of an unknown child."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)

    async def _replace(self, failures: int) -> None:
        while True:
            await asyncio.sleep(PAUSES[failures])
            try:
                async with self._models.standing_still():
                    await self.start()
                    assert self._channel is not None
                    await self._models.sync_worker(self._channel)
                    await self.serve()
                return
            except (ServingError, OSError) as error:
                logger.error("worker %d cannot be replaced: %s", self.number, error)
                failures = min(failures + 1, len(PAUSES) - 1)
                self._gone()
                if self._process is not None and self._process.returncode is None:
                    self._kill(self._process)

    def _gone(self) -> None:
        self._models.page.set_connections(self.number, _ABSENT)
        if unlogged := self._models.page.forget(self.number):
            logger.error("worker %d: %d answered requests were never logged", self.number, unlogged)
            self._models.totals.unlogged += unlogged
        if self._models.workers.pop(self.number, None) is not None:
            self._models.totals.ended(self.number)


async def _spawn(words: Sequence[str], descriptors: Sequence[int]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, pass_fds=descriptors
    )
