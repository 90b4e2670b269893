"""Confidence intervals of every metric; all resampling is stratified by class and vectorized.

Proportions have closed intervals. The others are conditional on the number of test samples a class.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from statistics import NormalDist

import numpy as np

from linnet.records import Interval
from linnet.statistics.metrics import (
    Floats,
    Ints,
    Predictions,
    auc_components,
    brier_scores,
    calibration_error,
    class_metrics,
    equal_mass_bins,
    log_losses,
    macro_auc,
    metrics_by_class,
)

_CHUNK = 4_000_000
"""Resampled values held at a time, so that memory stays near 100 MB whatever the test set's size."""


def unknown() -> Interval:
    """The interval of something that could not be measured: NaN throughout, which passes no gate."""
    return Interval(value=float("nan"), low=float("nan"), high=float("nan"))


def quantile_of_normal(confidence: float) -> float:
    """Two-sided standard normal quantile, such as 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2.0)


def wilson(successes: float, trials: int, confidence: float) -> Interval:
    """Score interval of a proportion, or of a mean of scores in [0, 1] that add up to `successes`.

    NaN for no trials. A score spreads no more than a coin with its mean, so that for scores it is wide.

    Wilson, JASA 22 (1927); recommended by Brown, Cai & DasGupta, Statistical Science 16 (2001).
    """
    if trials == 0:
        return unknown()
    z2 = quantile_of_normal(confidence) ** 2
    share = successes / trials
    center = (successes + z2 / 2.0) / (trials + z2)
    half = np.sqrt(z2) / (trials + z2) * np.sqrt(trials * share * (1.0 - share) + z2 / 4.0)
    low = 0.0 if successes == 0 else float(center - half)
    high = 1.0 if successes == trials else float(center + half)
    return Interval(value=share, low=low, high=high)


def clopper_pearson(successes: int, trials: int, confidence: float) -> Interval:
    """Exact interval of a proportion, never too narrow; NaN for no trials. Biometrika 26 (1934)."""
    from scipy.special import betaincinv

    if trials == 0:
        return unknown()
    tail = (1.0 - confidence) / 2.0
    failures = trials - successes
    low = 0.0 if successes == 0 else float(betaincinv(successes, failures + 1, tail))
    high = 1.0 if failures == 0 else float(betaincinv(successes + 1, failures, 1.0 - tail))
    return Interval(value=successes / trials, low=low, high=high)


def simultaneous(confidence: float, count: int) -> float:
    """Level a single interval needs for `count` independent ones to hold together (Sidak, JASA 62, 1967)."""
    return float(confidence ** (1.0 / max(count, 1)))


def worst_recall(confusion: Ints, confidence: float) -> Interval:
    """Recall of the worst class, from exact intervals that hold for all classes at once.

    If every class's recall lies in its interval, the smallest recall lies between the smallest lower
    and the smallest upper bound. A bootstrap of a minimum would be biased downwards instead.
    """
    return worst_share(np.diagonal(confusion), confusion.sum(axis=1), confidence)


def worst_share(hits: Ints, support: Ints, confidence: float) -> Interval:
    """The smallest of `hits` [K] over `support` [K], likewise; classes without support are left out."""
    present = np.flatnonzero(support)
    if not len(present):
        return unknown()
    level = simultaneous(confidence, len(present))
    each = [clopper_pearson(int(hits[k]), int(support[k]), level) for k in present]
    return Interval(
        value=min(one.value for one in each),
        low=min(one.low for one in each),
        high=min(one.high for one in each),
    )


def resampled_class_metrics(
    confusion: Ints | Floats, confidence: float, resamples: int, rng: np.random.Generator
) -> dict[str, Interval]:
    """Intervals of macro precision, macro recall and macro F1.

    Each class's row of the confusion matrix is redrawn from its posterior under a Dirichlet prior
    that weighs one sample in all (1/K a cell; Perks, 1947). It is a smoothed multinomial bootstrap,
    after Caelen, Annals of Mathematics and AI 81 (2017), that keeps a width when nothing was wrong.
    """
    classes = len(confusion)
    support = confusion.sum(axis=1).astype(np.float64)
    hits, named = np.zeros((resamples, classes)), np.zeros((resamples, classes))
    for k in np.flatnonzero(support):
        seen = np.union1d(np.flatnonzero(confusion[k]), [k])
        unseen = np.setdiff1d(np.arange(classes), seen)
        weights = np.append(confusion[k, seen] + 1.0 / classes, len(unseen) / classes)
        drawn = rng.standard_gamma(weights, size=(resamples, len(weights)))
        drawn *= support[k] / drawn.sum(axis=1, keepdims=True)
        hits[:, k] = drawn[:, np.searchsorted(seen, k)]
        named[:, seen] += drawn[:, :-1]
        named[:, unseen] += drawn[:, -1:] / max(len(unseen), 1)  # one draw, spread over the empty cells
    measured = metrics_by_class(confusion)
    drawn_metrics = class_metrics(hits, support, named)
    return {
        f"macro_{name}": around(
            float(measured.macro(getattr(measured, name))),
            drawn_metrics.macro(getattr(drawn_metrics, name)),
            confidence,
        )
        for name in ("precision", "recall", "f1")
    }


def around(value: float, draws: Floats, confidence: float) -> Interval:
    """Percentile interval of resampled values; widened to the measured value where that lies outside."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return Interval(value=value, low=float(min(low, value)), high=float(max(high, value)))


