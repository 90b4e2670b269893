"""The config files that people keep in a folder."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

from linnet.config.root import Config, load_config
from linnet.errors import ConfigError


def config_files(folder: Path = Path(), more: Iterable[str] = ()) -> dict[str, Config]:
    """The configs in `configs/` and in the folder itself, by their path; other TOML files are left out.

    `more`: further files, or patterns of them such as `/srv/linnet/*.toml`.
    """
    files = [*folder.glob("configs/*.toml"), *folder.glob("*.toml")]
    for pattern in more:
        path = Path(pattern).expanduser()
        root = Path(path.anchor) if path.is_absolute() else folder
        files += root.glob(str(path.relative_to(path.anchor)))
    found: dict[str, Config] = {}
    for file in sorted(files):
        try:
            found[str(file)] = load_config(file)
        except (ConfigError, tomllib.TOMLDecodeError):
            continue  # another TOML file, such as pyproject.toml
    return found
