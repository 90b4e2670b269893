"""Dice, IoU and the rest, against torchmetrics and against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from linnet.config import EvaluationConfig
from linnet.statistics.metrics import Predictions, calibration_error
from linnet.tasks.score import Fitted
from linnet.tasks.segmentation.agree import agreement
from linnet.tasks.segmentation.answer import answer
from linnet.tasks.segmentation.overlap import Maps, outline_distance
from linnet.tasks.segmentation.score import SCORE
from linnet.tasks.segmentation.target import TARGET
from linnet.tasks.segmentation.upsampling import upsampled
from tests.tasks.segmentation.scenes import CLASSES, maps, output


def _case(seed: int) -> Maps:
    rng = np.random.default_rng(seed)
    truth = maps(int(rng.integers(2, 9)), side=int(rng.integers(8, 30)) + 6, seed=seed)
    said = np.where(rng.random(truth.shape) < 0.3 * rng.random(), rng.integers(0, 4, truth.shape), truth)
    return Maps(truth, output(said, seed), 3)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_overlaps_are_those_of_torchmetrics(first: int) -> None:
    # Here: it takes two seconds, and each worker loads all test files.
    from torchmetrics.functional.classification import multiclass_jaccard_index
    from torchmetrics.functional.segmentation import dice_score, mean_iou

    for seed in range(first, first + 50):
        found = _case(seed)
        truth, said = torch.from_numpy(found.targets.astype(np.int64)), torch.from_numpy(found.named)
        wide = [functional.one_hot(part, 4).movedim(-1, 1) for part in (said, truth)]
        each = dice_score(*wide, 4, include_background=False, average="none", input_format="one-hot")
        there = np.isfinite(found.dice)
        np.testing.assert_allclose(found.dice[there], each.numpy()[there], atol=1e-6)
        iou = mean_iou(*wide, 4, include_background=False, per_class=True, input_format="one-hot").numpy()
        counted = found.hits / np.maximum(found.actual + found.answered - found.hits, 1)
        np.testing.assert_allclose(counted[there], iou[there], atol=1e-6)
        whole = SCORE.per_class(found, CLASSES)
        jaccard = multiclass_jaccard_index(said, truth, 4, average="none").numpy()
        for k, name in enumerate(CLASSES, 1):
            if found.actual[:, k - 1].any():
                assert whole[name]["iou"] == pytest.approx(float(jaccard[k]), abs=1e-6)
        assert SCORE.calibration_error(found, 15) == pytest.approx(_calibration(found), abs=1e-9)


def _calibration(found: Maps) -> float:
    """That of classification, a pixel a sample."""
    sure = found.output[:, 1].astype(np.float64).ravel()
    chances = np.repeat((1 - sure)[:, None] / 3, 4, axis=1)
    chances[np.arange(len(sure)), found.named.ravel()] = sure
    return calibration_error(Predictions(found.targets.ravel().astype(np.int64), chances), 15)


def test_score_of_an_image_is_the_agreement_of_its_labels() -> None:
    for seed in range(20):
        found = _case(seed)
        said = answer(CLASSES, ()).labels(found.output)
        truth = [TARGET.decode(row, CLASSES) for row in found.targets]
        pairs = [agreement(one, other) for one, other in zip(said, truth, strict=True)]
        np.testing.assert_allclose(found.scores, pairs, atol=1e-12)


def test_intervals_hold_the_value_and_narrow_with_more_images() -> None:
    config = EvaluationConfig(resamples=200)
    few, many = (
        SCORE.intervals(Maps(truth, output(np.roll(truth, 1, axis=2)), 3), config)
        for truth in (maps(20, seed=4), maps(200, seed=4))
    )
    for key in {metric.key for metric in SCORE.metrics} - {"ece"}:
        assert few[key].low <= few[key].value <= few[key].high, key
        assert many[key].high - many[key].low < few[key].high - few[key].low, key
    perfect = SCORE.intervals(Maps(maps(20), output(maps(20)), 3), config)
    assert perfect["mean_iou"].value == perfect["macro_f1"].value == 1 and perfect["outline_error"].value == 0


def test_eroded_masks_lose_in_every_measure_of_overlap() -> None:
    truth = maps(60, seed=2)
    inner = truth.copy()
    for axis, step in ((1, 1), (1, -1), (2, 1), (2, -1)):
        inner[np.roll(truth, step, axis) != truth] = 0
    whole, eroded = (
        SCORE.intervals(Maps(truth, output(one), 3), EvaluationConfig(resamples=100))
        for one in (truth, inner)
    )
    for key in ("accuracy", "macro_f1", "mean_iou", "macro_recall"):
        assert eroded[key].high < whole[key].low
    assert eroded["outline_error"].value > whole["outline_error"].value


def test_outline_distance_is_that_of_the_nearest_pixels() -> None:
    truth, said = maps(2, seed=9, side=20)
    ends = [np.argwhere(_edges(one)) for one in (truth, said)]
    apart = np.sqrt(((ends[0][:, None] - ends[1][None]) ** 2).sum(axis=2))
    wanted = (apart.min(axis=1).sum() + apart.min(axis=0).sum()) / sum(apart.shape)
    assert outline_distance(truth, said) == pytest.approx(wanted)
    empty = np.zeros_like(truth)
    assert outline_distance(empty, empty) == 0 and outline_distance(truth, empty) == pytest.approx(800**0.5)


def _edges(one: np.ndarray) -> np.ndarray:
    edges = np.zeros(one.shape, bool)
    for y, x in np.ndindex(one.shape):
        below = y + 1 < len(one) and one[y, x] != one[y + 1, x]
        edges[y, x] = below or (x + 1 < one.shape[1] and one[y, x] != one[y, x + 1])
    return edges


def test_logits_become_maps_as_torch_makes_them() -> None:
    from linnet.tasks.segmentation.model import MODEL

    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 4, 12, 16)).astype(np.float32)
    wanted = functional.interpolate(torch.from_numpy(logits), scale_factor=2, mode="bilinear")
    np.testing.assert_allclose(upsampled(logits, 24, 32), wanted.numpy(), atol=1e-5)
    truth = np.zeros((5, 24, 32), np.uint8)
    found = SCORE.results(truth, logits, Fitted(1.7))
    theirs = MODEL.output(torch.from_numpy(logits), 1.7).numpy()
    assert (found.output[:, 0] == theirs[:, 0]).mean() > 0.999
    np.testing.assert_allclose(found.output[:, 1], theirs[:, 1], atol=1e-5)
    assert np.isnan(SCORE.fit(np.full_like(logits, np.nan), truth).temperature)
    broken = SCORE.results(
        truth, np.where(np.arange(5)[:, None, None, None] == 2, np.nan, logits), Fitted(1.0)
    )
    assert broken.not_finite == 1 and broken.scores[2] == 0


def test_temperature_is_found_again() -> None:
    rng = np.random.default_rng(1)
    logits = 3 * rng.normal(size=(20, 4, 8, 8)).astype(np.float32)
    full = upsampled(logits, 16, 16).astype(np.float64)
    chances = np.exp(full / 2.5)
    ladder = (chances / chances.sum(axis=1, keepdims=True)).cumsum(axis=1)
    truth = (rng.random((20, 1, 16, 16)) > ladder).sum(axis=1).clip(0, 3).astype(np.uint8)
    assert SCORE.fit(logits, truth).temperature == pytest.approx(2.5, rel=0.15)


def test_part_of_the_pixels_is_no_column_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every n-th pixel was one column where n met the width; here the first one is always easy."""
    rng = np.random.default_rng(1)
    logits = 3 * rng.normal(size=(400, 4, 8, 8)).astype(np.float32)
    full = upsampled(logits, 16, 16).astype(np.float64)
    chances = np.exp(full / 2.5)
    ladder = (chances / chances.sum(axis=1, keepdims=True)).cumsum(axis=1)
    truth = (rng.random((400, 1, 16, 16)) > ladder).sum(axis=1).clip(0, 3).astype(np.uint8)
    truth[:, :, 0] = full[:, :, :, 0].argmax(axis=1)
    whole = SCORE.fit(logits, truth).temperature
    results = SCORE.results(truth, logits, Fitted(1.0))
    error = SCORE.calibration_error(results, 15)
    monkeypatch.setattr("linnet.tasks.segmentation.score._FITTED_PIXELS", 400 * 16)
    monkeypatch.setattr("linnet.tasks.segmentation.overlap.MOST_CLAIMS", 400 * 16)
    assert SCORE.fit(logits, truth).temperature == pytest.approx(whole, rel=0.1)
    assert SCORE.calibration_error(results, 15) == pytest.approx(error, abs=0.03)
