"""Samples whose label is doubtful, found with predictions on held-out data (confident learning)."""

from __future__ import annotations

import numpy as np

from linnet.evaluation.metrics import Floats, Ints, Predictions


def label_suspects(predictions: Predictions, limit: int = 500) -> Ints:
    """Indices of at most `limit` samples with a doubtful label, the most doubtful first.

    A sample is a suspect if the model is as sure of another class as it is, on average, of that
    class's own samples. Suspects are ranked by normalized margin: probability of the label minus
    the highest other one. Northcutt, Jiang & Chuang, "Confident Learning" (2021), arXiv 1911.00068.
    The predictions must come from data that the model was not trained on.
    """
    if predictions.not_finite:
        return np.zeros(0, np.int64)
    others = predictions.probabilities.copy()
    others[np.arange(predictions.samples), predictions.labels] = -1.0
    confident = (others >= average_self_confidence(predictions)).any(axis=1)
    margin = normalized_margin(predictions)
    found = np.flatnonzero(confident & (margin < 0.0))
    return found[np.argsort(margin[found], kind="stable")][:limit]


def by_doubt(predictions: Predictions) -> Ints:
    """All samples [N], the most doubtful label first: the suspects, then the others by their margin.

    For whoever has a budget to spend on labels: the suspects alone may be fewer than that, and the
    next best guess is worth more than none.
    """
    if predictions.not_finite:
        return np.zeros(0, np.int64)
    first = label_suspects(predictions, limit=predictions.samples)
    order = np.argsort(normalized_margin(predictions), kind="stable")
    return np.concatenate([first, order[~np.isin(order, first)]])


def average_self_confidence(predictions: Predictions) -> Floats:
    """A class [K]: mean probability of it over the samples labelled so; infinite if there are none."""
    own = predictions.probabilities[np.arange(predictions.samples), predictions.labels]
    counts = np.bincount(predictions.labels, minlength=predictions.classes)
    sums = np.bincount(predictions.labels, own, minlength=predictions.classes)
    means: Floats = np.divide(sums, counts, out=np.full(predictions.classes, np.inf), where=counts > 0)
    return means


def normalized_margin(predictions: Predictions) -> Floats:
    """A sample [N]: probability of the label minus the highest probability of any other class."""
    rows = np.arange(predictions.samples)
    others = predictions.probabilities.copy()
    others[rows, predictions.labels] = -np.inf
    margin: Floats = predictions.probabilities[rows, predictions.labels] - others.max(axis=1)
    return margin
