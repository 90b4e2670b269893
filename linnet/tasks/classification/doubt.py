"""Samples whose label is doubtful, found with predictions on held-out data (confident learning)."""

from __future__ import annotations

import numpy as np

from linnet.records.model import MOST_SUSPECTS
from linnet.statistics.metrics import Floats, Ints, Predictions


def label_suspects(predictions: Predictions, limit: int = MOST_SUSPECTS) -> Ints:
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


def rank_by_label_error(predictions: Predictions) -> Ints:
    """All samples [N], the most doubtful label first: for whoever has a budget to spend on labels.

    Ranked by the log-odds of the label against the likeliest other class. Where the model is sure, the
    normalized margin is -1 for all alike; log-odds still tell "impossible" from "unlikely", and so put
    planted errors before the model's own confusions (benchmarks/labels.py: 89 % of them against 82 %).
    The margin of the logits: Pleiss et al., "Area Under the Margin Ranking" (2020), arXiv 2001.10528.
    """
    if predictions.not_finite:
        return np.zeros(0, np.int64)
    return np.argsort(log_odds(predictions), kind="stable")


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


def log_odds(predictions: Predictions) -> Floats:
    """A sample [N]: logarithm of the label's probability over the highest one of any other class."""
    rows = np.arange(predictions.samples)
    logs = np.log(np.maximum(predictions.probabilities, np.finfo(np.float64).tiny))
    others = logs.copy()
    others[rows, predictions.labels] = -np.inf
    odds: Floats = logs[rows, predictions.labels] - others.max(axis=1)
    return odds
