"""Several classes an image where people look: simulated drift, the report's pictures, the console's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from linnet.console import held_out
from linnet.monitoring.simulate import KINDS, ImagePool, drifted, play
from linnet.records import EvaluationReport, TrainingSetManifest
from linnet.statistics.reliability import reliability
from linnet.tasks.parts import TASKS
from linnet.tasks.score import score_of
from linnet.tasks.target import target_of

SEVERAL = next(task for task in TASKS if target_of(task).several)
TARGET, SCORE = target_of(SEVERAL), score_of(SEVERAL)
CLASSES = ("blue", "green", "red")
RNG = np.random.default_rng(3)
LABELS = (RNG.random((200, 3)) < 0.4).astype(np.uint8)
LABELS[:2] = [[0, 0, 0], [1, 1, 1]]
POOL = ImagePool(RNG.integers(0, 256, (200, 8, 8, 3), np.uint8), LABELS, CLASSES, SEVERAL)


@pytest.mark.parametrize("kind", KINDS)
def test_no_severity_changes_neither_image_nor_label(kind: str) -> None:
    known = {
        image.tobytes(): TARGET.decode(row, CLASSES) for image, row in zip(POOL.images, LABELS, strict=True)
    }
    drawn = list(drifted(POOL, [kind], 0.0, 60))
    assert all(known[image.tobytes()] == label for image, label in drawn)
    assert len({label for _, label in drawn}) > 3


def shown(kind: str, severity: float) -> np.ndarray:
    """Share of the stream's images that show each class."""
    labels = [label for _, label in drifted(POOL, [kind], severity, 300)]
    known = [label for label in labels if set(TARGET.classes(label)) <= set(CLASSES)]
    return TARGET.encode(known, CLASSES, 8, 8).mean(axis=0)


def test_classes_become_rarer_or_more_frequent() -> None:
    assert shown("class-mix", 1.0)[2] == 0 and shown("class-mix", 0.5)[2] < shown("class-mix", 0.0)[2]
    assert shown("label-shift", 1.0)[1] == 1.0
    assert {label for _, label in drifted(POOL, ["new-class"], 1.0, 20)} == {"digit"}


def test_relabelled_stream_names_the_next_class_of_each() -> None:
    known = {
        image.tobytes(): TARGET.decode(row, CLASSES) for image, row in zip(POOL.images, LABELS, strict=True)
    }
    following = {"blue": "green", "green": "red", "red": "blue"}
    for image, label in drifted(POOL, ["relabel"], 1.0, 40):
        assert label == TARGET.label([following[name] for name in TARGET.classes(known[image.tobytes()])])


def test_answers_count_by_what_they_share_with_the_truth() -> None:
    stream = iter([(POOL.images[1], "blue|green"), (POOL.images[1], "blue|green|red")])
    sent = play(stream, lambda _: ("r", "blue|green"), 1e6, 2, task=SEVERAL)
    assert sent.answered == 2 and sent.right == pytest.approx(1 + 2 / 3)


def test_reliability_is_over_all_statements_and_undoes_the_temperature() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (400, 3))
    targets = (rng.random((400, 3)) < 1 / (1 + np.exp(-logits / 2))).astype(np.uint8)
    fitted = SCORE.fit(logits, targets)
    before, after = (
        SCORE.results(targets, logits, f) for f in (type(fitted)(1.0, fitted.thresholds), fitted)
    )
    np.testing.assert_allclose(
        SCORE.uncalibrated(after, fitted.temperature).probabilities, before.probabilities, atol=1e-9
    )
    bins = SCORE.reliability(after, 10)
    assert sum(one.samples for one in bins) == 1200
    assert bins == reliability(after.probabilities.ravel(), targets.ravel(), 10)
    gaps = [
        sum(abs(one.confidence - one.accuracy) for one in SCORE.reliability(r, 10)) for r in (before, after)
    ]
    assert gaps[1] < gaps[0]  # made to be overconfident by a temperature of 2


def test_console_orders_mistakes_and_names_the_class_that_speaks_for_each(
    tmp_path: Path,
) -> None:
    folder, report = tmp_path / "set", tmp_path / "report"
    folder.mkdir()
    report.mkdir()
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]], np.uint8)
    said = np.array([[0.9, 0.1, 0.1], [0.9, 0.2, 0.1], [0.8, 0.7, 0.1], [0.1, 0.1, 0.1]], np.float32)
    np.save(folder / "images-test.npy", POOL.images[:4])
    np.save(folder / "labels-test.npy", truth)
    np.save(folder / "features-test.npy", np.zeros((4, 1), np.float32))
    np.save(folder / "ids-test.npy", np.array(["a", "b", "c", "d"], "S32"))
    np.savez(folder / "cohorts-test.npz")
    TrainingSetManifest(
        task=SEVERAL, classes=CLASSES, features=("f",), feature_service="s", height=8, width=8, channels=3,
        dataset_digest="d", labels_digest="l", counts={"test": 4},
    ).save(folder / "training_set.json")  # fmt: skip
    np.savez(report / "predictions.npz", labels=truth, probabilities=said)
    EvaluationReport(
        task=SEVERAL, samples=4, classes=CLASSES, metrics={}, per_class={}, confusion=(), cohorts=(),
        temperature=1.5, ece_before=0.0, comparison=None, suspects=(), thresholds=(0.5, 0.5, 0.5),
    ).save(report / "evaluation.json")  # fmt: skip
    found = held_out._judged(report, folder)
    assert [found.split.ids[row] for row in found.order] == ["c", "b"]  # nothing right, then half right
    assert found.said[2] == "blue|green" and found.truth[2] == "red" and found.said[3] == ""
    assert CLASSES[found.telling[2]] == "blue"  # named and not there, the likelier of two
    assert CLASSES[found.telling[1]] == "green"  # missed
    before, after = held_out.calibration(found, 1.5)
    assert sum(one.samples for one in before) == sum(one.samples for one in after) == 12


def test_table_of_predict_says_that_nothing_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    from linnet.commands.predict import _show_answers

    both = [{"class": "red", "probability": 0.9}, {"class": "blue", "probability": 0.6}]
    answers = [{"model": "m", "version": "1", "predictions": listed} for listed in ([], both)]
    _show_answers([(Path("a.png"), answers[0]), (Path("b.png"), answers[1])])
    shown = capsys.readouterr().out
    assert "none" in shown and "red" in shown and "blue" in shown
