"""What an evaluation measures: every metric once, with what people are told of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric of a test split."""

    key: str
    """Its name in reports, gates and the registry."""
    title: str
    meaning: str
    more_is_better: bool = True
    share: bool = False
    """Whether it is a share of samples, written in percent."""
    headline: bool = True
    """Whether it is shown wherever two models are compared, and not on the report's page alone."""


METRICS = (
    Metric("accuracy", "Accuracy", "mean score of a sample: 1 where what is named is the label", share=True),
    Metric(
        "macro_f1",
        "Macro F1",
        "harmonic mean of precision and recall, averaged over classes",
        share=True,
    ),
    Metric(
        "macro_precision",
        "Macro precision",
        "how often a named class is right, averaged over classes",
        share=True,
        headline=False,
    ),
    Metric(
        "macro_recall",
        "Macro recall",
        "how often a class is found, averaged over classes",
        share=True,
        headline=False,
    ),
    Metric("worst_recall", "Worst class recall", "recall of the class that is found least often", share=True),
    Metric("auc", "Macro AUC", "how often a class's sample outranks another one; kind to imbalanced data"),
    Metric(
        "ece",
        "Calibration error",
        "mean distance of confidence and accuracy, after temperature scaling",
        more_is_better=False,
    ),
    Metric(
        "brier",
        "Brier score",
        "squared distance of the probabilities from the truth, 0 to 2",
        more_is_better=False,
    ),
    Metric(
        "log_loss",
        "Log loss",
        "negative log-likelihood of a label, in nats",
        more_is_better=False,
        headline=False,
    ),
)
"""In the order of the reports."""
SET_METRICS = (
    Metric("map", "Mean average precision", "area below precision over recall, averaged over classes"),
    Metric(
        "micro_f1", "Micro F1", "harmonic mean of precision and recall over all classes at once", share=True
    ),
)
"""Of sets of classes, beside some of those above."""
BOX_METRICS = (
    Metric("map50", "mAP 50", "mean average precision of boxes that overlap an object by half or more"),
    Metric(
        "miss_rate", "Miss rate", "share of the objects that no box finds", more_is_better=False, share=True
    ),
    Metric("false_positives", "False positives", "boxes an image that are no object", more_is_better=False),
)
"""Of boxes, beside some of those above; `map` is over overlaps of 50 to 95 % then."""
MASK_METRICS = (
    Metric(
        "mean_iou",
        "Mean IoU",
        "pixels that truth and answer share, over those that either has, averaged over classes",
        share=True,
    ),
    Metric(
        "outline_error",
        "Outline error",
        "mean distance in pixels between the outlines that are answered and the true ones",
        more_is_better=False,
    ),
)
"""Of maps of classes, beside some of those above."""
BY_KEY = {metric.key: metric for metric in (*METRICS, *SET_METRICS, *BOX_METRICS, *MASK_METRICS)}
