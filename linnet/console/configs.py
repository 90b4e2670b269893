"""The config files that people keep here: what a new run begins with, and what each model is promised."""

from __future__ import annotations

import tomllib
from pathlib import Path

from linnet.config import Config, load_config
from linnet.errors import ConfigError


def config_files() -> dict[str, Config]:
    """The configs in `configs/` and here, by their path; other TOML files are left out."""
    found: dict[str, Config] = {}
    for file in sorted([*Path("configs").glob("*.toml"), *Path().glob("*.toml")]):
        try:
            found[str(file)] = load_config(file)
        except (ConfigError, tomllib.TOMLDecodeError):
            continue  # another TOML file, such as pyproject.toml
    return found


def config_of(model: str) -> Config:
    """The first config here whose model this is; the defaults where there is none."""
    for config in config_files().values():
        if config.model_name == model:
            return config
    return Config(name=model)
