"""The artifacts that a task is given: their bytes, and whether it left them as they were.

On a cluster each pod has a copy of its own; here all tasks of a run read the same files, since what they
hand on (images, checkpoints, packages) is large, and its place is what later steps record and link to.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from linnet.cache.digest import tree_digest
from linnet.cache.memo import Memo
from linnet.records.task import ArtifactRecord
from linnet.runner.executor_io import Artifact
from linnet.storage.paths import state_dir

State = int
"""Of this process: it is compared, and never kept."""


def artifacts_of(arguments: dict[str, Any]) -> list[Artifact]:
    """The artifacts among a task's arguments."""
    values = [one for value in arguments.values() for one in (value if isinstance(value, list) else [value])]
    return [value for value in values if isinstance(value, Artifact)]


def states_of(arguments: dict[str, Any], run: Path) -> dict[str, State]:
    """How the artifacts stand, by place, that tasks of this run made: a look at each file, none is read."""
    places = {artifact.uri for artifact in artifacts_of(arguments)}
    own = run.absolute()
    return {uri: _state(uri) for uri in sorted(places) if "://" not in uri and Path(uri).is_relative_to(own)}


def changed(before: dict[str, State]) -> list[str]:
    """Places in which something was written, made or removed since."""
    return [uri for uri, state in before.items() if _state(uri) != state]


def _state(place: str) -> State:
    """A number over path, bytes and time of the last change of each file; of what cannot be seen, that."""
    found: set[tuple[str, int, int]] = set()
    waiting = [place]
    while waiting:
        path = waiting.pop()
        try:
            about = os.stat(path)  # noqa: PTH116  a hundred thousand of them
            if not stat.S_ISDIR(about.st_mode):
                found.add((path, about.st_size, about.st_mtime_ns))
                continue
            found.add((path, 0, 0))
            waiting += [entry.path for entry in os.scandir(path) if not _is_linked_folder(entry)]
        except OSError:
            found.add((path, -1, -1))
    return hash(frozenset(found))


def _is_linked_folder(entry: os.DirEntry[str]) -> bool:
    """A link to a folder may lead round in a circle, and what is behind it is no part of the artifact."""
    return entry.is_symlink() and entry.is_dir()


def digest_of(uri: str) -> str:
    """Digest of an artifact's bytes where they lie on this machine; nothing where they do not."""
    if "://" in uri:
        return ""
    return tree_digest(Path(uri), Memo(state_dir() / "cache" / "memo"))


def is_as_written(artifact: ArtifactRecord) -> bool:
    """Whether an artifact has the bytes that its task wrote; of one that an earlier version recorded, any."""
    if not artifact.digest:
        return "://" in artifact.uri or Path(artifact.uri).exists()
    return digest_of(artifact.uri) == artifact.digest
