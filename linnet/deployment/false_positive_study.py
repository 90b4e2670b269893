"""Thousands of simulated rollouts at once: what the judge decides, how often, and after how many requests.

The requests are drawn; evidence, judge and steps are the real ones. For choosing margins and volume, and
for showing that the stated error probabilities hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linnet.config import JudgedMetric, ReleaseConfig
from linnet.deployment.evidence import RolloutEvidence, VersionEvidence
from linnet.deployment.judge import verdicts
from linnet.deployment.latency import Floats

Bools = npt.NDArray[np.bool_]
PROMOTE, ROLLBACK, INCONCLUSIVE = 1, 2, 3
SHARES = np.array([0.16, 0.13, 0.12, 0.11, 0.10, 0.10, 0.09, 0.08, 0.06, 0.05])
"""Shares of the predicted classes."""


def lognormal(median_ms: float = 2.0, sigma: float = 0.5) -> Callable[[Floats], Floats]:
    """Latencies in ms from standard normal draws."""
    return lambda z: median_ms * np.exp(sigma * z)


LATENCY = lognormal()
"""Median 2 ms, p95 4.6 ms, p99 6.4 ms."""


@dataclass(frozen=True, slots=True)
class Version:
    """How a simulated version answers."""

    error_rate: float = 0.0
    invalid_rate: float = 0.0
    latency: Callable[[Floats], Floats] = LATENCY
    accuracy: float = 0.93
    agreement: float = 0.95
    """With the champion."""
    confidence: float = 0.9
    moved: float = 0.0
    """Share of predictions that move from the first class to the last."""


@dataclass(frozen=True, slots=True)
class StudyResult:
    """How each trial ended, and after how many requests (of both versions)."""

    verdicts: npt.NDArray[np.int64]
    requests: npt.NDArray[np.int64]

    def share(self, verdict: int) -> float:
        """Share of the trials that ended so."""
        return float((self.verdicts == verdict).mean())

    @property
    def median(self) -> int:
        """Median number of requests to the end."""
        return int(np.median(self.requests))


def simulate(
    champion: Version,
    candidate: Version,
    config: ReleaseConfig,
    trials: int,
    seed: int = 0,
    load: Callable[[int, np.random.Generator], float] | None = None,
) -> StudyResult:
    """Runs `trials` rollouts under continuous looking, one look every `check_interval_seconds` of traffic.

    `load`: factor on all latencies of a look, such as a busy neighbor's, from its number.
    """
    rng = np.random.default_rng(seed)
    each = max(int(config.replay_rps * config.check_interval_seconds), 1)
    evidence = RolloutEvidence("champion", "candidate", config, (trials,), band=False)
    alive = np.arange(trials)
    state = np.zeros((4, trials), np.int64)  # step, its requests, its candidate requests, requests in all
    result = StudyResult(np.zeros(trials, np.int64), np.zeros(trials, np.int64))
    for look in range(10**9):
        step, sent, ours, total = state
        share = np.asarray(config.steps)[step] / 100.0
        factor = load(look, rng) if load is not None else 1.0
        seen = _serve(evidence, (champion, candidate), share, each, config.shadow_fraction, factor, rng)
        sent += each
        ours += seen
        total += each
        ended = _advance(state, verdicts(evidence, config), config)
        if ended.any():
            result.verdicts[alive[ended > 0]] = ended[ended > 0]
            result.requests[alive[ended > 0]] = total[ended > 0]
            alive, state = alive[ended == 0], state[:, ended == 0]
            _keep(evidence, ended == 0)
            if len(alive) == 0:
                break
    return result


def _advance(
    state: npt.NDArray[np.int64], found: Mapping[JudgedMetric, tuple[Bools, Bools]], config: ReleaseConfig
) -> npt.NDArray[np.int64]:
    """The rules of `judge.decide` for many rollouts; moves steps on and returns who ended how (0: nobody)."""
    step, sent, ours, _ = state
    bad = np.any([bad for bad, _ in found.values()], axis=0)
    good = np.all([good for _, good in found.values()], axis=0)
    seconds, steps = sent / config.replay_rps, np.asarray(config.steps)
    last = step == len(steps) - 1
    proof = last | (steps[np.minimum(step + 1, len(steps) - 1)] == 100)
    ready = (ours >= config.min_requests) & (good | ~proof)
    late = ~ready & (seconds >= config.deadline_seconds)
    baked = ready & (seconds >= min(config.min_step_seconds, config.deadline_seconds))
    ended = np.select([bad, late, baked & last], [ROLLBACK, INCONCLUSIVE, PROMOTE], 0)
    moving = baked & ~last & (ended == 0)
    state[0] += moving
    state[1:3, moving] = 0
    return ended


def _serve(
    evidence: RolloutEvidence,
    versions: tuple[Version, Version],
    share: Floats,
    each: int,
    mirror: float,
    factor: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Answers `each` requests in every rollout; returns how many the candidate computed."""
    trials = len(share)
    to_candidate = rng.random((trials, each)) < share[:, None]
    live = [each - to_candidate.sum(1), to_candidate.sum(1)]
    copies = [rng.binomial(number, mirror) for number in live]
    computed = [live[0] + copies[1], live[1] + copies[0]]
    draws = rng.standard_normal((trials, each))
    latencies = []
    for number, (side, version) in enumerate(
        zip((evidence.champion, evidence.candidate), versions, strict=True)
    ):
        fails = rng.random((trials, each)) < version.error_rate
        mine = to_candidate if number else ~to_candidate
        latencies.append(np.where(mine & ~fails, version.latency(draws) * factor, np.nan))
        answers = (mine & ~fails).sum(1) + rng.binomial(copies[1 - number], 1 - version.error_rate)
        _count(side, version, computed[number], answers, live[number], rng)
    evidence.add_latencies(*latencies)
    evidence.mirrored = evidence.mirrored + copies[0] + copies[1]
    evidence.agreed = evidence.agreed + rng.binomial(copies[0] + copies[1], versions[1].agreement)
    return np.asarray(computed[1])


