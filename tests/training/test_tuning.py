"""A search, with real trainings of a tiny network: it goes on, stops what is hopeless, and names the best."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.config import Range, TrainConfig, TuneConfig
from linnet.errors import ConfigError, TrainingError
from linnet.progress import silent
from linnet.training.tuning import Trial, search, space_of

TINY = TrainConfig(
    epochs=2, batch_size=20, width=4, learning_rate=0.1, flip=False, flip_average=False, precision="fp32"
)
SPACE: dict[str, object] = {"learning_rate": {"low": 1e-6, "high": 0.2, "log": True}, "shift": [0, 1]}


def wanted(**values: object) -> TuneConfig:
    return TuneConfig.parse({"space": SPACE, "trials": 3, "metric": "accuracy", **values}, "tune")


def test_search_goes_on_where_it_stopped_and_names_the_best(made: Path, tmp_path: Path) -> None:
    tune, told = wanted(), []
    space = space_of(TINY, tune, photos=False)

    class Stop(Exception):
        pass

    def track(_: str, trial: Trial) -> None:
        told.append(trial)
        if len(told) == 1:
            raise Stop

    with pytest.raises(Stop):
        search(made, TINY, tune, space, tmp_path, silent, track=track)
    found = search(made, TINY, tune, space, tmp_path, silent, track=track)
    assert [one.number for one in found.trials] == [0, 1, 2] == [one.number for one in told]
    assert len({one.settings["learning_rate"] for one in found.trials}) == 3
    assert all(1e-6 <= one.settings["learning_rate"] <= 0.2 for one in found.trials)
    complete = [one for one in found.trials if one.state == "complete"]
    assert found.best.value == max(one.value or 0 for one in complete)
    assert not list(tmp_path.glob("*/trial-*"))
    again = search(made, TINY, tune, space, tmp_path, silent, track=track)
    assert again == found and len(told) == 3


def test_trial_that_lags_behind_is_stopped_after_its_epoch(made: Path, tmp_path: Path) -> None:
    tune = wanted(trials=8, space={"learning_rate": [0.1, 1e-7]})
    found = search(made, TINY, tune, space_of(TINY, tune, photos=False), tmp_path, silent)
    pruned = [one for one in found.trials if one.state == "pruned"]
    assert all(one.settings["learning_rate"] == 1e-7 for one in pruned)
    slow = [one for one in found.trials[4:] if one.settings["learning_rate"] == 1e-7]
    assert len(pruned) == len(slow)
    assert found.best.settings["learning_rate"] == 0.1


def test_search_whose_trials_all_diverge_says_why(made: Path, tmp_path: Path) -> None:
    tune = wanted(trials=2, space={"learning_rate": [1e12, 1e13]})
    with pytest.raises(TrainingError, match=r"none of 2 trials came to an end.*diverged"):
        search(made, TINY, tune, space_of(TINY, tune, photos=False), tmp_path, silent)


def test_space_without_a_declaration_suits_the_network() -> None:
    assert "flip_average" in space_of(TrainConfig(epochs=0), TuneConfig(), photos=True)
    rate = space_of(TINY, TuneConfig(), photos=False)["learning_rate"]
    assert isinstance(rate, Range) and rate.low < TINY.learning_rate < rate.high


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        ({"seed": [1, 2]}, "not searched"),
        ({"weights": ["none", "auto"]}, "not searched"),
        ({"no_such": [1, 2]}, "not searched"),
        ({"flip": [True]}, "two values"),
        ({"optimizer": {"low": 0, "high": 1}}, "no number"),
        ({"learning_rate": {"low": 2, "high": 1}}, "low must be below high"),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "above 0"),
    ],
)
def test_space_that_makes_no_sense_is_refused(space: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        TuneConfig.parse({"space": space}, "tune")


@pytest.mark.parametrize("space", [{"optimizer": ["sgd", "adagrad"]}, {"momentum": {"low": 0.5, "high": 1}}])
def test_value_that_training_would_refuse_is_found_before_the_first_trial(space: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"tune\.space: train"):
        space_of(TINY, TuneConfig.parse({"space": space}, "tune"), photos=False)
