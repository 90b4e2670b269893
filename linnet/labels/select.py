"""Which samples are worth a person's time: pure, from a model's outputs to a reasoned choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from linnet.config import DEFAULT_TASK
from linnet.tasks.answer import Output
from linnet.tasks.summary import summary_of

Strategy = Literal[
    "random", "audit", "gold", "suspect", "production", "drift", "margin", "entropy", "diverse"
]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHARES: Mapping[Strategy, float] = {
    "random": 0.08,
    "audit": 0.04,
    "gold": 0.03,
    "suspect": 0.25,
    "production": 0.15,
    "margin": 0.20,
    "entropy": 0.05,
    "diverse": 0.20,
}
"""Parts of the budget. Random comes first: drawn from all, it is an unbiased sample of the pool."""
BY_DRIFT: Strategy = "drift"
"""Why people were asked: the retraining policy lacked labels to prove what drift cost."""
BY_CHANCE: Mapping[Strategy, float] = {BY_DRIFT: 1.0}
"""Where `labels.requests_only` is set: what users sent, by chance: it says how well the model does."""
UNBIASED: frozenset[str] = frozenset({"random", "audit", "gold", "drift"})
"""Strategies whose samples measure something: people must not see a model's answer to them."""


@dataclass(frozen=True)
class CandidatePool:
    """N samples to choose from, with what a model said of them."""

    ids: Sequence[str]
    output: Output
    """Of the task's model: N rows."""
    embeddings: npt.NDArray[np.floating] | None = None
    """[N, D]; without them the share of `diverse` goes to the other strategies."""
    suspects: Sequence[str] = ()
    """Ids of samples with a doubtful label, the most doubtful first."""
    requests: Sequence[str] = ()
    """Ids of samples that users sent to the served model, and that nobody labelled."""
    fair: Sequence[str] = ()
    """Those of them whose image was kept by chance, whatever it shows."""
    gold: Sequence[str] = ()
    """Ids of samples whose label is known for certain, to measure annotators by."""
    audit: Sequence[str] = ()
    """Ids of test samples. They are only ever drawn at random, to measure how many labels are wrong:
    chosen by what a model thinks of them, their corrections would flatter the next model."""
    task: str = DEFAULT_TASK
    """What the output answers."""
    thresholds: tuple[float, ...] = ()
    """A probability a class, where the task has them."""


@dataclass(frozen=True, slots=True)
class SelectedSample:
    """One sample to ask about: `reasons` are strategies, the one that took it first."""

    sample_id: str
    reasons: tuple[Strategy, ...]
    score: float
    """How strongly the first reason speaks for it: 1 - margin; entropy over its largest value; distance
    to the nearest chosen sample; 1 down to 0 by the rank of the suspect; 0 for those drawn at random."""


def select(
    pool: CandidatePool, budget: int, shares: Mapping[Strategy, float] = SHARES, seed: int = 0
) -> list[SelectedSample]:
    """At most `budget` different samples; what a strategy cannot fill, the next ones get.

    The same pool, budget, shares and seed give the same choice.

    Raises:
        ValueError: shapes do not fit, or a share is negative or all are zero.
    """
    _check(pool, shares)
    budget = min(budget, len(pool.ids))
    if budget <= 0:
        return []
    rankings = _rankings(pool, seed)
    quotas = split_budget(budget, shares)
    wants: dict[Strategy, set[int]] = {
        name: set(order[: quotas.get(name, 0)].tolist()) for name, (order, _) in rankings.items()
    }
    taken: dict[int, tuple[Strategy, float]] = {}
    owed = 0
    for name, ranking in rankings.items():
        if name in quotas:
            # What a measuring strategy lacks goes on; what was owed to it does not swell the measurement.
            due = quotas[name] if name in UNBIASED else owed + quotas[name]
            owed += quotas[name] - _take(taken, name, *ranking, due)
    if set(shares) <= UNBIASED:
        return _chosen(pool, taken, wants)  # filled up with others it would measure nothing
    owed += quotas.get("diverse", 0)
    if pool.embeddings is not None and shares.get("diverse"):
        owed -= _take_diverse(taken, pool.embeddings, owed, rankings["random"][0])
    owed -= _take(taken, "margin", *rankings["margin"], owed)
    owed -= _take(taken, "production", *rankings["production"], owed)
    _take(taken, "audit", *rankings["audit"], owed)  # nothing else is left to ask about
    return _chosen(pool, taken, wants)


def _chosen(
    pool: CandidatePool, taken: Mapping[int, tuple[Strategy, float]], wants: Mapping[Strategy, set[int]]
) -> list[SelectedSample]:
    return [
        SelectedSample(pool.ids[i], (first, *(n for n in wants if n != first and i in wants[n])), score)
        for i, (first, score) in taken.items()
    ]


def split_budget(budget: int, shares: Mapping[Strategy, float]) -> dict[Strategy, int]:
    """Whole numbers that add up to `budget`, in the proportions of `shares` (largest remainder)."""
    total = sum(shares.values())
    exact = {name: budget * share / total for name, share in shares.items()}
    parts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: parts[name] - exact[name])
    for name in by_remainder[: budget - sum(parts.values())]:
        parts[name] += 1
    return parts


