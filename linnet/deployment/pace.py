"""How fast traffic is replayed: pure, from what the packages took when they answered alone.

Beyond what a server can do, on a machine that has other work besides, requests show how long its queue is,
and nothing about a version. So the sender keeps the queue short, by the rule of TCP (Chiu and Jain, Computer
Networks 17, 1989).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from linnet.config import ReleaseConfig
from linnet.records import ModelPackage

_LOAD = 0.7
"""Share of the requests a second that a package answered one after another which is replayed at most."""
_PATIENCE_SECONDS = 3.0
"""An answer may take as long, however quick the packages are."""
_PATIENCE = 10
"""How many times the p95 latency of a package an answer may take before it counts as none."""
_LATE = 3
"""How many times the p95 latency of a package an answer takes where others were in its way."""
_LATE_SECONDS = 1.0
"""The same where no package says how long it takes."""
_LEAST_LATE_SECONDS = 0.05
"""An answer within this is never late: the scheduler of a busy machine alone takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When requests are sent, and how long is waited for an answer."""

    rate: float
    """Requests a second."""
    patience: float = _PATIENCE_SECONDS
    """Seconds after which a request without an answer has failed."""
    late: float = _LATE_SECONDS
    """Seconds after which an answer says that too many requests are in flight."""

    @classmethod
    def of(cls, config: ReleaseConfig, packages: Sequence[ModelPackage]) -> Pace:
        """`release.replay_rps`, or what the slowest package can do if that is less; its p95 in seconds."""
        median = max((package.latency_p50_ms for package in packages), default=0.0) / 1000
        p95 = max((package.latency_p95_ms for package in packages), default=0.0) / 1000
        return cls(
            rate=min(config.replay_rps, _LOAD / median) if median > 0 else config.replay_rps,
            patience=max(_PATIENCE_SECONDS, _PATIENCE * p95),
            late=max(_LEAST_LATE_SECONDS, _LATE * p95) if p95 > 0 else _LATE_SECONDS,
        )


class Window:
    """How many requests may be in flight: one more for each round of answers in time, half for a late one."""

    def __init__(self, most: int, late: float) -> None:
        """`most`: never more than these; an answer after more than `late` seconds is a late one."""
        self._most, self._late = most, late
        self._allowed, self._in_flight = most / 2, 0

    def enter(self) -> bool:
        """Counts a request as in flight; False if there are as many as there may be."""
        if self._in_flight >= int(self._allowed):
            return False
        self._in_flight += 1
        return True

    def leave(self, seconds: float | None) -> None:
        """An answer or a refusal came after `seconds`; None: nothing came, so that a version hangs."""
        self._in_flight -= 1
        if seconds is None:
            return
        grown = min(self._allowed + 1 / self._allowed, self._most)
        self._allowed = max(1.0, self._allowed / 2) if seconds > self._late else grown
