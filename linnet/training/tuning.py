"""A search for good settings: Optuna proposes, training answers, and what is hopeless is stopped early."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from linnet.artifacts.activations import Kept
from linnet.cache.store import Cache
from linnet.config import Choice, Range, TrainConfig, TuneConfig
from linnet.errors import TrainingError
from linnet.training.dataset import read_training_set
from linnet.training.folds import Fold
from linnet.training.progress import Progress
from linnet.training.train import cross_validated, train

_STARTED = 4
"""Trials that are never stopped early: what the others are held against."""
_HEAD_ONLY: dict[str, Range | Choice] = {
    "class_weights": (False, True),
    "class_weight_power": (0.5, 1.0),
    "flip_average": (False, True),
}
_NETWORK: dict[str, Range | Choice] = {
    "learning_rate": Range(low=0.0, high=1.0),  # around the config's own: see `space_of`
    "weight_decay": Range(low=1e-5, high=1e-1, log=True),
    "label_smoothing": (0.0, 0.05, 0.1, 0.2),
    "mixup": (0.0, 0.2),
    "class_weights": (False, True),
}


@dataclass(frozen=True)
class Trial:
    """One training of a search."""

    number: int
    settings: dict[str, Any]
    """Fields of `train` that were chosen."""
    state: Literal["complete", "pruned", "failed"]
    value: float | None
    """The best validation result of its epochs; None: it failed before the first."""
    seconds: float


@dataclass(frozen=True)
class Search:
    """A search that ended: all its trials, those of earlier calls too, in the order they began."""

    trials: tuple[Trial, ...]
    best: Trial


def space_of(config: TrainConfig, tune: TuneConfig, photos: bool) -> dict[str, Range | Choice]:
    """The declared space, or one that suits the network.

    Raises:
        ConfigError: `train` takes a value of the space under none of its other settings as they are.
    """
    space = dict(tune.space)
    if not space:
        space = dict(_HEAD_ONLY if photos and config.epochs == 0 else _NETWORK)
        if "learning_rate" in space:
            own = config.learning_rate
            space["learning_rate"] = Range(low=own / 10, high=min(own * 4, 10.0), log=True)
    for name, values in space.items():
        for value in (values.low, values.high) if isinstance(values, Range) else values:
            TrainConfig.parse({**config.values(), name: value}, "tune.space: train")
    return space


def search(
    training_set: Path,
    config: TrainConfig,
    tune: TuneConfig,
    space: dict[str, Range | Choice],
    folder: Path,
    say: Progress,
    cache: Cache | None = None,
    track: Callable[[str, Trial], None] = lambda _name, _trial: None,
) -> Search:
    """Trains up to `tune.trials` times with settings from `space`; the same call goes on with a search.

    Args:
        training_set: what `build_features` wrote; its test split is never looked at.
        folder: keeps the search's journal, one folder per data set, config and space below it.
        track: is told of every trial that ended, with the search's name, such as for MLflow.

    Raises:
        TrainingError: every trial failed; the message is the last one's.
    """
    digest = read_training_set(training_set).digest
    named = json.dumps([digest, config.values(), tune.metric, _plain(space)], sort_keys=True)
    home = folder / hashlib.blake2b(named.encode(), digest_size=8).hexdigest()
    home.mkdir(parents=True, exist_ok=True)
    study = _open(home, config.seed, tune.prune)
    until, last = time.monotonic() + tune.minutes * 60, ""
    while (done := len(_ended(study))) < tune.trials and not (tune.minutes and time.monotonic() >= until):
        say(f"trial {done + 1} of {tune.trials}", done, tune.trials)
        trial = study.ask()
        chosen = {name: _suggest(trial, name, values) for name, values in space.items()}
        try:
            value = _answer(trial, training_set, config, chosen, tune, home, say, cache)
            study.tell(trial, value)
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except TrainingError as error:  # such as a learning rate at which the loss diverges
            last = str(error)
            study.tell(trial, state=TrialState.FAIL)
        track(home.name, _record(study.trials[trial.number]))
    trials = tuple(_record(one) for one in _ended(study))
    complete = [one for one in trials if one.state == "complete" and one.value is not None]
    if not complete:
        raise TrainingError(f"tune: none of {len(trials)} trials came to an end; the last said: {last}")
    return Search(trials, max(complete, key=lambda one: one.value or 0.0))


def _open(home: Path, seed: int, prune: bool) -> optuna.Study:
    """The search of a folder; a trial that an interruption left in the middle counts as failed."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(home / "journal.log")))
    earlier = optuna.get_all_study_names(storage)
    so_far = len(optuna.load_study(study_name="search", storage=storage).trials) if earlier else 0
    study = optuna.create_study(
        storage=storage,
        study_name="search",
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed + so_far),
        pruner=optuna.pruners.MedianPruner(_STARTED) if prune else optuna.pruners.NopPruner(),
    )
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def _answer(
    trial: optuna.Trial,
    training_set: Path,
    config: TrainConfig,
    chosen: dict[str, Any],
    tune: TuneConfig,
    home: Path,
    say: Progress,
    cache: Cache | None,
) -> float:
    """The validation result of the model that training with these settings keeps, or its mean over folds."""
    metric = f"validation_{tune.metric}"

    def after_epoch(row: dict[str, float]) -> None:
        trial.report(row[metric], int(row["epoch"]))
        if int(row["epoch"]) < config.epochs and trial.should_prune():
            raise optuna.TrialPruned

    def after_fold(rows: list[Fold]) -> None:
        trial.report(mean(row[metric] for row in rows), len(rows))
        if len(rows) < config.folds and trial.should_prune():
            raise optuna.TrialPruned

    wanted = TrainConfig.parse({**config.values(), **chosen}, "train")
    work = home / f"trial-{trial.number}"
    try:
        if wanted.folds:
            kept = Kept(cache, training_set) if cache else None
            rows = cross_validated(read_training_set(training_set), wanted, work, say, kept, after_fold)
            return mean(row[metric] for row in rows)
        return train(training_set, wanted, work / "out", work, say, cache, after_epoch).kept[metric]
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _suggest(trial: optuna.Trial, name: str, values: Range | Choice) -> Any:
    if not isinstance(values, Range):
        return trial.suggest_categorical(name, values)
    if TrainConfig.model_fields[name].annotation is int:
        return trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def _ended(study: optuna.Study) -> list[Any]:
    return [one for one in study.get_trials(deepcopy=False) if one.state.is_finished()]


def _record(found: Any) -> Trial:
    states: dict[Any, Literal["complete", "pruned", "failed"]] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
    }
    seen = list(found.intermediate_values.values())
    value = found.value if found.state == TrialState.COMPLETE else max(seen, default=None)
    seconds = found.duration.total_seconds() if found.duration else 0.0
    return Trial(found.number, dict(found.params), states.get(found.state, "failed"), value, seconds)


def _plain(space: dict[str, Range | Choice]) -> dict[str, Any]:
    return {
        name: values.values() if isinstance(values, Range) else list(values) for name, values in space.items()
    }
