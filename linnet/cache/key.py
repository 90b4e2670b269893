"""What a step's outputs depend on: the cache's key, part by part, so that a miss can be explained."""

from __future__ import annotations

import json
import os
import platform
import sysconfig
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from linnet.cache.digest import text_digest, tree_of
from linnet.cache.memo import Memo, at_rest, boot_id, is_local

LIBRARY = Path(__file__).parents[1]
"""The installed `linnet` sources."""
DECLARED = "LINNET_DECLARED"
"""Names, with commas between, of the environment variables that a task's definition sets for it."""
PARTS = ("code", "library", "environment")


@dataclass(frozen=True)
class Key:
    """What a step's outputs depend on; digests throughout."""

    task: str
    code: str
    library: str
    environment: str
    parameters: dict[str, str]
    inputs: dict[str, str]

    @property
    def digest(self) -> str:
        """64 hex digits that name the entry."""
        return text_digest(json.dumps(asdict(self), sort_keys=True))


def library_digest(memo: Memo | None = None, root: Path | None = None) -> str:
    """Digest of the installed `linnet` sources: any edit of the library is another one.

    With a memo the sources are only read if a file of theirs came, went or changed.
    """
    root = root or LIBRARY
    states = source_states(root)
    signature = text_digest(json.dumps([boot_id(), states]))
    name = f"library-{text_digest(str(root))[:16]}"
    if memo is not None and (known := memo.recall_as(name, signature)) is not None:
        return known
    rested = at_rest(max((changed for *_, changed in states), default=0))
    text = [(name, text_digest((root / name).read_text("utf-8"))) for name, *_ in states]
    digest = text_digest(json.dumps(text))
    if memo is not None and rested and is_local(root / "x"):
        memo.keep_as(name, signature, digest)
    return digest


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
    """Digest of Python, machine type, installed distributions, and the variables that the task declares."""
    site = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    installed = sorted(name for folder in site for name in _distributions(folder))
    declared = sorted(filter(None, os.environ.get(DECLARED, "").split(",")))
    variables = [f"{name}={os.environ.get(name)}" for name in declared]
    return text_digest("\n".join([platform.python_version(), platform.machine(), *installed, *variables]))


def _distributions(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(".dist-info")]  # noqa: PTH208
    except OSError:
        return []


def code_digest(path: Path) -> str:
    """Digest of a component's own code: its text, wherever it lies."""
    tree = tree_of(path)
    assert tree is not None, "a component that runs has a file"
    return tree.digest


def differences(key: Key, before: Mapping[str, Any]) -> list[str]:
    """The parts in which a key differs from another one (as a plain mapping), such as `input samples`."""
    changed = [part for part in PARTS if before[part] != getattr(key, part)]
    for group in ("parameters", "inputs"):
        old, new = before[group], getattr(key, group)
        names = sorted(set(old) | set(new))
        changed += [f"{group[:-1]} {name}" for name in names if old.get(name) != new.get(name)]
    return changed


def explain(key: Key, before: Mapping[str, Any] | None) -> str:
    """Which part of a key differs from that of an earlier entry, in a sentence."""
    if before is None:
        return "never ran here before"
    changed = differences(key, before)
    return "changed: " + ", ".join(changed) if changed else "its stored output was removed or damaged"
