"""What a champion was taught by production is asked of whoever comes after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from linnet.artifacts.windows import SOURCE
from linnet.config import EvaluationConfig, GatesConfig
from linnet.evaluation.champion_gates import judge_by_new_champion
from linnet.evaluation.evaluate import evaluate
from linnet.evaluation.regressions import ALL, regression_sets
from linnet.records import TrainingSetManifest
from tests.evaluation.samples import write_model, write_training_set
from tests.serving.packages import make_package

FAST, GATES = EvaluationConfig(resamples=100), GatesConfig(max_ece=0.2)
TAUGHT = "window-20260301T000000-ab"


@pytest.fixture
def taught(tmp_path: Path) -> Path:
    """A training set whose last 60 test samples are of a window: there each class is called the next."""
    folder = write_training_set(tmp_path / "data")
    own, count = 200, 60
    images, labels = np.load(folder / "images-test.npy")[:count], np.load(folder / "labels-test.npy")[:count]
    features = np.load(folder / "features-test.npy")[:count]
    ids = np.array([f"wind{i:028d}" for i in range(count)], "S32")
    added = {"images": images, "labels": (labels + 1) % 4, "features": features, "ids": ids}
    for what, values in added.items():
        path = folder / f"{what}-test.npy"
        np.save(path, np.concatenate([np.load(path), values]))
    with np.load(folder / "cohorts-test.npz") as stored:
        cohorts = {name: np.concatenate([stored[name], stored[name][:count]]) for name in stored.files}
    cohorts[SOURCE] = np.array(["dataset"] * own + [TAUGHT] * count)
    np.savez(folder / "cohorts-test.npz", **cohorts)  # type: ignore[arg-type]  # numpy's stub of savez
    about = TrainingSetManifest.load(folder / "training_set.json")
    counts = {**about.counts, "test": own + count}
    about.model_copy(update={"counts": counts}).save(folder / "training_set.json")
    return folder


def test_candidate_that_lost_what_a_window_taught_is_refused(taught: Path, tmp_path: Path) -> None:
    """The severe case: the champion was retrained on the window, the candidate was not."""
    champion = make_package(tmp_path / "champion", broken="permuted")  # right on the window
    candidate = write_model(tmp_path / "model")  # right on the dataset, where the champion is not
    report, decision = evaluate(candidate, taught, FAST, GATES, tmp_path / "out", champion, "4")
    assert (report.samples, report.metrics["accuracy"].value) == (200, 1.0), "of the dataset's own alone"
    (found,) = report.regressions
    assert (found.name, found.samples, found.accuracy.value) == (TAUGHT, 60, 0.0)
    assert found.champion_accuracy is not None and found.champion_accuracy.value > 0.9
    assert decision.verdict == "fail"
    (failed,) = [gate for gate in decision.gates if not gate.passed]
    assert failed.name == f"regression {TAUGHT}" and failed.value < failed.threshold
    assert failed.evidence.startswith(f"regression set {TAUGHT} (60 samples): champion 4 1.0000")
    assert "candidate 0.0000" in failed.evidence
    assert "Regression window-2026" in (tmp_path / "out" / "report.html").read_text()


def test_candidate_that_kept_it_passes_and_without_a_champion_nothing_is_lost(
    taught: Path, tmp_path: Path
) -> None:
    weak = make_package(tmp_path / "champion")
    report, decision = evaluate(write_model(tmp_path / "model"), taught, FAST, GATES, tmp_path / "a", weak)
    assert decision.verdict == "pass" and decision.gates[-1].name == f"regression {TAUGHT}"
    report, decision = evaluate(write_model(tmp_path / "model"), taught, FAST, GATES, tmp_path / "b")
    assert decision.verdict == "pass" and report.regressions[0].comparison is None


def test_window_is_asked_again_of_a_champion_that_came_after_the_gates(taught: Path, tmp_path: Path) -> None:
    """The candidate passed without a champion; the one that was promoted meanwhile had learned the window."""
    candidate, champion = make_package(tmp_path / "9"), make_package(tmp_path / "4", broken="permuted")
    _, decision = evaluate(write_model(tmp_path / "model"), taught, FAST, GATES, tmp_path / "out")
    assert decision.verdict == "pass"
    again = judge_by_new_champion(tmp_path / "out", taught, candidate, "9", champion, "4", FAST, GATES)
    _, anew = evaluate(tmp_path / "model", taught, FAST, GATES, tmp_path / "anew", champion, "4")
    assert again is not None and again.verdict == "fail"
    expected = [gate for gate in anew.gates if gate.name.startswith(("non_inferiority", "regression"))]
    told = "; the gates knew no champion and it is 4 now"
    assert [gate.evidence for gate in again.gates] == [gate.evidence + told for gate in expected]


def test_champion_is_reported_with_its_numbers_on_the_same_samples(taught: Path, tmp_path: Path) -> None:
    champion = make_package(tmp_path / "champion", broken="permuted")
    report, _ = evaluate(write_model(tmp_path / "model"), taught, FAST, GATES, tmp_path / "out", champion)
    found = report.comparison
    assert found is not None and set(found.metrics) == set(report.metrics)
    own = report.metrics["accuracy"].value - found.metrics["accuracy"]
    assert own == pytest.approx(found.difference.value), "what two columns say is what the interval is of"


def test_sets_are_judged_one_by_one_and_all_together() -> None:
    rng = np.random.default_rng(0)
    windows, labels = np.array(["b", "a"])[np.arange(400) % 2], rng.integers(0, 3, 400)
    worse = np.where(rng.random(400) < 0.2, (labels + 1) % 3, labels)
    scores, right = (worse == labels) * 1.0, np.ones(400)
    sets = regression_sets(windows, scores, right, scores, "7", 0.95)
    assert [(one.name, one.samples) for one in sets] == [("a", 200), ("b", 200), (ALL, 400)]
    assert all(one.comparison and one.comparison.difference.high < -0.1 for one in sets)
    (alone,) = regression_sets(windows[::2], scores[::2], None, scores[::2], "", 0.95)
    assert alone.name == "b" and alone.champion_accuracy is None


@pytest.mark.parametrize("samples", [20, 100, 400])
def test_candidate_as_good_as_the_champion_is_seldom_refused(samples: int) -> None:
    """Both err on 8 % of a window, on different samples: of 400 windows at most 1 % may be refused."""
    from linnet.statistics.attainable import margin_of

    rng, refused = np.random.default_rng(1), 0
    windows = np.array(["w"] * samples)
    margin = margin_of(GatesConfig(), samples, 0.95)
    for _ in range(400):
        ours, theirs = (1.0 - (rng.random(samples) < 0.08) for _ in range(2))
        (found,) = regression_sets(windows, ours, theirs, ours * theirs, "7", 0.95)
        assert found.comparison is not None
        refused += found.comparison.difference.high < -margin
    assert refused <= 4
