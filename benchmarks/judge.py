"""How often the judge is right, and after how many requests; beside a peeking and a fixed-threshold judge."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from benchmarks.machine import describe
from linnet.config import ReleaseConfig
from linnet.deployment.false_positive_study import (
    INCONCLUSIVE,
    LATENCY,
    PROMOTE,
    ROLLBACK,
    StudyResult,
    Version,
    lognormal,
    simulate,
)
from linnet.deployment.latency import Histogram

TRIALS = 2000
VOLUME = 12_000
"""Requests after which the two simple judges promote what they did not roll back; about our median."""
LOOK = 250
"""Requests between two looks of the peeking judge."""
CASES: dict[str, tuple[Version, Version]] = {
    "identical": (Version(), Version()),
    "identical, 0.5 % errors": (Version(error_rate=0.005), Version(error_rate=0.005)),
    "+2 points of errors": (Version(), Version(error_rate=0.02)),
    "+30 % latency": (Version(), Version(latency=lambda z: 1.3 * LATENCY(z))),
    "+30 % p99 only (slowest 5 %)": (
        Version(),
        Version(latency=lambda z: np.where(z > 1.645, 1.3, 1.0) * LATENCY(z)),
    ),
    "identical, heavier tail": (
        Version(latency=lognormal(10.0, 0.6)),
        Version(latency=lognormal(10.0, 0.6)),
    ),
    "+30 % latency, heavier tail": (
        Version(latency=lognormal(10.0, 0.6)),
        Version(latency=lognormal(13.0, 0.6)),
    ),
}


def main() -> None:
    console = Console(width=120)
    config = ReleaseConfig()
    volume = int(config.replay_rps * config.deadline_seconds)
    console.print(
        f"{TRIALS} simulated rollouts each; alpha {config.alpha}, beta {config.beta}, default volume "
        f"{config.replay_rps:g} requests/s x {config.deadline_seconds:g} s = {volume:,} requests a step.\n"
        f"The two simple judges split 50:50 and end after {VOLUME:,} requests; Mann-Whitney and a test of "
        f"shares look every {LOOK}, each at the 5 % level; the fixed-threshold judge looks once, for p99 "
        f"above {config.max_latency_ratio:g} times or {config.max_error_increase:.1%} more errors.\n"
        f"{describe('numpy', 'scipy')}"
    )
    table = Table(
        "candidate", "judge", "rolled back", "promoted", "inconclusive", "median requests", "99 %", "s"
    )
    for name, (champion, candidate) in CASES.items():
        for judge, run in (("Linnet", _ours), ("Mann-Whitney, peeks", _peeking), ("fixed threshold", _fixed)):
            began = time.process_time()
            result = run(champion, candidate, config)
            table.add_row(
                name if judge == "Linnet" else "",
                judge,
                *(f"{result.share(verdict):.2%}" for verdict in (ROLLBACK, PROMOTE, INCONCLUSIVE)),
                f"{result.median:,}",
                f"{int(np.quantile(result.requests, 0.99)):,}",
                f"{time.process_time() - began:.0f}",
            )
    console.print(table)


def _ours(champion: Version, candidate: Version, config: ReleaseConfig) -> StudyResult:
    return simulate(champion, candidate, config, TRIALS, seed=1)


@dataclass(slots=True)
class _Seen:
    """What the simple judges know: failures and latencies of each version."""

    failed: npt.NDArray[np.int64]
    requests: int
    latencies: Histogram

    def add(self, version: Version, number: int, rng: np.random.Generator) -> None:
        failed = rng.binomial(number, version.error_rate, len(self.failed))
        self.failed, self.requests = self.failed + failed, self.requests + number
        draws = version.latency(rng.standard_normal((len(self.failed), number)))
        self.latencies.add(np.where(np.arange(number) < failed[:, None], np.nan, draws))


def _served(
    champion: Version,
    candidate: Version,
    each: int,
    rng: np.random.Generator,
    seen: list[_Seen] | None = None,
) -> list[_Seen]:
    both = seen or [_Seen(np.zeros(TRIALS, np.int64), 0, Histogram.empty((TRIALS,))) for _ in range(2)]
    for one, version in zip(both, (champion, candidate), strict=True):
        one.add(version, each, rng)
    return both


def _peeking(champion: Version, candidate: Version, _: ReleaseConfig) -> StudyResult:
    """Rolls back as soon as the candidate is significantly slower or fails significantly more often."""
    rng, seen = np.random.default_rng(2), None
    ended = np.zeros(TRIALS, np.int64)
    requests = np.full(TRIALS, VOLUME)
    for sent in range(LOOK, VOLUME + 1, LOOK):
        seen = _served(champion, candidate, LOOK // 2, rng, seen)
        worse = (_mann_whitney(seen[1], seen[0]) < 0.05) | (_more_errors(seen[1], seen[0]) < 0.05)
        now = worse & (ended == 0)
        ended[now], requests[now] = ROLLBACK, sent
    ended[ended == 0] = PROMOTE
    return StudyResult(ended, requests)


def _fixed(champion: Version, candidate: Version, config: ReleaseConfig) -> StudyResult:
    rng, seen = np.random.default_rng(3), None
    for _ in range(VOLUME // LOOK):
        seen = _served(champion, candidate, LOOK // 2, rng, seen)
    assert seen is not None
    theirs, ours = seen
    slower = ours.latencies.quantile(0.99) > config.max_latency_ratio * theirs.latencies.quantile(0.99)
    failing = ours.failed / ours.requests - theirs.failed / theirs.requests > config.max_error_increase
    return StudyResult(np.where(slower | failing, ROLLBACK, PROMOTE), np.full(TRIALS, VOLUME))


def _mann_whitney(ours: _Seen, theirs: _Seen) -> npt.NDArray[np.float64]:
    """One-sided p-value that ours are longer, by the normal approximation, from the histograms."""
    a, b = ours.latencies.counts.astype(float), theirs.latencies.counts.astype(float)
    n, m = a.sum(1), b.sum(1)
    u = (a * (b.cumsum(1) - b / 2)).sum(1)
    ties = ((a + b) ** 3 - (a + b)).sum(1)
    variance = n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1)))
    p: npt.NDArray[np.float64] = norm.sf((u - n * m / 2) / np.sqrt(variance))
    return p


def _more_errors(ours: _Seen, theirs: _Seen) -> npt.NDArray[np.float64]:
    """One-sided p-value of the pooled test of two shares."""
    pooled = (ours.failed + theirs.failed) / (ours.requests + theirs.requests)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / ours.requests + 1 / theirs.requests))
    difference = ours.failed / ours.requests - theirs.failed / theirs.requests
    z = np.divide(difference, spread, out=np.zeros(TRIALS), where=spread > 0)
    p: npt.NDArray[np.float64] = norm.sf(z)
    return p
