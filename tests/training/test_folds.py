"""Cross-validation with real trainings: each image is answered once, by a network that had not seen it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from linnet.artifacts.activations import Kept
from linnet.cache.store import Cache
from linnet.config import TrainConfig, TuneConfig
from linnet.errors import ConfigError
from linnet.progress import silent
from linnet.records import TrainingReport
from linnet.training import folds
from linnet.training.dataset import TrainingSet, read_training_set
from linnet.training.folds import cross_validate
from linnet.training.parts import even_parts
from linnet.training.train import cross_validated, train
from linnet.training.tuning import search, space_of
from tests.training.conftest import make_training_set

TINY = TrainConfig(
    epochs=1, batch_size=20, width=4, learning_rate=0.1, flip=False, flip_average=False, precision="fp32",
    folds=3,
)  # fmt: skip


class Stop(Exception):
    pass


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return make_training_set(tmp_path / "made", count=60, side=8)


def frozen(weights: Path) -> TrainConfig:
    """Only a head, on a frozen backbone."""
    base = {"backbone": "test_efficientnet", "weights": str(weights), "epochs": 0, "folds": 5}
    return TrainConfig.parse({**base, "flip": False, "flip_average": False, "precision": "fp32"})


def test_parts_hold_each_sample_once_and_equal_shares_of_every_class() -> None:
    labels = torch.tensor([0] * 50 + [1] * 7 + [2] * 23)[torch.randperm(80)]
    part = even_parts(labels, 5)
    counts = torch.stack([torch.bincount(labels[part == number], minlength=3) for number in range(5)])
    assert counts.sum(dim=0).tolist() == [50, 7, 23]
    assert int((counts.max(dim=0).values - counts.min(dim=0).values).max()) <= 1


def test_every_image_is_held_back_once_and_learned_from_or_watched_by_the_other_folds(
    made: Path, tmp_path: Path
) -> None:
    data, seen = read_training_set(made), []

    def learn(fold: TrainingSet, folder: Path) -> None:
        seen.append((fold.train.images, fold.validation.images))
        train_on(fold, folder)

    def train_on(fold: TrainingSet, folder: Path) -> None:
        from linnet.training import train as training
        from linnet.training.distributed import Rank

        training._train(fold, TINY, folder, folder, silent, Rank(), None, None, ())

    rows = cross_validate(data, TINY, tmp_path / "work", silent, learn)
    everything = {image.numpy().tobytes() for image in (*data.train.images, *data.validation.images)}
    held = []
    for learned, watched in seen:
        known = {image.numpy().tobytes() for image in (*learned, *watched)}
        assert len(known) == len(learned) + len(watched)
        held.append(everything - known)
    assert set().union(*held) == everything and sum(map(len, held)) == len(everything)
    assert [row["images"] for row in rows] == [len(part) for part in held]


def test_report_tells_the_mean_and_the_spread_over_the_folds(made: Path, tmp_path: Path) -> None:
    report = train(made, TINY, tmp_path / "out", tmp_path / "work")
    accuracies = [row["validation_accuracy"] for row in report.folds]
    assert len(accuracies) == 3 and sum(row["images"] for row in report.folds) == 120
    found = report.cross_validation
    assert found["folds_accuracy"] == pytest.approx(np.mean(accuracies))
    assert found["folds_accuracy_deviation"] == pytest.approx(np.std(accuracies, ddof=1))
    assert f"accuracy {found['folds_accuracy']:.4f}" in report.cross_validated
    assert TrainingReport.load(tmp_path / "out" / "training.json") == report
    plain = train(made, TINY.model_copy(update={"folds": 0}), tmp_path / "plain", tmp_path / "work2")
    assert plain.history[-1]["loss"] == report.history[-1]["loss"], "the model itself is the same"
    assert plain.cross_validation == {} and plain.cross_validated == ""


def test_labels_that_say_nothing_give_the_accuracy_of_chance(tiny_weights: Path, tmp_path: Path) -> None:
    """A leak of a fold's own images would show as an accuracy above chance."""
    made = make_training_set(tmp_path / "made", side=32, channels=3, count=120)
    for split in ("train", "validation"):
        path = made / f"labels-{split}.npy"
        np.save(path, np.random.default_rng(1).permutation(np.load(path)))
    rows = cross_validated(read_training_set(made), frozen(tiny_weights), tmp_path / "work", silent, None)
    assert np.mean([row["validation_accuracy"] for row in rows]) < 0.47


