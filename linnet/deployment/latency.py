"""Is the candidate slower? A test of the tail that may be looked at any time, and holds on a busy machine.

A look's requests were routed at random and served in the same period. Whatever made some of them slow
(load, a neighbor, a collection of garbage) met both versions alike, so if the candidate is no slower,
the slow ones among them are spread over the versions as lots are. Given how many requests each version
answered and how many were slow, the number of slow ones that are the candidate's is then hypergeometric
(Fisher's exact test), and with odds ratio theta it is Fisher's noncentral hypergeometric. The product
over looks of these likelihood ratios, mixed over theta > 1, is a non-negative supermartingale where the
odds ratio is at most 1, and mixed over theta < 1 where it is at least 1: by Ville's inequality the first
proves "slower" and the second "not slower" at any time. Conditioning on what happened to both is what
Lindon, Sanden and Shirikian (arXiv 2205.14762) do with events of a varying rate; e-values for strata of
two-by-two tables: Turner, Ly and Gruenwald (arXiv 2106.02693).

"Slow" is: slower than the champion's quantile q, for the champion; slower than allow(q), for the
candidate, where allow(q) = max(ratio x q, q + floor). If the candidate's latency is allow(champion's)
or less, the odds ratio is at most 1. q is taken from earlier looks, so it is known before the bet.
No shape of the distribution is assumed, and it may drift from look to look.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

Floats = npt.NDArray[np.float64]

BLOCK = 64
"""Most requests in a block: few enough that its requests shared one period."""
WARM_UP = 300
"""Latencies of the champion before the first bet, so that its quantile is known."""

_STEPS = np.array([0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0])
_THETAS = np.exp(np.concatenate([_STEPS, -_STEPS]))
_HALF = len(_STEPS)
_FALLING = np.array([gammaln(n + 1) for n in range(BLOCK + 1)])  # log n!

_LOWEST_MS, _PER_FACTOR, _BINS = 0.01, 100.0, 1840  # bins of 1 %, from 0.01 ms to 1000 s


@dataclass(slots=True)
class Histogram:
    """Latencies in bins of 1 % width, so that it can be kept over a restart. Shape: streams, bins."""

    counts: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, shape: tuple[int, ...] = ()) -> Histogram:
        """Nothing seen yet."""
        return cls(np.zeros((*shape, _BINS), np.int64))

    def add(self, latencies: Floats) -> None:
        """Takes in latencies in ms, shape streams x values; NaN is no value."""
        with np.errstate(invalid="ignore", divide="ignore"):
            place = np.floor(np.log(latencies / _LOWEST_MS) * _PER_FACTOR)
        known = ~np.isnan(latencies)
        place = np.clip(np.where(known, np.nan_to_num(place, neginf=0.0), 0.0), 0, _BINS - 1).astype(np.int64)
        if self.counts.ndim == 1:
            np.add.at(self.counts, place[known], 1)
        else:
            stream = np.broadcast_to(np.arange(len(place))[:, None], place.shape)
            np.add.at(self.counts, (stream[known], place[known]), 1)

    def total(self) -> npt.NDArray[np.int64]:
        """Number of latencies."""
        total: npt.NDArray[np.int64] = self.counts.sum(axis=-1)
        return total

    def at_rank(self, rank: npt.ArrayLike, *, upper: bool = False) -> Floats:
        """Lower (or upper) edge in ms of the bin that holds the 1-based rank; NaN where there is none."""
        rank = np.asarray(rank)
        sums = self.counts.cumsum(axis=-1)
        place = (sums < rank[..., None]).sum(axis=-1)
        edge = _LOWEST_MS * np.exp((place + upper) / _PER_FACTOR)
        return np.where((rank >= 1) & (rank <= sums[..., -1]), edge, np.nan)

    def quantile(self, share: float) -> Floats:
        """The empirical quantile in ms, to 1 % and from below; NaN if there is nothing."""
        total = self.total()
        return self.at_rank(np.where(total > 0, np.maximum(np.ceil(share * total), 1), 0))


@dataclass(slots=True)
class TailTest:
    """Evidence on one quantile: for the margin, and for ratios that draw the band of the plot."""

    quantile: float
    ratio: float
    floor_ms: float
    ratios: Floats
    """Ratios (without floor) that make the band, rising; may be empty."""
    logs: Floats
    """Log-likelihood ratios against odds 1, shape streams x (1 + ratios) x thetas."""
    limit_ms: Floats = field(init=False)
    """The latest limit for the candidate, NaN before the first bet. Shape: streams."""

    def __post_init__(self) -> None:
        self.limit_ms = np.full(self.logs.shape[:-2], np.nan)

    @classmethod
    def start(
        cls, quantile: float, ratio: float, floor_ms: float, shape: tuple[int, ...] = (), band: bool = True
    ) -> TailTest:
        """No evidence yet. `band` False leaves the ratios out, for simulations."""
        ratios = np.geomspace(0.4, 4.0, 47) if band else np.empty(0)
        return cls(quantile, ratio, floor_ms, ratios, np.zeros((*shape, 1 + len(ratios), len(_THETAS))))

    def add(self, champion: Floats, candidate: Floats, before: Histogram) -> None:
        """Takes in a block: latencies in ms, streams x values (NaN is none), at most BLOCK of both.

        `before` are the champion's latencies of earlier blocks.
        """
        q = np.where(before.total() >= WARM_UP, before.quantile(self.quantile), np.nan)
        self.limit_ms = np.where(np.isnan(q), self.limit_ms, np.maximum(self.ratio * q, q + self.floor_ms))
        limits = np.concatenate([self.limit_ms[..., None], q[..., None] * self.ratios], axis=-1)
        ready = ~np.isnan(q)[..., None]
        with np.errstate(invalid="ignore"):
            ours = (candidate[..., None, :] > limits[..., None]).sum(-1)
            theirs = (champion > q[..., None]).sum(-1)[..., None]
        here = (~np.isnan(candidate)).sum(-1)[..., None]
        there = (~np.isnan(champion)).sum(-1)[..., None]
        both = np.broadcast_to(ready & (here > 0) & (there > 0), ours.shape)
        if both.any():
            parts = (np.broadcast_to(part, ours.shape)[both] for part in (ours, here, theirs, there))
            self.logs[both] += _log_ratios(*parts)

    def evidence(self) -> tuple[Floats, Floats]:
        """Log e-values that the candidate is slower than allowed, and that it is not. Shape: streams."""
        return self._mixed(0)

    def band(self, alpha: float, beta: float) -> tuple[float, float]:
        """(low, high): slower than `low` times is proven to alpha, faster than `high` times to beta.

        For one stream. (0, inf) while there is nothing to go by.
        """
        slower, faster = self._mixed(slice(1, None))
        below = np.flatnonzero(slower >= -np.log(alpha))
        above = np.flatnonzero(faster >= -np.log(beta))
        low = float(self.ratios[below[-1]]) if len(below) else 0.0
        return low, float(self.ratios[above[0]]) if len(above) else float("inf")

    def state(self) -> dict[str, Any]:
        """What a restart needs, as JSON values."""
        return {"logs": self.logs.tolist(), "limit_ms": np.nan_to_num(self.limit_ms, nan=-1.0).tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what `state` gave."""
        logs, limit = np.asarray(state["logs"], float), np.asarray(state["limit_ms"], float)
        if logs.shape != self.logs.shape:
            raise ValueError("the evidence has another shape")
        self.logs, self.limit_ms = logs, np.where(limit < 0, np.nan, limit)

    def _mixed(self, place: int | slice) -> tuple[Floats, Floats]:
        logs = self.logs[..., place, :]
        return _log_mean(logs[..., :_HALF]), _log_mean(logs[..., _HALF:])


