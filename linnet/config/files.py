"""The config files that people keep in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from linnet.config.root import Config, load_config, use_case_name
from linnet.errors import ConfigError

_NAMED = re.compile(r"^\s*name\s*=", re.MULTILINE)
_OF_MODEL = re.compile(r"""^\s*(?:name|model)\s*=\s*["']([^"'\n]*)""", re.MULTILINE)


def config_files(folder: Path = Path(), more: Iterable[str] = ()) -> dict[str, Config]:
    """The configs in `configs/` and in the folder itself, by their path; other TOML files are left out.

    `fashion.toml` comes before `fashion-tuned.toml`: the first of a model is its own.
    `more`: further files, or patterns of them such as `/srv/linnet/*.toml`.
    """
    return _read_all(folder, more)[0]


def broken_config_files(folder: Path = Path(), model: str = "") -> list[str]:
    """What is wrong with configs that `config_files` leaves out, a line each with the path.

    `model`: only of those that may be this model's.
    """
    return [told for told, text in _read_all(folder, ())[1] if not model or _may_be_of(model, text)]


def _may_be_of(model: str, text: str | None) -> bool:
    names = {model, use_case_name(model)}
    return text is None or any(found[1] in names for found in _OF_MODEL.finditer(text))


def _read_all(folder: Path, more: Iterable[str]) -> tuple[dict[str, Config], list[tuple[str, str | None]]]:
    """The configs; and of each that is broken what is wrong, and its text if it can be read."""
    files: list[Path] = []
    problems: list[tuple[str, str | None]] = []
    for place in (folder / "configs", folder):
        try:
            files += [path for path in place.iterdir() if path.suffix == ".toml" and path.name[0] != "."]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # a glob would pass over it
            problems.append((f"{place}: its configs cannot be listed: {error.strerror}", None))
    for pattern in more:
        path = Path(pattern).expanduser()
        root = Path(path.anchor) if path.is_absolute() else folder
        files += root.glob(str(path.relative_to(path.anchor)))
    found: dict[str, Config] = {}
    for file in sorted(files, key=lambda file: file.with_suffix("")):
        try:
            found[str(file)] = load_config(file)
        except ConfigError as error:
            text = _text_of(file)
            if text is None or _names_a_use_case(text):
                problems.append((str(error) if str(file) in str(error) else f"{file}: {error}", text))
    return found, problems


def _text_of(file: Path) -> str | None:
    try:
        return file.read_text("utf-8", errors="replace")
    except OSError:
        return None


def _names_a_use_case(text: str) -> bool:
    """Whether a file that cannot be used is meant as a config: no pyproject.toml begins with a name."""
    head = text.split("\n[")[0]
    return not head.startswith("[") and _NAMED.search(head) is not None
