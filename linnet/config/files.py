"""The config files that people keep in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from linnet.config.root import Config, load_config, use_case_name
from linnet.errors import ConfigError

_NAMED = re.compile(r"^\s*name\s*=", re.MULTILINE)
_WILD = re.compile(r"[*?\[]")
_OF_MODEL = re.compile(r"""^\s*(?:name|model)\s*=\s*["']([^"'\n]*)""", re.MULTILINE)


def config_files(folder: Path = Path(), more: Iterable[str] = ()) -> dict[str, Config]:
    """The configs in `configs/` and in the folder itself, by their path; other TOML files are left out.

    `fashion.toml` comes before `fashion-tuned.toml`: the first of a model is its own.
    `more`: further files, or patterns of them such as `/srv/linnet/*.toml`.
    """
    return _read_all(folder, more)[0]


def broken_config_files(folder: Path = Path(), model: str = "", more: Iterable[str] = ()) -> list[str]:
    """What is wrong with configs that `config_files` leaves out, a line each with the path.

    `model`: only of those that may be this model's. `more`: as `config_files` has it.
    """
    return [told for told, text in _read_all(folder, more)[1] if not model or _may_be_of(model, text)]


def _may_be_of(model: str, text: str | None) -> bool:
    names = {model, use_case_name(model)}
    return text is None or any(found[1] in names for found in _OF_MODEL.finditer(text))


def _read_all(folder: Path, more: Iterable[str]) -> tuple[dict[str, Config], list[tuple[str, str | None]]]:
    """The configs; and of each that is broken what is wrong, and its text if it can be read."""
    problems: list[tuple[str, str | None]] = []
    files = [
        path
        for place in (folder / "configs", folder)
        for path in _listed(place, problems)
        if path.suffix == ".toml" and path.name[0] != "."
    ]
    for pattern in more:
        files += _matching(folder / Path(pattern).expanduser(), problems)
    found: dict[str, Config] = {}
    for file in sorted(dict.fromkeys(files), key=lambda file: file.with_suffix("")):
        try:
            found[str(file)] = load_config(file)
        except ConfigError as error:
            text = _text_of(file)
            if text is None or _names_a_use_case(text):
                problems.append((str(error) if str(file) in str(error) else f"{file}: {error}", text))
    return found, problems


def _listed(place: Path, problems: list[tuple[str, str | None]]) -> list[Path]:
    """What lies in a folder; that it cannot be listed is a problem. (A glob would pass over it.)"""
    try:
        return list(place.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        problems.append((f"{place}: its configs cannot be listed: {error.strerror}", None))
        return []


def _matching(pattern: Path, problems: list[tuple[str, str | None]]) -> list[Path]:
    """The paths that a pattern such as `/srv/*/linnet.toml` means; `**` is folders at any depth."""

    def below(place: Path) -> Iterator[Path]:
        yield place
        for child in _listed(place, problems):
            if child.is_dir() and not child.is_symlink():
                yield from below(child)

    places = [Path(pattern.anchor)]
    for part in pattern.relative_to(pattern.anchor).parts:
        if part == "**":
            places = [found for place in places for found in below(place)]
        elif _WILD.search(part):
            inside = [found for place in places for found in _listed(place, problems)]
            places = [found for found in inside if fnmatchcase(found.name, part)]
        else:
            places = [place / part for place in places]
    return [path for path in places if not _is_missing(path)]


def _is_missing(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # whoever reads it is told
        return False
    return False


def _text_of(file: Path) -> str | None:
    try:
        return file.read_text("utf-8", errors="replace")
    except OSError:
        return None


def _names_a_use_case(text: str) -> bool:
    """Whether a file that cannot be used is meant as a config: no pyproject.toml begins with a name."""
    head = text.split("\n[")[0]
    return not head.startswith("[") and _NAMED.search(head) is not None