def _log_mean(logs: Floats) -> Floats:
    """log of the mean of exp(logs) over the last axis."""
    most = logs.max(axis=-1)
    value: Floats = most + np.log(np.exp(logs - most[..., None]).mean(axis=-1))
    return value


def _log_ratios(
    ours: npt.NDArray[np.int64],
    here: npt.NDArray[np.int64],
    theirs: npt.NDArray[np.int64],
    there: npt.NDArray[np.int64],
) -> Floats:
    """log P_theta(ours | here, there, ours + theirs) - log P_1(...), shape tables x thetas."""
    slow = ours + theirs
    most = int(slow.max(initial=0))
    k = np.arange(most + 1)
    possible = (k <= here[:, None]) & (slow[:, None] - k <= there[:, None]) & (k <= slow[:, None])
    left, right = np.maximum(here[:, None] - k, 0), np.clip(slow[:, None] - k, 0, there[:, None])
    logs = _FALLING[here][:, None] - _FALLING[k] - _FALLING[left]
    logs = logs + _FALLING[there][:, None] - _FALLING[right] - _FALLING[there[:, None] - right]
    ways = np.where(possible, np.exp(logs), 0.0)
    ways = ways / ways.sum(axis=1, keepdims=True)  # P_1
    powers = _THETAS[None, :] ** k[:, None]
    ratios: Floats = ours[:, None] * np.log(_THETAS) - np.log(ways @ powers)
    return ratios
