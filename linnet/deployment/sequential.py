"""Bounds that may be looked at any time: confidence sequences for shares, their differences, and means.

For yes/no outcomes the Beta mixture of likelihood ratios

    M_n(p) = B(a + k, b + n - k) / (B(a, b) p^k (1 - p)^(n - k))

with k yes among n is a non-negative martingale that starts at 1 if p is the true share; by Ville's
inequality it ever reaches 1/alpha with probability at most alpha. The p with M_n(p) < 1/alpha are
therefore a confidence sequence: they contain the true share at all n at once with probability of at
least 1 - alpha, however often one looks and whenever one stops (Robbins 1970; Howard, Ramdas,
McAuliffe and Sekhon, arXiv 1810.08240; as a bet: Waudby-Smith and Ramdas, arXiv 2010.09686).

Two versions are compared by the product of their martingales, divided by the largest likelihood that a
difference of d allows: no pair of shares with that difference makes it larger than the product of two
martingales, so it is an e-process for the difference (universal inference; for two-by-two tables:
Turner and Gruenwald, arXiv 2203.09785). The prior never touches validity, only where bounds are tight.

Everything takes arrays of any one shape, and so judges one rollout or two thousand simulated ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, gammaln, xlogy

Floats = npt.NDArray[np.float64]
Counts = Floats | npt.NDArray[np.int64] | int | float
Prior = tuple[float, float]
Accepted = Callable[[Floats], npt.NDArray[np.bool_]]

RARE: Prior = (0.5, 50.0)
"""Prior for shares near 0, such as errors."""
FREQUENT: Prior = (5.0, 0.5)
"""Prior for shares near 1, such as agreement and accuracy."""
SOME: Prior = (0.5, 4.0)
"""Prior for shares of classes."""

_PARTS, _ROUNDS = 24, 7  # of the search for a bound: 24^-7 is below what matters to any decision


def share_bounds(
    yes: Counts, trials: Counts, alphas: tuple[float, float], prior: Prior
) -> tuple[Floats, Floats]:
    """Bounds on the true share after `yes` among `trials`; (0, 1) while there is nothing to go by.

    The lower one ever lies above the share with probability of at most alphas[0], the upper one ever
    below it with at most alphas[1], over all looks.
    """
    k, n = _arrays(yes, trials)
    assert np.all((k >= 0) & (k <= n))
    marginal, peak = _log_marginal(k, n, prior), _share(k, n)

    def accepted(alpha: float) -> Accepted:
        return lambda share: _log_likelihood(k, n, share) > marginal + np.log(alpha)

    low = _edge(accepted(alphas[0]), np.zeros(k.shape), peak)
    return low, _edge(accepted(alphas[1]), np.ones(k.shape), peak)


def share_evidence(yes: Counts, trials: Counts, limit: float, prior: Prior) -> tuple[Floats, Floats]:
    """Log e-values against "the share is at most `limit`" and against "it is at least `limit`"."""
    k, n = _arrays(yes, trials)
    evidence = _log_marginal(k, n, prior) - _log_likelihood(k, n, np.full(k.shape, limit))
    over, seen = _share(k, n) > limit, n > 0
    return np.where(over & seen, evidence, -np.inf), np.where(~over & seen, evidence, -np.inf)


def difference_bounds(
    ours: tuple[Counts, Counts], theirs: tuple[Counts, Counts], alphas: tuple[float, float], prior: Prior
) -> tuple[Floats, Floats]:
    """Bounds on our share minus theirs, each side given as (yes, trials); (-1, 1) without a trial.

    `alphas` as for `share_bounds`.
    """
    x1, n1, x2, n2 = _arrays(*ours, *theirs)
    marginal = _log_marginal(x1, n1, prior) + _log_marginal(x2, n2, prior)
    peak, seen = _share(x1, n1) - _share(x2, n2), n1 * n2 > 0

    def accepted(alpha: float) -> Accepted:
        return lambda difference: _profile(x1, n1, x2, n2, difference) > marginal + np.log(alpha)

    low = _edge(accepted(alphas[0]), np.full(x1.shape, -1.0), peak)
    high = _edge(accepted(alphas[1]), np.full(x1.shape, 1.0), peak)
    return np.where(seen, low, -1.0), np.where(seen, high, 1.0)


def difference_evidence(
    ours: tuple[Counts, Counts], theirs: tuple[Counts, Counts], margin: float, prior: Prior
) -> tuple[Floats, Floats]:
    """Log e-values against "our share is at most `margin` more than theirs" and against "at least".

    The first proves the candidate worse than the margin where it is large, the second within it.
    """
    x1, n1, x2, n2 = _arrays(*ours, *theirs)
    difference = np.full(x1.shape, margin)
    evidence = _log_marginal(x1, n1, prior) + _log_marginal(x2, n2, prior)
    evidence = evidence - _profile(x1, n1, x2, n2, difference)
    over = _share(x1, n1) - _share(x2, n2) > margin
    seen = n1 * n2 > 0
    return np.where(over & seen, evidence, -np.inf), np.where(~over & seen, evidence, -np.inf)


@dataclass(slots=True)
class MeanEvidence:
    """A confidence sequence for the mean of values in [0, 1]: predictable plug-in empirical Bernstein.

    Waudby-Smith and Ramdas, arXiv 2010.09686, theorem 2; the weight of a block of values depends on
    earlier blocks only. All fields have the shape of the number of parallel streams.
    """

    n: Floats
    total: Floats
    squares: Floats
    """Sum of (value - earlier mean) squared."""
    weights: Floats = field(init=False)
    weighted: Floats = field(init=False)
    spent: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.weights, self.weighted, self.spent = (np.zeros_like(self.n) for _ in range(3))

    @classmethod
    def empty(cls, shape: tuple[int, ...] = ()) -> MeanEvidence:
        """Nothing seen yet."""
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape))

    def add(self, n: Counts, total: Counts, squares: Counts) -> None:
        """Takes in a block: its size, the sum of its values and the sum of their squares."""
        mean = (0.5 + self.total) / (1.0 + self.n)
        variance = (0.25 + self.squares) / (1.0 + self.n)
        t = np.maximum(self.n + np.asarray(n, float), 1.0)
        weight = np.minimum(np.sqrt(2 * np.log(2 / 0.005) / (variance * t * np.log1p(t))), 0.5)
        around = np.maximum(np.asarray(squares) - 2 * mean * np.asarray(total) + n * mean**2, 0.0)
        self.spent = self.spent + around * (-np.log1p(-weight) - weight)
        self.weights = self.weights + weight * n
        self.weighted = self.weighted + weight * np.asarray(total)
        self.squares = self.squares + around
        self.n, self.total = self.n + n, self.total + total

    def bounds(self, alpha: float) -> tuple[Floats, Floats]:
        """Bounds on the mean that hold at all looks at once with probability of at least 1 - alpha."""
        some = np.maximum(self.weights, 1e-300)
        center, radius = self.weighted / some, (np.log(2 / alpha) + self.spent) / some
        return np.clip(center - radius, 0.0, 1.0), np.clip(center + radius, 0.0, 1.0)

    def mean(self) -> Floats:
        """The plain mean; NaN if there is nothing."""
        mean: Floats = np.divide(self.total, self.n, out=np.full(np.shape(self.n), np.nan), where=self.n > 0)
        return mean


def quantile_ranks(trials: int, quantile: float, alpha: float) -> tuple[int, int]:
    """1-based ranks (low, high) such that the order statistics there enclose the true quantile.

    Rank 0 stands for minus infinity, rank `trials` + 1 for infinity. Valid at all looks at once with
    probability of at least 1 - alpha, for any distribution, atoms included (Howard and Ramdas,
    arXiv 1906.09712: for every x, ask for the share of outcomes up to x).
    """
    if trials == 0:
        return 0, 1
    prior = (20.0 * quantile, 20.0 * (1.0 - quantile))
    counts = np.arange(trials + 1.0)
    evidence = _log_marginal(counts, np.full(trials + 1, float(trials)), prior)
    evidence -= _log_likelihood(counts, np.full(trials + 1, float(trials)), np.full(trials + 1, quantile))
    accepted = np.flatnonzero(evidence < -np.log(alpha))
    return int(accepted[0]), int(accepted[-1]) + 1


def _arrays(*values: Counts) -> list[Floats]:
    return [np.asarray(each, np.float64) for each in np.broadcast_arrays(*values)]


def _share(yes: Floats, trials: Floats) -> Floats:
    share: Floats = np.divide(yes, trials, out=np.full(yes.shape, 0.5), where=trials > 0)
    return share


def _log_marginal(yes: Floats, trials: Floats, prior: Prior) -> Floats:
    """Log of the mixture's numerator, B(a + k, b + n - k) / B(a, b)."""
    a, b = prior
    value: Floats = gammaln(a + yes) + gammaln(b + trials - yes) - gammaln(a + b + trials) - betaln(a, b)
    return value


