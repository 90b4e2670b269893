"""A candidate's share of the traffic is a lease: it ends by itself unless the judge says that it is looking.

So a judge may die in any way, kill -9 and the machine it runs on included: the champion has all of the
traffic again soon after.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from linnet.errors import RequestRejected

LONGEST_SECONDS = 86_400.0
"""What a person who routes by hand may ask for at most: no share is for ever."""


class Lease:
    """A timer that is set, renewed and cleared; `lapse` is called when it runs out."""

    def __init__(self, seconds: float, lapse: Callable[[], Awaitable[None]]) -> None:
        """`seconds`: how long a lease lasts unless it is asked for longer."""
        self._default, self._lapse = seconds, lapse
        self._seconds = 0.0
        self._until = math.inf
        self._timer: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """Whether there is one."""
        return self._until < math.inf

    @property
    def over(self) -> bool:
        """Whether there is one that ran out."""
        return asyncio.get_running_loop().time() >= self._until

    def begin(self, seconds: float | None) -> None:
        """Begins a lease of so many seconds, in place of one that there was."""
        self._seconds = seconds or self._default
        self.renew()
        if self._timer is None or self._timer.done():
            self._timer = asyncio.ensure_future(self._watch())

    def renew(self) -> float:
        """Begins its time anew; returns its seconds."""
        self._until = asyncio.get_running_loop().time() + self._seconds
        return self._seconds

    def end(self) -> None:
        """There is none any more."""
        self._until = math.inf

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while self.held:
            if self.over:
                await self._lapse()
                if self.over:  # it could not be done: it is tried again
                    await asyncio.sleep(1.0)
            else:
                await asyncio.sleep(min(self._until - loop.time(), 1.0))


def lease_seconds(value: object) -> float | None:
    """The field `lease_seconds` of a request; None: as the server is set.

    Raises:
        RequestRejected: 400, it is not a number above 0 and up to LONGEST_SECONDS.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_SECONDS:
        raise RequestRejected(
            400, f"lease_seconds: must be a number above 0 and up to {LONGEST_SECONDS:g}, not {value!r:.80}"
        )
    return float(value)


def lapses_metric(counts: dict[str, int]) -> Metric:
    """How often a model's candidate lost its share because nobody looked after it."""
    family = CounterMetricFamily(
        "linnet_rollouts_lapsed",
        "Candidates whose share went back to the champion because their judge was gone.",
        labels=("model",),
    )
    for model, count in counts.items():
        family.add_metric((model,), count)
    return family