def k_center(points: npt.NDArray[np.floating], count: int, chosen: Sequence[int] = ()) -> tuple[Ints, Floats]:
    """Indices of `count` points [N, D], each the farthest from all chosen before; and their distances.

    Greedy k-center, at most twice the best radius: Gonzalez (1985), doi:10.1016/0304-3975(85)90224-5;
    for labelling: Sener & Savarese (2018), arXiv 1708.00489. Without `chosen` it starts at the point
    nearest to the mean.
    """
    points = np.asarray(points, np.float32)
    squares = np.einsum("nd,nd->n", points, points)

    def distances(index: int) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = squares + squares[index] - 2.0 * (points @ points[index])
        return np.maximum(found, 0.0)

    nearest = np.full(len(points), np.inf, np.float32)
    for index in chosen:
        np.minimum(nearest, distances(index), out=nearest)
    used = np.zeros(len(points), bool)
    used[list(chosen)] = True
    found: list[int] = []
    lengths: list[float] = []
    for _ in range(min(count, len(points) - len(set(chosen)))):
        if np.isinf(nearest).all():
            index = int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin())
            lengths.append(0.0)
        else:
            index = int(np.where(used, -1.0, nearest).argmax())
            lengths.append(float(np.sqrt(nearest[index])))
        found.append(index)
        used[index] = True
        np.minimum(nearest, distances(index), out=nearest)
    return np.array(found, np.int64), np.array(lengths, np.float64)


def _rankings(pool: CandidatePool, seed: int) -> dict[Strategy, tuple[Ints, Callable[[int], float]]]:
    """A strategy's samples, best first, and the score of one."""
    figures = summary_of(pool.task, pool.thresholds)
    unsure, spread = 1.0 - figures.margin(pool.output), figures.entropy(pool.output)
    place = {name: i for i, name in enumerate(pool.ids)}
    audit, requests, gold, suspects, fair = (
        np.array([place[name] for name in dict.fromkeys(ids) if name in place], np.int64)
        for ids in (pool.audit, pool.requests, pool.gold, pool.suspects, pool.fair)
    )
    apart = np.concatenate([audit, requests])
    shuffled = np.random.default_rng(seed).permutation(len(pool.ids))

    def free(order: Ints) -> Ints:
        """Without test samples and production requests, which have strategies of their own."""
        return order[~np.isin(order, apart)]

    suspects = free(suspects)
    rank = {index: 1.0 - i / len(suspects) for i, index in enumerate(suspects.tolist())}
    return {
        "random": (free(shuffled), lambda _: 0.0),
        "audit": (shuffled[np.isin(shuffled, audit)], lambda _: 0.0),
        "gold": (free(shuffled[np.isin(shuffled, gold)]), lambda _: 0.0),
        "suspect": (suspects, rank.__getitem__),
        "production": (
            requests[np.argsort(-unsure[requests], kind="stable")],
            lambda i: float(unsure[i]),
        ),
        "drift": (shuffled[np.isin(shuffled, fair)], lambda _: 0.0),
        "margin": (free(np.argsort(-unsure, kind="stable")), lambda i: float(unsure[i])),
        "entropy": (free(np.argsort(-spread, kind="stable")), lambda i: float(spread[i])),
    }


def _take(
    taken: dict[int, tuple[Strategy, float]],
    name: Strategy,
    order: Ints,
    score: Callable[[int], float],
    count: int,
) -> int:
    """Takes the first `count` samples of `order` that nobody took; how many there were."""
    fresh = [index for index in order.tolist() if index not in taken][: max(count, 0)]
    taken.update({index: (name, score(index)) for index in fresh})
    return len(fresh)


def _take_diverse(
    taken: dict[int, tuple[Strategy, float]],
    embeddings: npt.NDArray[np.floating],
    count: int,
    free: Ints,
) -> int:
    """k-center among the samples `free`, beginning from those that were taken already."""
    order = np.sort(free)
    points = np.nan_to_num(np.asarray(embeddings, np.float32))[order]
    place = {int(index): i for i, index in enumerate(order)}
    found, lengths = k_center(points, count, [place[index] for index in taken if index in place])
    chosen = order[found].tolist()
    taken.update({i: ("diverse", d) for i, d in zip(chosen, lengths.tolist(), strict=True)})
    return len(chosen)


def _check(pool: CandidatePool, shares: Mapping[Strategy, float]) -> None:
    count = len(pool.ids)
    if pool.output.ndim < 2 or len(pool.output) != count:
        raise ValueError(f"the output must have {count} rows, not the shape {pool.output.shape}")
    if len(set(pool.ids)) != count:
        raise ValueError("a sample stands in the pool twice")
    if pool.embeddings is not None and (pool.embeddings.ndim != 2 or len(pool.embeddings) != count):
        raise ValueError(f"embeddings must be [{count}, D], not {pool.embeddings.shape}")
    if min(shares.values(), default=-1.0) < 0 or sum(shares.values()) <= 0:
        raise ValueError("shares must not be negative, and not all zero")