def _log_likelihood(yes: Floats, trials: Floats, share: Floats) -> Floats:
    """k log p + (n - k) log(1 - p), with 0 log 0 = 0."""
    with np.errstate(divide="ignore"):
        value: Floats = xlogy(yes, share) + xlogy(trials - yes, 1.0 - share)
    return value


def _profile(x1: Floats, n1: Floats, x2: Floats, n2: Floats, difference: Floats) -> Floats:
    """Largest log-likelihood with p1 - p2 = difference; p2 solves a cubic (Miettinen and Nurminen 1985)."""
    n, x = n1 + n2, x1 + x2
    c3 = np.maximum(n, 1e-12)
    c2 = (n1 + 2 * n2) * difference - n - x
    c1 = (n2 * difference - n - 2 * x2) * difference + x
    c0 = x2 * difference * (1 - difference)
    q = c2**3 / (3 * c3) ** 3 - c1 * c2 / (6 * c3**2) + c0 / (2 * c3)
    p = np.where(q >= 0, 1.0, -1.0) * np.sqrt(np.maximum(c2**2 / (3 * c3) ** 2 - c1 / (3 * c3), 0.0))
    cosine = np.divide(q, p**3, out=np.zeros(q.shape), where=p != 0)
    angle = (np.pi + np.arccos(np.clip(cosine, -1.0, 1.0))) / 3
    second = 2 * p * np.cos(angle) - c2 / (3 * c3)
    second = np.clip(second, np.maximum(0.0, -difference), np.minimum(1.0, 1.0 - difference))
    first = np.clip(second + difference, 0.0, 1.0)
    return _log_likelihood(x1, n1, first) + _log_likelihood(x2, n2, second)


def _edge(accepted: Accepted, outside: Floats, inside: Floats) -> Floats:
    """Where acceptance ends between an end that may be rejected and a value that is accepted.

    The outer side is returned, so that rounding never makes a bound too tight.
    """
    end, open_end = outside, accepted(outside)
    parts = np.linspace(0.0, 1.0, _PARTS + 1)[1:-1].reshape(-1, *(1,) * outside.ndim)
    for _ in range(_ROUNDS):
        points = outside + parts * (inside - outside)
        rejected = (~accepted(points)).sum(axis=0)  # they come first, seen from the outside
        width = (inside - outside) / _PARTS
        outside, inside = outside + rejected * width, outside + (rejected + 1) * width
    result: Floats = np.where(open_end, end, outside)
    return result
