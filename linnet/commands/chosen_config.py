"""The config that a command means: at 3 a.m. nobody remembers a path, and with one model nobody needs one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linnet.commands.terminal import terminal
from linnet.config import Config, RegistryConfig, broken_config_files, config_files, load_config
from linnet.errors import ConfigError, LinnetError
from linnet.registry.connect import connect
from linnet.retraining.known_models import known_models
from linnet.run.model_config import model_config

OptionalConfig = Annotated[
    Path | None,
    typer.Argument(
        help="A config file, such as configs/fashion.toml; needless where there is one model.",
    ),
]
ModelName = Annotated[
    str,
    typer.Option("--name", help="The model's name, in place of a config; needed where there are several."),
]


def chosen_config(path: Path | None, name: str = "") -> Config:
    """The config at `path`; without one that of model `name`, or of the only model here.

    Says on standard error where it comes from, unless it was named, and which configs here are broken.

    Raises:
        ConfigError: path and name disagree, there is no such model, none yet, or no telling which.
    """
    if path is not None:
        config = load_config(path)
        if name and name != config.model_name:
            raise ConfigError(
                "--name", f"{path} is of model {config.model_name}, not {name}", "give one of the two"
            )
        return config
    found = model_config(_only(models_here(), name))
    terminal(stderr=True).print(
        f"model {found.config.model_name}, by {found.origin}", style="dim", soft_wrap=True
    )
    for problem in broken_config_files():  # it may be the very one that this model should be judged by
        terminal(stderr=True).print(f"not used: {problem}", style="yellow", soft_wrap=True)
    if found.doubt:
        terminal(stderr=True).print(found.doubt, style="yellow", soft_wrap=True)
    return found.config


def models_here() -> list[str]:
    """The models of this machine's registry and of its runs; before the first of them, those of its configs.

    A registry that cannot be asked hides no model that has a run: a diagnosis is wanted most then.
    """
    try:
        registered = connect(RegistryConfig()).store.models()
    except LinnetError:
        registered = []
    found = {*registered, *(one.model for one in known_models())}
    return sorted(found or {config.model_name for config in config_files().values()})


def _only(models: list[str], name: str) -> str:
    known = ", ".join(models) or "none yet"
    if name and name not in models:
        raise ConfigError("--name", f"there is no model {name!r} here", f"known: {known}")
    if name:
        return name
    if not models:
        raise ConfigError(
            "config", "no model is known here", "`linnet run CONFIG` makes one; or name a config"
        )
    if len(models) > 1:
        raise ConfigError(
            "config", f"there are several models ({known})",
            f"name one with --name, such as --name {models[0]}, or give its config",
        )  # fmt: skip
    return models[0]
