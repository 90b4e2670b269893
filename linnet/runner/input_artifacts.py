"""The artefacts that a task is given: their bytes, and whether it left them as they were.

On a cluster each pod has a copy of its own; here all tasks of a run read the same files, since what they
hand on (images, checkpoints, packages) is large, and its place is what later steps record and link to.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from linnet.cache.digest import tree_digest
from linnet.cache.memo import Memo
from linnet.errors import LinnetError
from linnet.records.task import ArtifactRecord
from linnet.runner.executor_io import Artifact
from linnet.storage.paths import state_dir


def artifacts_of(arguments: dict[str, Any]) -> list[Artifact]:
    """The artefacts among a task's arguments."""
    values = [one for value in arguments.values() for one in (value if isinstance(value, list) else [value])]
    return [value for value in values if isinstance(value, Artifact)]


def digests_of(arguments: dict[str, Any], run: Path) -> dict[str, str]:
    """Digests, by place, of what tasks of this run made: they are known, so it is a look at each file."""
    places = {artifact.uri for artifact in artifacts_of(arguments)}
    own = run.absolute()
    return _digests(uri for uri in places if "://" not in uri and Path(uri).is_relative_to(own))


def changed(before: dict[str, str]) -> list[str]:
    """Places whose bytes are not those of `before` any more."""
    return sorted(uri for uri, digest in _digests(before).items() if digest != before[uri])


def _digests(places: Iterable[str]) -> dict[str, str]:
    """What cannot be read is left out: whoever needs it says so."""
    found = {}
    for uri in places:
        with suppress(LinnetError, OSError):
            found[uri] = digest_of(uri)
    return found


def digest_of(uri: str) -> str:
    """Digest of an artefact's bytes where they lie on this machine; nothing where they do not."""
    if "://" in uri:
        return ""
    return tree_digest(Path(uri), Memo(state_dir() / "cache" / "memo"))


def is_as_written(artifact: ArtifactRecord) -> bool:
    """Whether an artefact has the bytes that its task wrote; of one that an earlier version recorded, any."""
    if not artifact.digest:
        return "://" in artifact.uri or Path(artifact.uri).exists()
    return digest_of(artifact.uri) == artifact.digest
