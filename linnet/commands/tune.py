"""`linnet tune`: a search for good settings of training; the best become another config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from linnet.commands.terminal import bars_on, terminal
from linnet.commands.training import ConfigPath, Settings, parse_settings
from linnet.config import Choice, Config, Range, load_config
from linnet.errors import ConfigError, RunError
from linnet.records import RunRecord
from linnet.run.outputs import written

if TYPE_CHECKING:
    from linnet.training.tuning import Search, Trial


def tune(
    config: ConfigPath,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Config to write; else CONFIG with -tuned.")
    ] = None,
    trials: Annotated[int, typer.Option(min=0, help="Trainings at most; 0: as tune.trials says.")] = 0,
    training_set: Annotated[
        Path | None,
        typer.Option("--training-set", help="Folder that build_features wrote; else the last run's."),
    ] = None,
    settings: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a config that exists.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be searched.")] = False,
) -> None:
    """Search for good settings of training on this machine, and write the best as a config.

    The space is the config's section `tune`, or one that suits the network. Trials are judged by the
    validation split, never by the test split; one that lags behind is stopped early. Each is a run in MLflow.
    After Ctrl-C the same command goes on.

    Examples:

      linnet tune configs/birds.toml --trials 30

      linnet tune configs/birds.toml --dry-run
    """
    from linnet.training.tuning import space_of

    console = terminal()
    loaded = load_config(config, parse_settings(settings or []))
    target = output or config.with_name(f"{config.stem}-tuned.toml")
    if target.exists() and not force and not dry_run:
        raise ConfigError(str(target), "exists already", "choose another with --output, or give --force")
    wanted = loaded.tune.model_copy(update={"trials": trials or loaded.tune.trials})
    loaded = loaded.model_copy(update={"tune": wanted})
    backbone = loaded.train.backbone_for(loaded.data.height, loaded.data.width)
    space = space_of(loaded.train, wanted, photos=backbone != "small")
    folder = training_set or last_training_set(loaded)
    if dry_run:
        show_space(space, wanted.trials, folder, target, console)
        return
    found = _searched(loaded, space, folder, console)
    write_config(config, found.best.settings, target)
    load_config(target)
    show_trials(found, wanted.metric, console)
    console.print(f"wrote {target}: the best settings; run them with\n  linnet run {target}", soft_wrap=True)


def last_training_set(config: Config) -> Path:
    """The training set of the newest run of the use case with the same data, labels and features.

    Raises:
        RunError: no such run came that far.
    """

    def alike(record: RunRecord) -> bool:
        if record.config.get("name") != config.name:  # labels and windows in it are this use case's
            return False
        same = ("data", "labels", "features")
        return all(record.config.get(section) == getattr(config, section).values() for section in same)

    for found in written("build-features", "training_set", "training_set.json", alike):
        return found
    raise RunError(
        f"no run has built a training set for {config.name} yet: `linnet run` it once, or give --training-set"
    )


def write_config(source: Path, settings: dict[str, Any], target: Path) -> None:
    """The config `source`, comments and all, with these fields of `train` instead."""
    import tomlkit

    document = tomlkit.parse(source.read_text("utf-8"))
    train: Any = document.setdefault("train", tomlkit.table())
    for name, value in settings.items():
        train[name] = value
    target.write_text(tomlkit.dumps(document), "utf-8")


def show_space(
    space: dict[str, Range | Choice], trials: int, training_set: Path, target: Path, console: Console
) -> None:
    """What a search would do."""
    console.print(f"would train up to {trials} times on {training_set}, and write {target}", soft_wrap=True)
    table = Table("setting", "values", box=None)
    for name, values in space.items():
        if isinstance(values, Range):
            shown = f"{values.low:g} to {values.high:g}" + (", by the logarithm" if values.log else "")
        else:
            shown = ", ".join(str(value) for value in values)
        table.add_row(f"train.{name}", shown)
    console.print(table)


def show_trials(found: Search, metric: str, console: Console) -> None:
    """All trials, the best marked."""
    table = Table("trial", f"validation {metric}", "seconds", "state", "settings", box=None)
    for trial in found.trials:
        mark = " (best)" if trial.number == found.best.number else ""
        value = "" if trial.value is None else f"{trial.value:.4f}"
        chosen = ", ".join(f"{name} = {_short(value)}" for name, value in trial.settings.items())
        table.add_row(str(trial.number), value, f"{trial.seconds:.1f}", trial.state + mark, chosen)
    console.print(table)


def _searched(config: Config, space: dict[str, Range | Choice], folder: Path, console: Console) -> Search:
    from linnet.cache.store import open_cache
    from linnet.registry.tuning_runs import log_trial
    from linnet.storage.paths import state_dir
    from linnet.training.tuning import search

    metric = f"validation_{config.tune.metric}"

    def track(name: str, trial: Trial) -> None:
        metrics = {} if trial.value is None else {metric: trial.value}
        log_trial(
            config.registry, config.model_name, name, trial.number, trial.settings, trial.state, metrics,
            trial.seconds,
        )  # fmt: skip

    with bars_on(console) as bars:
        whole, step = bars.add_task("search", total=config.tune.trials), bars.add_task("starting", total=None)

        def say(what: str, done: int, total: int) -> None:
            task = whole if what.startswith("trial ") else step
            bars.update(task, description=what, completed=done, total=total or None)

        return search(
            folder,
            config.train,
            config.tune,
            space,
            state_dir() / "tune" / config.name,
            say,
            open_cache(),
            track,
        )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
