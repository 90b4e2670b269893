"""The evaluate step on real files: what it writes, what it refuses, and that broken models fail."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from linnet.config import EvaluationConfig, GatesConfig
from linnet.errors import DataError, StorageError
from linnet.evaluation.evaluate import evaluate
from linnet.records import EvaluationReport, GateDecision
from tests.evaluation.samples import CLASSES, write_model, write_training_set
from tests.serving.packages import make_package

FAST = EvaluationConfig(resamples=100)
GATES = GatesConfig(max_ece=0.2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


class Page(HTMLParser):
    """Reads a page: its tags, its text, and everything it would fetch."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.text, self.fetched = "", list[str]()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.fetched += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith("data:")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_good_model_passes_and_writes_all_four_files(data: Path, model: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    report, decision = evaluate(
        model,
        data,
        FAST,
        GATES,
        tmp_path,
        progress=lambda what, done, total: seen.append((what, done, total)),
    )
    assert decision.verdict == "pass", decision.reasons
    assert report.metrics["accuracy"].value == 1.0 and report.samples == 200
    assert EvaluationReport.load(tmp_path / "evaluation.json") == report
    assert GateDecision.load(tmp_path / "gates.json") == decision
    assert ("test predictions", 200, 200) in seen and ("validation predictions", 80, 80) in seen
    with np.load(tmp_path / "predictions.npz") as stored:
        assert stored["ids"].dtype == "S32" and stored["labels"].dtype == np.int64
        assert stored["probabilities"].shape == (200, 4) and stored["probabilities"].dtype == np.float32
        assert np.allclose(stored["probabilities"].sum(axis=1), 1.0, atol=1e-6)
        assert len(stored["embeddings"]) == 200


def test_candidates_leave_the_test_out_and_list_doubtful_labels_first(model: Path, tmp_path: Path) -> None:
    data = write_training_set(tmp_path / "data")
    planted = np.load(data / "labels-train.npy")
    planted[[3, 70]] = (planted[[3, 70]] + 1) % 4
    np.save(data / "labels-train.npy", planted)
    evaluate(model, data, FAST.model_copy(update={"max_label_candidates": 100}), GATES, tmp_path / "some")
    evaluate(model, data, FAST, GATES, tmp_path / "all")
    with np.load(tmp_path / "all" / "candidates.npz") as stored:
        ids = [key.decode() for key in stored["ids"]]
        assert len(ids) == 80 + 40 + 120 == len(stored["probabilities"]) == len(stored["embeddings"])
        assert not any(key.startswith("test") for key in ids)
        assert stored["held_out"].tolist() == [True] * 120 + [False] * 120
        doubted = {ids[i] for i in stored["suspects"][:2]}
        assert doubted == {f"trai{3:028d}", f"trai{70:028d}"}
    with np.load(tmp_path / "some" / "candidates.npz") as stored:
        assert len(stored["ids"]) == 80 + 40 + 100


def test_page_is_self_contained_and_says_that_no_champion_was_judged(
    data: Path, model: Path, tmp_path: Path
) -> None:
    evaluate(model, data, FAST, GATES, tmp_path)
    page = Page(tmp_path / "report.html")
    assert page.fetched == [] and page.tags["script"] == 0 and page.tags["link"] == 0
    assert "Passed all 6 gates" in page.text and "was not judged" in page.text
    assert "prefers-color-scheme:dark" in page.text and page.tags["svg"] > 10


