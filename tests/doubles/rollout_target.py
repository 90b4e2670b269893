"""A traffic target in memory: tries out rollouts and judges without a server.

It answers `per_look` requests whenever its records are asked for, by the routing table of that
moment; each version behaves as its `Behavior` says.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from linnet.deployment.evidence import LabeledOutcome
from linnet.deployment.traffic import LoadRefused
from linnet.errors import RolloutError
from linnet.records import ServedRecord


@dataclass(frozen=True, slots=True)
class Behavior:
    """How a version answers."""

    error_rate: float = 0.0
    slowness: float = 1.0
    """Factor on latencies, which are log-normal with a median of 2 ms."""
    accuracy: float = 0.93
    agreement: float = 0.95
    loads: bool = True
    silent_after: int | None = None
    """Number of records after which the server answers nothing any more, admin requests included."""


class SimulatedTarget:
    """A `TrafficTarget`; `outcomes` is its labelled traffic."""

    def __init__(
        self, champion: str | None, behaviors: dict[str, Behavior], per_look: int = 50, seed: int = 0
    ) -> None:
        self.table: tuple[str | None, str | None, int, float] = (champion, None, 0, 0.0)
        self.history: list[tuple[str | None, str | None, int, float]] = [self.table]
        """Every routing table that was in force: champion, candidate, percent, mirror."""
        self.loaded = {champion} if champion else set()
        self._behaviors, self._per_look = behaviors, per_look
        self._random = random.Random(seed)
        self._outcomes: list[LabeledOutcome] = []
        self._served = self.lost = 0

    def champion(self) -> str | None:
        """The version that answers by default."""
        return self.table[0]

    def load(self, version: str, package: Path) -> None:
        """Loads a version that can be loaded."""
        self._check()
        if not self._behaviors[version].loads:
            raise LoadRefused(f"{package} is damaged")
        self.loaded.add(version)

    def unload(self, version: str) -> None:
        """Forgets a version."""
        self._check()
        assert version not in self.table[:2], "a version with traffic is not unloaded"
        self.loaded.discard(version)

    def route(self, candidate: str | None, percent: int, mirror: float) -> None:
        """Changes the table."""
        self._set((self.table[0], candidate, percent, mirror))

    def renew(self, candidate: str) -> bool:
        """Whether the candidate still has a share."""
        self._check()
        return self.table[1] == candidate

    def promote(self, version: str) -> None:
        """Changes the champion."""
        self._set((version, None, 0, 0.0))

    def records(self, after: int) -> tuple[int, list[ServedRecord]]:
        """Answers some requests and returns their records."""
        self._check()
        if after < 0:
            return self._served, []
        return self._served + self._per_look, [self._serve() for _ in range(self._per_look)]

    def outcomes(self) -> list[LabeledOutcome]:
        """What the senders of the requests saw since the last call."""
        found, self._outcomes = self._outcomes, []
        return found

    def _set(self, table: tuple[str | None, str | None, int, float]) -> None:
        self._check()
        assert {version for version in table[:2] if version} <= self.loaded
        self.table = table
        self.history.append(table)

    def _check(self) -> None:
        limits = [self._behaviors[version].silent_after for version in self.loaded]
        if any(limit is not None and self._served >= limit for limit in limits):
            raise RolloutError("the simulated server does not answer")

    def _serve(self) -> ServedRecord:
        champion, candidate, percent, mirror = self.table
        draw = self._random.random
        version = candidate if champion is None or (candidate and draw() * 100 < percent) else champion
        assert version is not None
        behavior = self._behaviors[version]
        self._served += 1
        ok = draw() >= behavior.error_rate
        mirrored = ok and champion is not None and candidate is not None and draw() < mirror
        correct = draw() < behavior.accuracy
        if ok:
            self._outcomes.append(LabeledOutcome(version, correct))
        return ServedRecord(
            at=float(self._served),
            version=version,
            ok=ok,
            latency_ms=self._random.lognormvariate(0.7, 0.5) * behavior.slowness,
            predicted="a" if ok else None,
            confidence=0.9 if ok else None,
            agrees=draw() < self._behaviors[candidate or ""].agreement if mirrored else None,
        )
