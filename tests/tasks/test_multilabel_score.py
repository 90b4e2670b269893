"""Measures of sets of classes, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, recall_score

from linnet.config import EvaluationConfig
from linnet.statistics.temperature import binary_temperature
from linnet.tasks.multilabel.agree import agreement
from linnet.tasks.multilabel.answer import answer
from linnet.tasks.multilabel.score import SCORE, LabelSets, best_thresholds, point_values
from linnet.tasks.multilabel.target import TARGET
from linnet.tasks.score import Fitted


def made(seed: int) -> LabelSets:
    """A random case: some classes rare, some probabilities equal, some samples without a class."""
    rng = np.random.default_rng(seed)
    samples, classes = int(rng.integers(5, 80)), int(rng.integers(2, 9))
    targets = rng.random((samples, classes)) < rng.uniform(0.1, 0.6, classes)
    probabilities = 1 / (1 + np.exp(-(targets * rng.uniform(0, 4) + rng.normal(size=targets.shape) - 1)))
    if seed % 2:
        probabilities = probabilities.round(1)
    return LabelSets(targets, probabilities, rng.uniform(0.2, 0.8, classes))


def test_metrics_are_those_of_scikit_learn_on_200_random_cases() -> None:
    for seed in range(200):
        case = made(seed)
        found, named, targets = point_values(case, 10), case.named, case.targets
        present = targets.any(axis=0)
        if present.sum() < 2:  # scikit-learn takes a single column for a binary problem with two classes
            continue
        options = {"zero_division": 0.0}
        expected = {
            "map": average_precision_score(targets[:, present], case.probabilities[:, present]),
            "macro_f1": f1_score(targets[:, present], named[:, present], average="macro", **options),
            "micro_f1": f1_score(targets, named, average="micro", **options),
            "macro_recall": recall_score(targets[:, present], named[:, present], average="macro", **options),
        }
        for key, value in expected.items():
            assert found[key] == pytest.approx(value, abs=1e-6), (seed, key)
        overlap = jaccard_score(targets, named, average="samples", zero_division=1.0)
        assert case.scores.mean() == pytest.approx(overlap, abs=1e-6), seed


def test_score_of_a_sample_is_how_far_its_answer_agrees_with_its_label() -> None:
    case = made(4)
    names = tuple(f"class {k}" for k in range(case.targets.shape[1]))
    said = answer(names, tuple(case.thresholds)).labels(case.probabilities.astype(np.float64))
    truth = [TARGET.decode(row, names) for row in case.targets]
    agreed = [agreement(a, b) for a, b in zip(said, truth, strict=True)]
    assert case.scores.tolist() == pytest.approx(agreed)


def test_intervals_hold_the_value_keep_a_width_and_cover_the_truth() -> None:
    config = EvaluationConfig(resamples=200)
    perfect = LabelSets(
        np.eye(4, dtype=bool).repeat(10, axis=0), np.eye(4).repeat(10, axis=0), np.full(4, 0.5)
    )
    for case in (made(8), perfect):
        for key, interval in SCORE.intervals(case, config).items():
            assert interval.low <= interval.value <= interval.high, key
            assert key == "ece" or interval.low < interval.high, key


def test_thresholds_are_those_of_the_best_f1() -> None:
    rng = np.random.default_rng(1)
    targets = rng.random((400, 3)) < (0.1, 0.3, 0.6)
    probabilities = 1 / (1 + np.exp(-(2 * targets + rng.normal(size=targets.shape) - 2)))
    for k, threshold in enumerate(best_thresholds(probabilities, targets)):
        tried = np.linspace(0.05, 0.95, 181)
        best = max(f1_score(targets[:, k], probabilities[:, k] >= one, zero_division=0.0) for one in tried)
        assert f1_score(targets[:, k], probabilities[:, k] >= threshold) >= best - 1e-9
    assert best_thresholds(probabilities[:20], np.zeros((20, 3), bool)) == (0.5, 0.5, 0.5)


def test_temperature_undoes_what_logits_were_scaled_by() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(4000, 3)) * 2
    targets = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    assert binary_temperature(logits * 3, targets) == pytest.approx(3, rel=0.06)
    assert np.isnan(binary_temperature(np.full((2, 3), np.nan), np.zeros((2, 3), np.uint8)))


def test_broken_probabilities_score_nothing_and_suspect_nobody() -> None:
    case = SCORE.results(np.ones((4, 2), np.uint8), np.full((4, 2), np.nan), Fitted(1.0, (0.5, 0.5)))
    assert case.not_finite == 4 and case.scores.tolist() == [0.0] * 4
    assert len(SCORE.suspects(case)) == 0