def _count(
    side: VersionEvidence,
    version: Version,
    computed: npt.NDArray[np.int64],
    answers: npt.NDArray[np.int64],
    live: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    invalid = rng.binomial(answers, version.invalid_rate)
    valid = answers - invalid
    side.requests, side.failed = side.requests + computed, side.failed + computed - answers
    side.answers, side.invalid = side.answers + answers, side.invalid + invalid
    labelled = np.minimum(live, answers)
    side.answered = side.answered + labelled
    side.correct = side.correct + rng.binomial(labelled, version.accuracy)
    shares = SHARES.copy()
    shares[[0, -1]] += (-version.moved, version.moved)
    counts = rng.multinomial(valid, shares)
    side.classes = counts + (side.classes if side.classes.shape == counts.shape else 0.0)
    values = rng.beta(10 * version.confidence, 10 * (1 - version.confidence), (len(valid), int(valid.max())))
    values = np.where(np.arange(values.shape[1]) < valid[:, None], values, 0.0)
    side.confidence.add(valid, values.sum(1), (values**2).sum(1))


def _keep(evidence: RolloutEvidence, mask: Bools) -> None:
    """Forgets the rollouts that ended."""
    evidence.mirrored, evidence.agreed = evidence.mirrored[mask], evidence.agreed[mask]
    for tail in evidence.tails.values():
        tail.logs, tail.limit_ms = tail.logs[mask], tail.limit_ms[mask]
    for side in (evidence.champion, evidence.candidate):
        for name in ("requests", "failed", "answers", "invalid", "answered", "correct", "classes"):
            setattr(side, name, getattr(side, name)[mask])
        side.latencies.counts = side.latencies.counts[mask]
        for name in ("n", "total", "squares", "weights", "weighted", "spent"):
            setattr(side.confidence, name, getattr(side.confidence, name)[mask])