def test_interrupted_cross_validation_goes_on_with_the_next_fold(made: Path, tmp_path: Path) -> None:
    data, work = read_training_set(made), tmp_path / "work"

    def stop(rows: list[folds.Fold]) -> None:
        if len(rows) == 2:
            raise Stop

    with pytest.raises(Stop):
        cross_validated(data, TINY, work, silent, None, stop)
    told: list[int] = []
    rows = cross_validated(data, TINY, work, silent, None, lambda rows: told.append(len(rows)))
    assert told == [3]
    assert rows == cross_validated(data, TINY, tmp_path / "fresh", silent, None)
    told.clear()
    other = TINY.model_copy(update={"learning_rate": 0.05})
    cross_validated(data, other, work, silent, None, lambda rows: told.append(len(rows)))
    assert told == [1, 2, 3], "other settings begin afresh"


def test_activations_of_a_frozen_backbone_are_computed_once_for_all_folds(
    tmp_path: Path, tiny_weights: Path
) -> None:
    made, said = make_training_set(tmp_path / "made", side=32, channels=3, count=90), []
    wanted, cache = frozen(tiny_weights), Cache(tmp_path / "cache")
    report = train(made, wanted, tmp_path / "out", tmp_path / "work", lambda *what: said.append(what), cache)
    passes = [total for what, done, total in said if what.startswith("activations") and done == total]
    assert passes == [90, 60]
    assert report.cross_validation["folds_accuracy"] > 0.8
    again = cross_validated(read_training_set(made), wanted, tmp_path / "again", silent, Kept(cache, made))
    assert again == report.folds


def test_search_with_folds_goes_by_their_mean(made: Path, tmp_path: Path) -> None:
    tune = TuneConfig.parse(
        {"space": {"learning_rate": [0.1, 1e-6]}, "trials": 3, "metric": "accuracy"}, "tune"
    )
    found = search(made, TINY, tune, space_of(TINY, tune, photos=False), tmp_path, silent)
    wanted = TINY.model_copy(update=found.best.settings)
    rows = cross_validated(read_training_set(made), wanted, tmp_path / "own", silent, None)
    assert found.best.value == pytest.approx(np.mean([row["validation_accuracy"] for row in rows]))


def test_more_parts_than_images_are_refused(tmp_path: Path) -> None:
    made = make_training_set(tmp_path / "few", count=12, side=8)
    for name in ("images", "labels", "features"):
        np.save(made / f"{name}-validation.npy", np.load(made / f"{name}-validation.npy")[:3])
    with pytest.raises(ConfigError, match=r"train.folds.*is 16, but .* 15 images"):
        train(made, TINY.model_copy(update={"folds": 16}), tmp_path / "out", tmp_path / "work")


@pytest.mark.parametrize(
    ("values", "problem"), [({"folds": 2}, "3 or more"), ({"folds": 5, "processes": 2}, "one process")]
)
def test_folds_that_cannot_be_are_refused(values: dict[str, int], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        TrainConfig.parse(values)


def test_kept_row_is_the_best_with_patience_and_else_the_last(made: Path, tmp_path: Path) -> None:
    report = train(made, TINY, tmp_path / "out", tmp_path / "work")
    rows = ({"epoch": 1.0, "validation_macro_f1": 0.9}, {"epoch": 2.0, "validation_macro_f1": 0.8})
    patient = report.model_copy(update={"history": rows, "config": {"patience": 2, "watch": "macro_f1"}})
    assert patient.kept["epoch"] == 1.0
    assert patient.model_copy(update={"config": {"patience": 0}}).kept["epoch"] == 2.0
