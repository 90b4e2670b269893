"""Starts again what ended though nobody stopped it, with growing pauses.

Pure but for the callables that it is given: what lives, how a part is started, where the record goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from linnet.errors import LinnetError

LONGEST_PAUSE = 60.0
"""Seconds between two attempts at most; the first comes at once, then after 1, 2, 4 and so on."""
CALM_SECONDS = 120.0
"""Whoever lived as long begins anew with short pauses."""


@dataclass(slots=True)
class _Life:
    seen: bool = False
    """Whether it ever ran: a part that was never started is nobody's to start."""
    failures: int = 0
    next_try: float = 0.0
    since: float = 0.0
    """When it was started last."""


@dataclass
class Watchdog:
    """Watches parts, each by its name."""

    alive: Mapping[str, Callable[[], bool]]
    start: Mapping[str, Callable[[], None]]
    """Starts a part and waits until it listens. Raises LinnetError or OSError."""
    record: Callable[[str, int, str], None]
    """Is told part, attempt and problem."""
    _lives: dict[str, _Life] = field(default_factory=dict)

    def tick(self, now: float) -> None:
        """Looks once; `now` in seconds of a clock that only goes on."""
        for part, lives in self.alive.items():
            life = self._lives.setdefault(part, _Life())
            if lives():
                life.seen = True
                if now - life.since > CALM_SECONDS:
                    life.failures = 0
            elif life.seen and now >= life.next_try:
                self._start(part, life, now)

    def _start(self, part: str, life: _Life, now: float) -> None:
        life.next_try = now + min(2.0**life.failures, LONGEST_PAUSE)
        life.failures += 1
        life.since = now
        problem = ""
        try:
            self.start[part]()
        except (LinnetError, OSError) as error:
            problem = str(error) or type(error).__name__
        self.record(part, life.failures, problem)