def test_two_runs_write_the_same_bytes(data: Path, model: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        evaluate(model, data, FAST, GATES, tmp_path / name)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


def test_model_with_permuted_classes_fails_and_the_page_shows_its_mistakes(
    data: Path, tmp_path: Path
) -> None:
    broken = write_model(tmp_path / "model", shift=1)
    report, decision = evaluate(broken, data, FAST, GATES, tmp_path)
    assert decision.verdict == "fail" and report.metrics["accuracy"].value == 0.0
    assert {"accuracy", "macro_f1", "worst_recall"} <= {g.name for g in decision.gates if not g.passed}
    page = Page(tmp_path / "report.html")
    assert "Failed" in page.text and page.tags["img"] >= 4


def test_model_that_answers_nan_fails_every_gate_and_still_has_a_page(data: Path, tmp_path: Path) -> None:
    poisoned = write_model(tmp_path / "model", poison=True)
    report, decision = evaluate(poisoned, data, FAST, GatesConfig(max_ece=1.0), tmp_path)
    assert decision.verdict == "fail" and not any(gate.passed for gate in decision.gates)
    assert np.isnan(report.temperature)
    assert "200 of 200 test images" in Page(tmp_path / "report.html").text


def test_champion_is_compared_on_the_same_samples(data: Path, model: Path, tmp_path: Path) -> None:
    weak = make_package(tmp_path / "champion", broken="permuted")
    report, decision = evaluate(model, data, FAST, GATES, tmp_path / "out", weak, "3")
    assert report.comparison is not None and report.comparison.champion == "3"
    assert report.comparison.difference.value > 0.9 and report.comparison.candidate_only_right > 180
    assert decision.verdict == "pass" and decision.gates[-1].name == "non_inferiority"
    text = Page(tmp_path / "out" / "report.html").text
    assert "was not judged" not in text and "only the champion" in text


def test_worse_than_the_champion_fails_non_inferiority(data: Path, tmp_path: Path) -> None:
    strong = make_package(tmp_path / "champion", sharpness=2000.0)
    broken = write_model(tmp_path / "model", shift=1)
    _, decision = evaluate(broken, data, FAST, GATES, tmp_path / "out", strong, "3")
    assert not decision.gates[-1].passed and "champion 3" in decision.gates[-1].evidence


def test_champion_of_other_size_and_class_order_is_matched_by_name(
    data: Path, model: Path, tmp_path: Path
) -> None:
    other = make_package(tmp_path / "champion", height=12, width=12, classes=("dark", "dim", "bright", "new"))
    report, _ = evaluate(model, data, FAST, GATES, tmp_path / "out", other, "3")
    assert report.comparison is not None
    assert report.comparison.candidate_only_right >= 50  # all of class `white`, unknown to the champion
    text = Page(tmp_path / "out" / "report.html").text
    assert "does not know white" in text and "resized" in text


def test_champion_that_brings_images_to_size_otherwise_is_told(
    data: Path, model: Path, tmp_path: Path
) -> None:
    for fit, told in (("crop", True), ("squash", False)):
        other = make_package(tmp_path / fit / "champion", fit=fit)
        report, _ = evaluate(model, data, FAST, GATES, tmp_path / fit / "out", other, "3")
        assert report.comparison is not None
        text = Page(tmp_path / fit / "out" / "report.html").text
        assert ("brings images to its size by" in text) == told


def test_names_that_are_markup_are_escaped(data: Path, model: Path, tmp_path: Path) -> None:
    import json
    import shutil

    evil = tmp_path / "data"
    shutil.copytree(data, evil)
    about = json.loads((evil / "training_set.json").read_text())
    about["classes"] = ["<script>alert(1)</script>", *CLASSES[1:]]
    (evil / "training_set.json").write_text(json.dumps(about))
    evaluate(write_model(tmp_path / "model", shift=1), evil, FAST, GATES, tmp_path / "out")
    page = Page(tmp_path / "out" / "report.html")
    assert page.tags["script"] == 0 and "<script>alert(1)" in page.text


def test_validation_without_samples_leaves_temperature_one(model: Path, tmp_path: Path) -> None:
    data = write_training_set(tmp_path / "data", validation=0)
    report, _ = evaluate(model, data, FAST, GATES, tmp_path / "out")
    assert report.temperature == 1.0 and report.metrics["accuracy"].value == 1.0


def test_empty_test_split_is_a_data_error(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="test split is empty"):
        evaluate(model, write_training_set(tmp_path / "data", test=0), FAST, GATES, tmp_path / "out")


def test_missing_and_inconsistent_files_are_named(model: Path, tmp_path: Path) -> None:
    data = write_training_set(tmp_path / "data")
    np.save(data / "labels-test.npy", np.zeros(3, np.int64))
    with pytest.raises(DataError, match="test split hold"):
        evaluate(model, data, FAST, GATES, tmp_path / "out")
    (data / "labels-test.npy").unlink()
    with pytest.raises(DataError, match=r"labels-test\.npy is missing"):
        evaluate(model, data, FAST, GATES, tmp_path / "out")


def test_model_of_other_classes_is_a_data_error(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3 classes, the training set has 4"):
        evaluate(write_model(tmp_path / "model", classes=3), data, FAST, GATES, tmp_path / "out")


def test_folder_that_cannot_be_written_is_a_storage_error(data: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        evaluate(model, data, FAST, GATES, tmp_path / "out")
