"""Bounds that may be looked at any time: confidence sequences for shares and quantiles.

Everything the judge watches is a share of yes/no outcomes (failed, agreed, correct, slower than x).
For such outcomes the Beta mixture of likelihood ratios

    M_n(p) = B(a + k, b + n - k) / (B(a, b) p^k (1 - p)^(n - k))

with k yes among n is a non-negative martingale that starts at 1 if p is the true share; by Ville's
inequality it ever reaches 1/alpha with probability at most alpha. The p with M_n(p) < 1/alpha are
therefore a confidence sequence: they contain the true share at all n at once with probability of at
least 1 - alpha, however often one looks and whenever one stops (Robbins 1970; Howard, Ramdas,
McAuliffe and Sekhon, arXiv 1810.08240; as a bet: Waudby-Smith and Ramdas, arXiv 2010.09686).
Quantiles follow by asking, for every x, for the share of outcomes up to x (Howard and Ramdas, arXiv
1906.09712). The prior (a, b) never touches validity, only where the bounds are tightest.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf, lgamma, log, log1p

Prior = tuple[float, float]

RARE: Prior = (0.5, 50.0)
"""Prior for shares near 0, such as errors."""
FREQUENT: Prior = (5.0, 0.5)
"""Prior for shares near 1, such as agreement and accuracy."""

_ITERATIONS = 50  # of bisection: 2^-50 is below what matters to any decision


@lru_cache(maxsize=4096)
def share_bounds(yes: int, trials: int, alpha: float, prior: Prior) -> tuple[float, float]:
    """Bounds on the true share after `yes` among `trials`; (0, 1) while there is nothing to go by.

    Both bounds hold at all looks at once with probability of at least 1 - alpha.
    """
    assert 0 <= yes <= trials and 0 < alpha < 1
    if trials == 0:
        return 0.0, 1.0
    constant = _log_evidence(yes, trials, prior) + log(alpha)  # rejected where >= log-likelihood
    peak = yes / trials
    low = 0.0 if yes == 0 else _edge(yes, trials, constant, 0.0, peak)
    high = 1.0 if yes == trials else _edge(yes, trials, constant, 1.0, peak)
    return low, high


@lru_cache(maxsize=65536)
def quantile_ranks(trials: int, quantile: float, alpha: float) -> tuple[int, int]:
    """1-based ranks (low, high) such that the order statistics there enclose the true quantile.

    Rank 0 stands for minus infinity, rank `trials` + 1 for infinity. Valid at all looks at once with
    probability of at least 1 - alpha, for any distribution, atoms included.
    """
    prior = (20.0 * quantile, 20.0 * (1.0 - quantile))
    middle = quantile * trials

    def rejected(count: int) -> bool:
        likelihood = _log_likelihood(count, trials, quantile)
        return _log_evidence(count, trials, prior) - likelihood >= -log(alpha)

    below, above = -1, int(middle)  # the largest rejected count under the middle, by bisection
    while above - below > 1:
        count = (below + above) // 2
        below, above = (count, above) if rejected(count) else (below, count)
    low = 0 if below < 0 and not rejected(0) else max(below, 0) + 1
    below, above = int(middle), trials + 1  # the smallest rejected count over the middle
    while above - below > 1:
        count = (below + above) // 2
        below, above = (below, count) if rejected(count) else (count, above)
    return low, above


def quantile_bounds(ordered: list[float], quantile: float, alpha: float) -> tuple[float, float]:
    """Bounds on the true quantile of the distribution that the sorted values come from.

    (-inf, inf) while there are too few values to say anything.
    """
    low, high = quantile_ranks(len(ordered), quantile, alpha)
    return (
        ordered[low - 1] if low >= 1 else -inf,
        ordered[high - 1] if high <= len(ordered) else inf,
    )


def _log_evidence(yes: int, trials: int, prior: Prior) -> float:
    """Log of the mixture's numerator, B(a + k, b + n - k) / B(a, b)."""
    a, b = prior
    posterior = lgamma(a + yes) + lgamma(b + trials - yes) - lgamma(a + b + trials)
    return posterior - (lgamma(a) + lgamma(b) - lgamma(a + b))


def _log_likelihood(yes: int, trials: int, share: float) -> float:
    """k log p + (n - k) log(1 - p), with 0 log 0 = 0."""
    no = trials - yes
    if (yes and share <= 0.0) or (no and share >= 1.0):
        return -inf
    return (yes * log(share) if yes else 0.0) + (no * log1p(-share) if no else 0.0)


def _edge(yes: int, trials: int, constant: float, outside: float, inside: float) -> float:
    """Where the likelihood falls to exp(constant), between a rejected and an accepted share.

    The outer end is returned, so that rounding never makes a bound too tight.
    """
    for _ in range(_ITERATIONS):
        middle = (outside + inside) / 2
        if _log_likelihood(yes, trials, middle) > constant:
            inside = middle
        else:
            outside = middle
    return outside