def faultless_auc_bound(classes: int, smallest: int, confidence: float) -> float:
    """Lower bound of `auc` without a misranked pair; `smallest`: the samples of the smallest class."""
    pairs = max(classes * (smallest // 2), 1)
    return clopper_pearson(pairs, pairs, confidence).low


def auc(predictions: Predictions, confidence: float) -> Interval:
    """Macro one-against-rest AUC, with the variance of its U-statistic and bounds on the logit scale.

    A sample takes part in the AUC of every class, so its structural components are added up before
    the variance within each class is taken (DeLong et al. 1988, for a mean of dependent AUCs).
    Without a misranked pair the variance is 0. Then disjoint pairs are counted, all of them right: half
    of the smallest class's samples a class, each beside one of another class. For right answers
    only, trials with unequal chances p_k are as likely as their product, which is at most that of
    trials with the mean chance, so the Clopper-Pearson bound holds for the macro average.
    """
    value = macro_auc(predictions)
    if np.isnan(value):
        return unknown()
    classes, samples = predictions.classes, predictions.samples
    share = np.zeros(samples)
    judged, smallest = 0, samples
    for k in range(classes):
        parts = auc_components(predictions, k)
        if parts is None:
            continue
        own = predictions.labels == k
        share[own] += parts[0] / len(parts[0])
        share[~own] += parts[1] / len(parts[1])
        judged += 1
        smallest = min(smallest, len(parts[0]))
    if value >= 1.0:
        return Interval(value=value, low=faultless_auc_bound(judged, smallest, confidence), high=1.0)
    variance = sum(
        len(group) * float(group.var(ddof=1))
        for group in (share[predictions.labels == k] / judged for k in range(classes))
        if len(group) > 1
    )
    if value <= 0.0 or variance <= 0.0:  # one sample a class says nothing about the spread
        return Interval(value=value, low=0.0, high=1.0)
    half = quantile_of_normal(confidence) * np.sqrt(variance) / (value * (1.0 - value))
    logit = np.log(value / (1.0 - value))
    low, high = (1.0 / (1.0 + np.exp(-(logit + side * half))) for side in (-1.0, 1.0))
    return Interval(value=value, low=float(low), high=float(high))


def calibration(
    predictions: Predictions, bins: int, confidence: float, resamples: int, rng: np.random.Generator
) -> Interval:
    """Expected calibration error over fixed equal-mass bins; deliberately wide rather than narrow.

    The plain estimate and its bootstrap are both biased upwards (a mean of absolute values). So the
    upper bound is the bootstrap percentile, the lower one is mirrored at the estimate, and it is 0
    where a perfectly calibrated model would often enough look as bad (labels redrawn from its own
    confidence).
    """
    value = calibration_error(predictions, bins)
    which = equal_mass_bins(predictions.confidence, bins)
    gap = predictions.confidence - predictions.correct
    errors, null = np.zeros(resamples), np.zeros(resamples)
    for b in np.unique(which):
        inside = which == b
        errors += np.abs(_resampled_sums(gap[inside][:, None], resamples, rng)[:, 0])
        null += np.abs(_redrawn_gaps(predictions.confidence[inside], resamples, rng))
    tail = (1.0 - confidence) / 2.0
    high = float(np.quantile(errors, 1.0 - tail)) / predictions.samples
    calibrated = value <= float(np.quantile(null, 1.0 - tail)) / predictions.samples
    low = 0.0 if calibrated else max(0.0, 2.0 * value - high)
    return Interval(value=value, low=low, high=max(high, value))


def _redrawn_gaps(confidence: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Sum of confidence minus correctness [R], if each sample were right as often as it claims."""
    sums = [
        confidence.sum() - (rng.random((rows, len(confidence)), np.float32) < confidence).sum(axis=1)
        for rows in _chunks(resamples, len(confidence))
    ]
    return np.concatenate(sums)


def mean_losses(
    predictions: Predictions, confidence: float, resamples: int, rng: np.random.Generator
) -> dict[str, Interval]:
    """Brier score and log loss: stratified percentile bootstrap of their means (Efron, 1979)."""
    losses = np.column_stack([brier_scores(predictions), log_losses(predictions)])
    sums = np.zeros((resamples, losses.shape[1]))
    for k in range(predictions.classes):
        group = losses[predictions.labels == k]
        if len(group):
            sums += _resampled_sums(group, resamples, rng)
    means = sums / predictions.samples
    return {
        name: around(float(losses[:, i].mean()), means[:, i], confidence)
        for i, name in enumerate(("brier", "log_loss"))
    }


def _resampled_sums(values: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Sums [R, M] of n draws with replacement out of values [n, M]."""
    count = len(values)
    sums = []
    for rows in _chunks(resamples, count):
        drawn = rng.integers(0, count, (rows, count), np.int32)
        sums.append(np.column_stack([column[drawn].sum(axis=1) for column in np.ascontiguousarray(values.T)]))
    return np.concatenate(sums)


def _chunks(resamples: int, count: int) -> Iterator[int]:
    """Splits the resamples so that a chunk holds a bounded number of values."""
    step = max(1, _CHUNK // max(count, 1))
    for start in range(0, resamples, step):
        yield min(step, resamples - start)


def difference(first: Interval, second: Interval) -> Interval:
    """First proportion minus the second, with Newcombe's hybrid score interval.

    Statistics in Medicine 17 (1998), method 10: it joins two intervals of single proportions.
    """
    value = first.value - second.value
    below = sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    above = sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    return Interval(value=value, low=value - below, high=value + above)
