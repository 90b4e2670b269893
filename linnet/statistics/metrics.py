"""Quality of a classifier's predictions: pure functions of labels and probabilities.

A class without test samples has no recall: it is NaN, and macro averages go over the classes that
have samples (scikit-learn's answer with `labels=` the classes present, `zero_division=0`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Predictions:
    """What a model said about N samples: `labels` int64 [N], `probabilities` float64 [N, K].

    Raises:
        ValueError: shapes do not fit, there is no sample, or a label is no column of `probabilities`.
    """

    labels: Ints
    probabilities: Floats

    def __post_init__(self) -> None:
        shape = self.probabilities.shape
        if len(shape) != 2 or self.labels.shape != shape[:1] or shape[0] == 0 or shape[1] < 2:
            raise ValueError(
                f"labels {self.labels.shape} and probabilities {shape} are not [N] and [N, K>=2]"
            )
        if self.labels.min() < 0 or self.labels.max() >= shape[1]:
            raise ValueError(f"labels must lie in 0..{shape[1] - 1}")

    @property
    def samples(self) -> int:
        """N."""
        return len(self.labels)

    @property
    def output(self) -> Floats:
        """The probabilities."""
        return self.probabilities

    @property
    def classes(self) -> int:
        """K."""
        return int(self.probabilities.shape[1])

    @cached_property
    def not_finite(self) -> int:
        """Samples with a probability that is no number or infinite; a model that has any is broken."""
        return int((~np.isfinite(self.probabilities).all(axis=1)).sum())

    @cached_property
    def predicted(self) -> Ints:
        """Likeliest class [N]; the first of equals, as argmax has it."""
        likeliest: Ints = self.probabilities.argmax(axis=1)
        return likeliest

    @cached_property
    def confidence(self) -> Floats:
        """Probability of the likeliest class [N]."""
        highest: Floats = self.probabilities.max(axis=1)
        return highest

    @cached_property
    def correct(self) -> Bools:
        """Whether the likeliest class is the label [N]."""
        return np.equal(self.predicted, self.labels)

    @property
    def scores(self) -> Floats:
        """1 where the likeliest class is the label, else 0, also where a probability is no number: [N]."""
        return (self.correct & np.isfinite(self.probabilities).all(axis=1)).astype(np.float64)

    @cached_property
    def confusion(self) -> Ints:
        """Counts [K, K]: rows are true classes, columns predicted ones."""
        return confusion_matrix(self.labels, self.predicted, self.classes)


def confusion_matrix(labels: Ints, predicted: Ints, classes: int) -> Ints:
    """Counts [K, K] of true class (row) and predicted class (column)."""
    flat: Ints = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes)


@dataclass(frozen=True)
class ClassMetrics:
    """One value a class, float64 [..., K]; leading axes are resamples where there are any."""

    precision: Floats
    recall: Floats
    f1: Floats
    present: Bools
    """[K]: the class has test samples."""

    def macro(self, values: Floats) -> Floats:
        """Mean over the classes that have samples."""
        mean: Floats = values[..., self.present].mean(axis=-1)
        return mean

    @property
    def worst_recall(self) -> Floats:
        """Smallest recall over the classes that have samples."""
        smallest: Floats = self.recall[..., self.present].min(axis=-1)
        return smallest


def class_metrics(hits: Floats, support: Floats, named: Floats) -> ClassMetrics:
    """Precision, recall and F1 from true positives, samples and predictions a class.

    `hits` and `named` are [..., K], `support` is [K].

    Precision of a class that was never predicted is 0; recall and F1 of a class without samples NaN.
    """
    precision = np.divide(hits, named, out=np.zeros(np.shape(hits)), where=named > 0)
    recall = np.divide(hits, support, out=np.full(np.shape(hits), np.nan), where=support > 0)
    f1 = np.divide(2.0 * hits, support + named, out=np.full(np.shape(hits), np.nan), where=support > 0)
    return ClassMetrics(precision, recall, f1, np.greater(support, 0))


def metrics_by_class(confusion: Ints | Floats) -> ClassMetrics:
    """Precision, recall and F1 a class [K] of a confusion matrix [K, K]."""
    counts = confusion.astype(np.float64)
    return class_metrics(np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0))


def false_positive_rates(confusion: Ints) -> Floats:
    """A class [K]: share of the samples of other classes that were called it; NaN if there are none."""
    false_positives = confusion.sum(axis=0) - np.diagonal(confusion)
    negatives = confusion.sum() - confusion.sum(axis=1)
    rates: Floats = np.divide(
        false_positives, negatives, out=np.full(len(confusion), np.nan), where=negatives > 0
    )
    return rates


def auc_components(predictions: Predictions, k: int) -> tuple[Floats, Floats] | None:
    """Structural components of class `k`'s one-against-rest AUC; None without positives or negatives.

    First [positives]: share of negatives that each positive outranks; second [negatives]: share of
    positives that outrank each negative; a tie counts half. The mean of either is the AUC
    (Mann-Whitney). DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988).
    """
    scores = predictions.probabilities[:, k]
    own = predictions.labels == k
    positives, negatives = scores[own], scores[~own]
    if not len(positives) or not len(negatives):
        return None
    return _share_below(np.sort(negatives), positives), 1.0 - _share_below(np.sort(positives), negatives)


def _share_below(ordered: Floats, values: Floats) -> Floats:
    """Share of `ordered` that lies below each value; equals count half."""
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return below / (2.0 * len(ordered))


def macro_auc(predictions: Predictions) -> float:
    """Mean one-against-rest AUC over the classes that have positives and negatives; NaN if none has."""
    parts = (auc_components(predictions, k) for k in range(predictions.classes))
    values = [float(part[0].mean()) for part in parts if part is not None]
    return float(np.mean(values)) if values else float("nan")


def brier_scores(predictions: Predictions) -> Floats:
    """A sample [N]: squared distance of the probabilities from the truth, summed over classes, 0 to 2.

    The mean is the multi-class score of Brier, Monthly Weather Review 78 (1950).
    """
    probabilities = predictions.probabilities
    own = probabilities[np.arange(predictions.samples), predictions.labels]
    squares: Floats = (probabilities * probabilities).sum(axis=1)
    return squares - 2.0 * own + 1.0


def log_losses(predictions: Predictions) -> Floats:
    """A sample [N]: minus the natural logarithm of the true class's probability.

    Probabilities are kept at or above 2.2e-16 (the spacing of doubles at 1), so the loss is finite.
    """
    own = predictions.probabilities[np.arange(predictions.samples), predictions.labels]
    return -np.log(np.clip(own, np.finfo(np.float64).eps, 1.0))


def equal_mass_bins(confidence: Floats, bins: int) -> Ints:
    """Bin [N] of each confidence, so that bins hold about equally many; equal values share a bin.

    Adaptive bins: Nixon et al., "Measuring Calibration in Deep Learning" (2019), arXiv 1904.01685.
    """
    edges = np.quantile(confidence, np.linspace(0.0, 1.0, bins + 1)[1:-1])
    return np.searchsorted(edges, confidence)


def calibration_error(predictions: Predictions, bins: int) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over equal-mass bins."""
    which = equal_mass_bins(predictions.confidence, bins)
    gaps = np.bincount(which, predictions.confidence - predictions.correct, minlength=bins)
    return float(np.abs(gaps).sum() / predictions.samples)


def ratio(part: float, whole: float, otherwise: float = float("nan")) -> float:
    """A share of counts; `otherwise` where there is nothing that it could be a share of."""
    return float(part / whole) if whole else otherwise
