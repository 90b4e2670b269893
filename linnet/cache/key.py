"""What a step's outputs depend on: the cache's key, part by part, so that a miss can be explained."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from linnet.cache.digest import text_digest, tree_of
from linnet.cache.memo import Memo
from linnet.cache.packages import versions_of
from linnet.cache.reach import reach

LIBRARY = Path(__file__).parents[1]
"""The installed `linnet` sources."""
DECLARED = "LINNET_DECLARED"
"""Names, with commas between, of the environment variables that a task's definition sets for it."""
PARTS = ("code", "environment")
GROUPS = {"library": "", "packages": "package ", "parameters": "parameter ", "inputs": "input "}
"""Parts that have parts, and the word before the name of one."""
MOST_NAMED = 8
"""How many differences a sentence names."""


@dataclass(frozen=True)
class Key:
    """What a step's outputs depend on; digests throughout, but for versions."""

    task: str
    code: str
    """Of the component's own file."""
    library: dict[str, str]
    """Of each module and data file that the component can reach, by path."""
    packages: dict[str, str]
    """Versions of the distributions that those modules import."""
    environment: str
    parameters: dict[str, str]
    inputs: dict[str, str]

    @property
    def digest(self) -> str:
        """64 hex digits that name the entry."""
        return text_digest(json.dumps(asdict(self), sort_keys=True))


def key_of(values: Mapping[str, Any]) -> Key:
    """A key from its plain values, as a run keeps them, a run of the version before included."""
    whole = values["library"]
    library = whole if isinstance(whole, dict) else {"linnet": whole}
    return Key(**{**values, "library": library, "packages": values.get("packages", {})})


def reached_by(code: Path, memo: Memo | None = None) -> tuple[dict[str, str], dict[str, str]]:
    """What a component's file reaches: digests of modules and data files, and versions of packages.

    With a memo the sources are only read if a file of theirs came, went or changed.
    """
    found = reach(code, LIBRARY, memo)
    return found.files, versions_of(found.imported, memo)


def source_states(root: Path = LIBRARY) -> list[tuple[str, int, int, int, int]]:
    """Name below `root`, inode, size, times of modification and of change of every source file, sorted.

    The time of change too, because the other can be set back: an edit that does so would still be seen.
    """
    found: list[tuple[str, int, int, int, int]] = []
    top, folders = len(str(root)) + 1, [str(root)]
    while folders:  # plain strings and one stat a file: every step asks
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    if entry.name != "__pycache__":
                        folders.append(entry.path)
                elif entry.name.endswith(".py"):
                    about = entry.stat()
                    times = about.st_mtime_ns, about.st_ctime_ns
                    found.append((entry.path[top:], about.st_ino, about.st_size, *times))
    return sorted(found)


def environment_digest() -> str:
    """Digest of Python, machine type, and the variables that the task declares."""
    declared = sorted(filter(None, os.environ.get(DECLARED, "").split(",")))
    variables = [f"{name}={os.environ.get(name)}" for name in declared]
    return text_digest("\n".join([platform.python_version(), platform.machine(), *variables]))


def code_digest(path: Path) -> str:
    """Digest of a component's own code: its text, wherever it lies."""
    tree = tree_of(path)
    assert tree is not None, "a component that runs has a file"
    return tree.digest


def differences(key: Key, before: Mapping[str, Any]) -> list[str]:
    """The parts in which a key differs from another one (as a plain mapping), such as `input samples`.

    Files and packages are named; an entry of a version that counted the whole library as one says only that.
    """
    changed = [part for part in PARTS if before.get(part) != getattr(key, part)]
    for group, word in GROUPS.items():
        old, new = before.get(group), getattr(key, group)
        if not isinstance(old, Mapping):
            changed += [group] if group == "library" else []
            continue
        names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        changed += [_told(group, f"{word}{name}", old.get(name), new.get(name)) for name in names]
    return changed


def _told(group: str, name: str, old: str | None, new: str | None) -> str:
    if group == "packages":
        return f"{name} {old or 'none'} -> {new or 'none'}"
    if group == "library":
        return f"{name} (new)" if old is None else f"{name} (gone)" if new is None else name
    return name


def explain(key: Key, before: Mapping[str, Any] | None) -> str:
    """Which part of a key differs from that of an earlier entry, in a sentence."""
    if before is None:
        return "never ran here before"
    changed = differences(key, before)
    if not changed:
        return "its stored output was removed or damaged"
    more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
    return "changed: " + ", ".join(changed[:MOST_NAMED]) + more
