"""How much memory the loaded models may take: who sleeps to make room, and is woken by its next request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from linnet.artifacts.onnx_model import MODEL_FILE
from linnet.serving.version_manager import Control

logger = logging.getLogger(__name__)
PROCESS_MB = 30.0
"""What a session's process takes beside the model, as a first guess; when it is loaded it is measured."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that takes memory."""

    name: str
    memory_mb: float
    last_asked: int
    """On any clock."""
    may_sleep: bool
    """False: it is being rolled out, and its judge asks it."""


def to_unload(loaded: Sequence[Loaded], needed_mb: float, budget_mb: float) -> list[str]:
    """Names of the models to unload so that `needed_mb` more fits into the budget, asked longest ago first.

    Too few where the others may not sleep: what is asked for is loaded nevertheless.
    """
    over = sum(one.memory_mb for one in loaded) + needed_mb - budget_mb
    chosen = []
    for one in sorted(loaded, key=lambda each: each.last_asked):
        if over <= 0:
            break
        if one.may_sleep:
            chosen.append(one.name)
            over -= one.memory_mb
    return chosen


class ModelMemory:
    """Keeps the models of a server within its budget (0: there is none). Loads go one after the other."""

    def __init__(
        self, controls: Mapping[str, Control], budget_mb: float, last_asked: Callable[[str], int]
    ) -> None:
        self._controls, self._budget, self._last_asked = controls, budget_mb, last_asked
        self._loading = asyncio.Lock()

    def room(self, package: Path, workers: int) -> bool:
        """Whether a package fits beside what is loaded, without unloading anything."""
        taken = sum(control.memory_mb for control in self._controls.values())
        return not self._budget or taken + _guess(package, workers) <= self._budget

    async def wake(self, name: str) -> None:
        """Loads a model that sleeps; one that does not stays as it is.

        Raises:
            RequestRejected: its package cannot be loaded any more.
        """
        control = self._controls.get(name)
        if control is None or not control.asleep:
            return
        async with self._loading:
            if control.asleep:
                await self._make_room(name, control.slept_mb)
                await control.load_model()
                await self._make_room(name, 0.0)
                logger.info("model %s is loaded again: it was asked", name)

    @asynccontextmanager
    async def loading(self, name: str, package: Path, workers: int) -> AsyncIterator[None]:
        """Room for a package of a model while it is loaded, and the budget kept afterwards."""
        if not self._budget:
            yield
            return
        async with self._loading:
            await self._make_room(name, _guess(package, workers))
            yield
            await self._make_room(name, 0.0)

    async def _make_room(self, name: str, needed_mb: float) -> None:
        if not self._budget:
            return
        loaded = [
            Loaded(
                each, control.memory_mb, self._last_asked(each), each != name and not control.table.candidate
            )
            for each, control in self._controls.items()
            if control.versions
        ]
        for each in to_unload(loaded, needed_mb, self._budget):
            await self._controls[each].sleep()
            logger.info("model %s is unloaded to make room for %s; its next request loads it", each, name)
        left = sum(control.memory_mb for control in self._controls.values())
        if left > self._budget:
            logger.warning("the models take %.0f MB; serving.memory_mb is %g", left, self._budget)


def _guess(package: Path, workers: int) -> float:
    """Megabytes that a package will take in so many workers; 0 for one that cannot be loaded anyhow."""
    try:
        size = (package / MODEL_FILE).stat().st_size
    except OSError:
        return 0.0
    return workers * (PROCESS_MB + 2e-6 * size)
