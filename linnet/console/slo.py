"""Service levels over the prediction log: what was promised, how it was kept, and how fast a budget burns.

The burn of a window is the share of bad requests in it over the share that the objective allows; 1 uses the
budget up exactly by its end ("The Site Reliability Workbook", Beyer et al., 2018, chapter 5). The log holds
requests that reached a model: those that were turned away before are in the server's metrics alone, and so
in Prometheus' burn rates (`linnet alerts generate`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linnet.alerting.rules import PAGES, TICKETS
from linnet.config import ServiceLevelsConfig
from linnet.console.prediction_log import LogSummary

WINDOWS = {"5m": 300, "30m": 1800, "1h": 3600, "6h": 21_600, "3d": 259_200}
"""Seconds of the windows that alerts look at."""
PERIOD_SECONDS = 30 * 86_400


@dataclass(frozen=True)
class SloStatus:
    """One objective over the last 30 days."""

    name: str
    """`availability` or `latency`, which is also its runbook's name."""
    title: str
    objective: float
    total: int
    bad: int
    burns: dict[str, float]
    """By window; 0 where nobody asked."""
    failures: dict[str, int]
    """Bad requests by window."""

    @property
    def kept(self) -> float | None:
        """Share of good requests; None without any."""
        return 1 - self.bad / self.total if self.total else None

    @property
    def budget_left(self) -> float | None:
        """Share of the error budget that is left; below zero: overspent. None without requests."""
        return 1 - self.bad / (self.total * (1 - self.objective)) if self.total else None

    def burning(self, least: int) -> str:
        """`page` or `ticket` where the budget burns too fast in both windows of a pair; else empty.

        `least`: fewest bad requests in the longer window.
        """
        for burn in (*PAGES, *TICKETS):
            both = min(self.burns[burn.long], self.burns[burn.short])
            if both > burn.factor and self.failures[burn.long] >= least:
                return burn.severity
        return ""


def objectives(log: LogSummary, levels: ServiceLevelsConfig, at: float) -> tuple[SloStatus, ...]:
    """How each objective stands at the moment `at`, in seconds since the epoch."""
    bad = {"availability": ~log.answered, "latency": log.answered & (log.latencies > levels.latency_ms)}
    titles = {
        "availability": ("Requests answered", levels.availability),
        "latency": (f"Answered within {levels.latency_ms:g} ms", levels.latency),
    }
    recent = log.at > at - PERIOD_SECONDS
    return tuple(
        SloStatus(
            name=name,
            title=title,
            objective=objective,
            total=int(recent.sum()),
            bad=int((bad[name] & recent).sum()),
            burns={w: _burn(log, bad[name], at - s, 1 - objective) for w, s in WINDOWS.items()},
            failures={w: int(bad[name][log.at > at - s].sum()) for w, s in WINDOWS.items()},
        )
        for name, (title, objective) in titles.items()
    )


def _burn(
    log: LogSummary, bad: np.ndarray[tuple[int], np.dtype[np.bool_]], since: float, allowed: float
) -> float:
    inside = log.at > since
    total = int(inside.sum())
    return float(bad[inside].sum()) / total / allowed if total else 0.0
