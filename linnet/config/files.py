"""The config files that people keep in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from linnet.config.root import Config, load_config
from linnet.errors import ConfigError

_NAMED = re.compile(r"^\s*name\s*=", re.MULTILINE)


def config_files(folder: Path = Path(), more: Iterable[str] = ()) -> dict[str, Config]:
    """The configs in `configs/` and in the folder itself, by their path; other TOML files are left out.

    `fashion.toml` comes before `fashion-tuned.toml`: the first of a model is its own.
    `more`: further files, or patterns of them such as `/srv/linnet/*.toml`.
    """
    return _read_all(folder, more)[0]


def broken_config_files(folder: Path = Path()) -> list[str]:
    """What is wrong with configs that `config_files` leaves out, a line each with the path."""
    return _read_all(folder, ())[1]


def _read_all(folder: Path, more: Iterable[str]) -> tuple[dict[str, Config], list[str]]:
    files = [*folder.glob("configs/*.toml"), *folder.glob("*.toml")]
    for pattern in more:
        path = Path(pattern).expanduser()
        root = Path(path.anchor) if path.is_absolute() else folder
        files += root.glob(str(path.relative_to(path.anchor)))
    found: dict[str, Config] = {}
    problems = []
    for file in sorted(files, key=lambda file: file.with_suffix("")):
        try:
            found[str(file)] = load_config(file)
        except ConfigError as error:
            if _names_a_use_case(file):
                problems.append(str(error) if str(file) in str(error) else f"{file}: {error}")
    return found, problems


def _names_a_use_case(file: Path) -> bool:
    """Whether a file that cannot be used is meant as a config: no pyproject.toml begins with a name."""
    try:
        head = file.read_text("utf-8", errors="replace").split("\n[")[0]
    except OSError:
        return True
    return not head.startswith("[") and _NAMED.search(head) is not None
