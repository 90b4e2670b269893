"""What a server's own metrics say of its process: memory that grows, and a clock that is off. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from linnet.monitoring import metric_names as names

MEMORY_RATIO, MEMORY_BYTES = 1.5, 200e6
"""A process has grown that holds so much more than when it had settled; both must be exceeded."""
CLOCK_SECONDS = 30.0
"""A clock is off by more: windows, labels and leases go by it."""
TRAFFIC_RATIO = 0.6
"""Of the least that is usual at this time of day: fewer requests are missing."""


@dataclass(slots=True)
class ServerHealth:
    """Gathered sample by sample from /metrics."""

    ahead: float = 0.0
    """Seconds that the server's clock is ahead of ours."""
    _memory: dict[str, float] = field(default_factory=dict)
    _settled: dict[str, float] = field(default_factory=dict)

    def take(self, name: str, labels: dict[str, str], value: float, at: float) -> None:
        """One sample; `at`: when it was asked for, in seconds since the epoch."""
        if name == names.SERVER_TIME:
            self.ahead = value - at
        elif name == names.MEMORY:
            self._memory[labels.get("worker", "")] = value
        elif name == names.MEMORY_SETTLED:
            self._settled[labels.get("worker", "")] = value

    @property
    def memory_growth(self) -> str:
        """Which process grew, and how far; empty: none did."""
        found = [
            (self._memory[worker] / settled, worker, settled)
            for worker, settled in self._settled.items()
            if settled and has_grown(self._memory.get(worker, 0.0), settled)
        ]
        if not found:
            return ""
        ratio, worker, settled = max(found)
        return (
            f"worker {worker} of the server holds {self._memory[worker] / 1e6:,.0f} MB, {ratio:.1f} times "
            f"the {settled / 1e6:,.0f} MB that it had settled at"
        )

    @property
    def clock(self) -> str:
        """How far the server's clock is off; empty: it is not."""
        if abs(self.ahead) <= CLOCK_SECONDS:
            return ""
        way = "ahead of" if self.ahead > 0 else "behind"
        return f"the server's clock is {abs(self.ahead):,.0f} s {way} this machine's"


def has_grown(memory: float, settled: float) -> bool:
    """Whether a process leaks: bytes now, and when it had settled."""
    return memory > MEMORY_RATIO * settled and memory - settled > MEMORY_BYTES


def traffic_fell(recent: float, usual: Iterable[float]) -> bool:
    """Whether fewer requests come than in every earlier stretch of the same length and time of day."""
    known = list(usual)
    least = min(known, default=0.0)
    return least >= 100 and recent + 3.0 * recent**0.5 < TRAFFIC_RATIO * least
