"""Boxes are measured as COCO measures them, and the score of an image sees every kind of mistake."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import numpy.typing as npt
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from linnet.config import EvaluationConfig, GatesConfig
from linnet.evaluation.measure import measure
from linnet.evaluation.sample_images import ReportData, mistakes
from linnet.tasks.answer import answer_of
from linnet.tasks.detection.agree import agreement, consensus
from linnet.tasks.detection.boxes import Box, boxes_of, text_of
from linnet.tasks.detection.found import rescaled
from linnet.tasks.detection.precision import average_precisions
from linnet.tasks.detection.score import SCORE, fit_temperature
from linnet.tasks.detection.target import MOST, TARGET
from linnet.tasks.score import Fitted

CLASSES = ("Bag", "Coat", "Shirt")
SIDE = 1000.0
Floats = npt.NDArray[np.float64]


def drawn(rng: np.random.Generator, images: int) -> tuple[Floats, Floats]:
    """Targets and output of images: objects, boxes near them, others, and equal scores."""
    targets = np.zeros((images, MOST, 5), np.float32)
    targets[..., 0] = -1
    output = np.zeros((images, MOST, 6), np.float32)
    for row in range(images):
        low = rng.uniform(0, 0.7, (rng.integers(0, 6), 2))
        objects = np.column_stack([low, low + rng.uniform(0.05, 0.3, low.shape)])
        number = rng.integers(0, len(CLASSES), len(objects))
        targets[row, : len(objects)] = np.column_stack([number, objects])
        near = np.repeat(objects, 2, axis=0) + rng.normal(0, 0.02, (2 * len(objects), 4))
        low = rng.uniform(0, 0.7, (3, 2))
        boxes = np.concatenate([near, np.column_stack([low, low + 0.2])]).clip(0, 1)
        boxes = np.column_stack(
            [np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])]
        )
        named = np.concatenate([np.repeat(number, 2), rng.integers(0, len(CLASSES), 3)])
        scores = np.sort(rng.uniform(0.05, 1, len(boxes)).round(1))[::-1]
        output[row, : len(boxes)] = np.column_stack([boxes, scores, named])
    return targets, output


def by_coco(targets: Floats, output: Floats) -> tuple[float, float]:
    """mAP over all overlaps, and at 50 %."""
    truth = COCO()
    truth.dataset = {
        "images": [{"id": i} for i in range(len(targets))],
        "categories": [{"id": k} for k in range(len(CLASSES))],
        "annotations": [
            {
                "id": 1 + MOST * i + n, "image_id": i, "category_id": int(one[0]), "iscrowd": 0,
                "bbox": _coco(one[1:]), "area": 1.0,
            }
            for i, row in enumerate(targets) for n, one in enumerate(row) if one[0] >= 0
        ],
    }  # fmt: skip
    found = [
        {"image_id": i, "category_id": int(one[5]), "bbox": _coco(one[:4]), "score": float(one[4])}
        for i, row in enumerate(output)
        for one in row
        if one[4] > 0
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


def _coco(sides: Floats) -> list[float]:
    left, top, right, bottom = (np.asarray(sides, np.float64) * SIDE).tolist()
    return [left, top, right - left, bottom - top]


def test_average_precision_is_that_of_pycocotools_in_200_random_cases() -> None:
    rng = np.random.default_rng(7)
    for case in range(200):
        targets, output = drawn(rng, images=int(rng.integers(1, 6)))
        results = SCORE.described(targets, output.astype(np.float64), (0.3,) * 3)
        once = np.ones((1, len(targets)))
        precisions = np.concatenate([average_precisions(results.of_class(k), once) for k in range(3)])
        if np.isnan(precisions).all():
            continue
        expected = by_coco(targets, output)
        there = precisions[~np.isnan(precisions).any(axis=1)]
        assert there.mean() == pytest.approx(expected[0], abs=1e-6), case
        assert there[:, 0].mean() == pytest.approx(expected[1], abs=1e-6), case


def test_weights_of_images_count_them_as_often_as_they_say() -> None:
    targets, output = drawn(np.random.default_rng(3), images=6)
    output[..., 4] *= np.linspace(1, 0.99, output[..., 4].size).reshape(output.shape[:2])  # none is equal
    times = np.array([0, 1, 2, 3, 1, 1])
    weighed = SCORE.described(targets, output.astype(np.float64), (0.3,) * 3)
    repeated = SCORE.described(
        np.repeat(targets, times, axis=0), np.repeat(output, times, axis=0).astype(np.float64), (0.3,) * 3
    )
    for k in range(3):
        one = average_precisions(weighed.of_class(k), times[None].astype(np.float64))
        other = average_precisions(repeated.of_class(k), np.ones((1, int(times.sum()))))
        np.testing.assert_allclose(one, other, atol=1e-9)


def sure_of(targets: Floats) -> Floats:
    """Output that says exactly what is there."""
    output = np.zeros((*targets.shape[:2], 6))
    there = targets[..., 0] >= 0
    output[..., :4], output[..., 4], output[..., 5] = targets[..., 1:], there, np.maximum(targets[..., 0], 0)
    return output * there[..., None]


def test_each_metric_falls_by_the_mistake_that_it_is_for() -> None:
    targets, _ = drawn(np.random.default_rng(1), images=80)
    config = EvaluationConfig(resamples=100)
    right = SCORE.described(targets, sure_of(targets), (0.3,) * 3)
    best = SCORE.intervals(right, config)
    assert {name: best[name].value for name in ("accuracy", "map", "map50", "macro_f1", "worst_recall")} == {
        "accuracy": 1.0, "map": pytest.approx(1.0), "map50": pytest.approx(1.0), "macro_f1": 1.0,
        "worst_recall": 1.0,
    }  # fmt: skip
    assert (best["miss_rate"].value, best["false_positives"].value, best["ece"].value) == (0.0, 0.0, 0.0)
    assert best["map"].low <= 1.0 and best["false_positives"].high > 0

    missed, moved, extra = (sure_of(targets) for _ in range(3))
    missed[missed[..., 5] == 1] = 0.0
    wide = (moved[..., 2] - moved[..., 0]) * 0.1
    moved[..., 0] += wide
    moved[..., 2] += wide
    extra[:, -1] = (0.0, 0.0, 0.03, 0.03, 0.9, 0.0)
    order = np.argsort(-extra[..., 4], axis=1, kind="stable")
    extra = np.take_along_axis(extra, order[..., None], axis=1)
    found = {
        name: SCORE.intervals(SCORE.described(targets, output, (0.3,) * 3), config)
        for name, output in {"missed": missed, "moved": moved, "extra": extra}.items()
    }
    assert found["missed"]["miss_rate"].low > 0.2 and found["missed"]["worst_recall"].value == 0.0
    assert found["moved"]["map50"].value == pytest.approx(1.0) and found["moved"]["map"].high < 0.8
    assert found["moved"]["accuracy"].high < 0.95
    assert found["extra"]["false_positives"].value == 1.0 and found["extra"]["miss_rate"].value == 0.0
    assert all(one["accuracy"].value < best["accuracy"].value for one in found.values())


def said(*boxes: tuple[float, ...]) -> Floats:
    output = np.zeros((1, MOST, 6))
    output[0, : len(boxes)] = np.reshape(boxes, (-1, 6))
    return output


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([], {"missed object": 2}),
        ([(0.1, 0.1, 0.5, 0.5, 0.9, 0), (0.6, 0.6, 0.9, 0.9, 0.8, 1)], {}),
        (
            [(0.1, 0.1, 0.5, 0.5, 0.9, 0), (0.1, 0.1, 0.5, 0.48, 0.8, 0), (0.6, 0.6, 0.9, 0.9, 0.7, 1)],
            {"duplicate": 1},
        ),
        ([(0.1, 0.1, 0.5, 0.5, 0.9, 2), (0.6, 0.6, 0.9, 0.9, 0.8, 1)], {"wrong class": 1}),
        ([(0.1, 0.1, 0.3, 0.3, 0.9, 0), (0.6, 0.6, 0.9, 0.9, 0.8, 1)], {"poor box": 1}),
        ([(0.1, 0.7, 0.3, 0.9, 0.9, 0), (0.6, 0.6, 0.9, 0.9, 0.8, 1)], {"background": 1, "missed object": 1}),
        ([(0.1, 0.1, 0.5, 0.5, 0.2, 0), (0.6, 0.6, 0.9, 0.9, 0.8, 1)], {"missed object": 1}),
    ],
)
def test_each_mistake_is_counted_as_what_it_is(
    boxes: list[tuple[float, ...]], expected: dict[str, int]
) -> None:
    label = text_of([Box("Bag", 0.1, 0.1, 0.5, 0.5), Box("Coat", 0.6, 0.6, 0.9, 0.9)])
    results = SCORE.described(TARGET.encode([label], CLASSES, 9, 9), said(*boxes), (0.3,) * 3)
    counts = SCORE.mistakes(results)
    assert {kind: int(count[0]) for kind, count in counts.items() if count[0]} == expected
    assert len(counts) == 5


def test_mistakes_add_up_to_the_false_positives_and_never_miss_more_than_there_is() -> None:
    targets, output = drawn(np.random.default_rng(6), images=60)
    results = SCORE.described(targets, output.astype(np.float64), (0.3,) * 3)
    counts = SCORE.mistakes(results)
    false = sum(count for kind, count in counts.items() if kind != "missed object")
    np.testing.assert_array_equal(false, (results.named - results.hits).sum(axis=1))
    assert (counts["missed object"] <= (results.objects - results.hits).sum(axis=1)).all()
    assert all(count.sum() > 0 for kind, count in counts.items() if kind != "wrong class")


def test_report_counts_each_kind_of_mistake_with_its_interval_and_shows_images_of_it() -> None:
    targets, output = drawn(np.random.default_rng(6), images=60)
    thresholds, config = (0.3,) * 3, EvaluationConfig(resamples=100)
    results = SCORE.described(targets, output.astype(np.float64), thresholds)
    ids = [f"{n:032d}" for n in range(60)]
    brightness = {"brightness": np.array(["dark", "bright"] * 30)}
    fitted = Fitted(1.0, thresholds)
    report = measure(results, results, ids, CLASSES, brightness, fitted, None, config, "detection")
    counts = SCORE.mistakes(results)
    for kind, rate in report.mistakes.items():
        assert rate.value == counts[kind].mean() and rate.low <= rate.value < rate.high
    assert {"objects", "smallest object", "brightness"} <= {row.cohort for row in report.cohorts}
    answer = answer_of("detection", CLASSES, thresholds)
    data = ReportData(
        results, results, np.zeros((60, 24, 24, 1), np.uint8), ids, config, GatesConfig(), 60,
        truth=[TARGET.decode(row, CLASSES) for row in targets], said=answer.labels(output),
        sure=answer.confidence(output),
    )  # fmt: skip
    shots = mistakes(report, data)
    assert len({shot["id"] for shot in shots}) == len(shots) > 10
    assert all("(green)" in shot["text"] and "[[" not in shot["text"] for shot in shots)
    shown = [kind for kind in counts if any(f"<b>{kind}: " in shot["text"] for shot in shots)]
    assert shown == [kind for kind in counts if counts[kind].any()]


def test_images_are_grouped_by_their_objects() -> None:
    labels = [
        text_of(Box("Bag", 0.1 * n, 0.0, 0.1 * n + 0.05 * size, 0.5) for n in range(count))
        for count, size in ((0, 1), (1, 1), (2, 2), (5, 3), (4, 4))
    ]
    targets = TARGET.encode(labels, CLASSES, 9, 9)
    groups = SCORE.groups(SCORE.described(targets, np.zeros((5, MOST, 6)), (0.3,) * 3))
    assert groups["objects"].tolist() == ["0", "1", "2", "4 or more", "4 or more"]
    assert groups["smallest object"].tolist()[0] == "no object" and len(set(groups["smallest object"])) == 4


def test_score_of_an_image_is_how_far_its_answer_agrees_with_the_label() -> None:
    targets, output = drawn(np.random.default_rng(5), images=40)
    results = SCORE.described(targets, output.astype(np.float64), (0.4, 0.5, 0.6))
    said = answer_of("detection", CLASSES, (0.4, 0.5, 0.6)).labels(output)
    true = [TARGET.decode(row, CLASSES) for row in targets]
    agreed = [agreement(one, other) for one, other in zip(said, true, strict=True)]
    np.testing.assert_allclose(results.scores, agreed, atol=1e-5)
    assert [agreement(b, a) for a, b in zip(said, true, strict=True)] == pytest.approx(agreed, abs=1e-12)
    assert agreement(text_of(()), text_of(())) == 1.0


def test_output_that_is_no_number_is_counted_and_scores_nothing() -> None:
    targets, output = drawn(np.random.default_rng(2), images=4)
    output[1, 0, 2] = np.nan
    results = SCORE.described(targets, output.astype(np.float64), (0.1,) * 3)
    assert results.not_finite == 1 and results.scores[1] == 0.0 and np.isfinite(results.scores).all()


def test_thresholds_are_those_of_the_best_f1() -> None:
    rng = np.random.default_rng(11)
    targets, _ = drawn(rng, images=200)
    output = sure_of(targets).astype(np.float32)
    there = output[..., 4] > 0
    output[..., 4] = np.where(there, rng.uniform(0.6, 0.95, there.shape), 0)
    output[:, -1] = (0.0, 0.0, 0.04, 0.04, 0.45, 1.0)  # a box that is never right
    order = np.argsort(-output[..., 4], axis=1, kind="stable")
    output = np.take_along_axis(output, order[..., None], axis=1)
    fitted = SCORE.fit(output, targets)
    assert len(fitted.thresholds) == 3 and min(fitted.thresholds) >= 0.05
    assert SCORE.results(targets, output, fitted).scores.mean() > 0.99
    assert SCORE.described(targets, output.astype(np.float64), (0.3,) * 3).scores.mean() < 0.9


def test_temperature_is_the_one_that_made_scores_overconfident() -> None:
    rng = np.random.default_rng(4)
    chance = rng.uniform(0.05, 0.95, 20_000)
    claimed = 1 / (1 + np.exp(-2.5 * np.log(chance / (1 - chance))))
    right = rng.random(len(chance)) < chance
    assert fit_temperature(claimed, right) == pytest.approx(2.5, rel=0.05)
    targets, output = drawn(rng, images=3)
    results = SCORE.described(targets, output.astype(np.float64), (0.3,) * 3)
    again = rescaled(SCORE.uncalibrated(results, 2.5).output, 2.5)
    np.testing.assert_allclose(again, output, atol=1e-6)


def test_people_agree_on_boxes_that_most_of_them_drew() -> None:
    def label(*boxes: Box) -> str:
        return text_of(boxes)

    one, near = Box("Bag", 0.1, 0.1, 0.5, 0.5), Box("Bag", 0.12, 0.1, 0.52, 0.5)
    other = Box("Coat", 0.6, 0.6, 0.9, 0.9)
    held = consensus([label(one, other), label(near), label(one)])
    assert held is not None and boxes_of(held) == [one]
    assert consensus([label(one), label(other)]) is None
    assert consensus([label(), label()]) == text_of(())


def test_class_that_validation_does_not_show_has_the_usual_threshold() -> None:
    """The last classes had none: their boxes were never answered, or no answer could be read."""
    targets, _ = drawn(np.random.default_rng(5), images=20)
    output = sure_of(targets).astype(np.float32)
    fitted = SCORE.fit(output, targets, 6)
    assert fitted.thresholds[3:] == (0.3, 0.3, 0.3)
    classes = tuple("abcdef")
    assert len(SCORE.per_class(SCORE.results(targets, output, fitted), classes)) == 6
    sure = np.zeros((1, 100, 6), np.float32)
    sure[0, 0] = (0.1, 0.1, 0.5, 0.5, 0.9, 5.0)
    assert answer_of("detection", classes, fitted.thresholds).labels(sure) == ['[["f",0.1,0.1,0.5,0.5]]']
