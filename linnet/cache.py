"""The content cache: a step's outputs, kept under a key made of everything they depend on.

key = component code + library sources + parameters + contents of the inputs + environment. kfp's own
local cache hashes artefact URIs, so that it serves stale data when a file changes under its path;
this one hashes bytes, on the way in (the inputs) and on the way out (a stored output whose bytes
no longer match its digest is a miss). The standard library only: the key is looked up before
anything heavy is imported, on a laptop and on a cluster alike.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
import sysconfig
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from linnet.errors import StorageError

_CHUNK = 1 << 20
MISSING = "missing"
"""The digest of what does not exist: no content has it."""


@dataclass(frozen=True)
class Key:
    """What a step's outputs depend on, part by part, so that a miss can be explained."""

    task: str
    code: str
    library: str
    environment: str
    parameters: dict[str, str]
    inputs: dict[str, str]

    @property
    def digest(self) -> str:
        """40 hex digits that name the entry."""
        return text_digest(json.dumps(asdict(self), sort_keys=True))


@dataclass(frozen=True)
class Hit:
    """A verified entry: the scalar values, and what the step cost when it really ran."""

    values: dict[str, Any]
    seconds: float


def text_digest(text: str) -> str:
    """blake2b of a text, 40 hex digits."""
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def tree_digest(path: Path) -> str:
    """blake2b over the names and contents of a file or of all files in a folder; 40 hex digits.

    A path that does not exist has the digest MISSING.
    """
    if not path.exists():
        return MISSING
    digest = hashlib.blake2b(digest_size=20)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        name = file.name if file == path else file.relative_to(path).as_posix()
        digest.update(f"{len(name)}:{name}:{file.stat().st_size}:".encode())
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def value_digest(value: Any) -> str:
    """Digest of a plain JSON value, whatever the order of its keys; 3 and 3.0 are the same."""
    return text_digest(json.dumps(_canonical(value), sort_keys=True))


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return value


@cache
def library_digest() -> str:
    """Digest of the installed `linnet` sources: any edit of the library is a new key."""
    root = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=20)
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def environment_digest() -> str:
    """Digest of the Python, the machine type and the installed distributions with their versions."""
    site = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    installed = sorted(p.name for folder in site for p in Path(folder).glob("*.dist-info"))
    return text_digest("\n".join([platform.python_version(), platform.machine(), *installed]))


class Cache:
    """A store of step outputs in a folder; entries appear and vanish whole."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def staging(self) -> Path:
        """A fresh folder to write outputs into, on the same file system as the store."""
        folder = self.root / "staging" / f"{os.getpid()}-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        return folder

    def get(self, key: Key, outputs: Mapping[str, Path]) -> Hit | None:
        """Brings a stored entry to `outputs`, or returns None: not there, or no longer its bytes."""
        entry = self.root / "entries" / key.digest
        try:
            stored = json.loads((entry / "entry.json").read_text())
        except (OSError, ValueError):
            return None
        whole = set(stored["outputs"]) == set(outputs) and all(
            tree_digest(entry / name) == digest for name, digest in stored["outputs"].items()
        )
        if not whole:
            self._discard(entry)
            return None
        for name, target in outputs.items():
            place(entry / name, target)
        return Hit(stored["values"], stored["seconds"])

    def put(self, key: Key, staged: Path, names: list[str], values: dict[str, Any], seconds: float) -> Path:
        """Moves what was staged into the store and returns the entry's folder."""
        digests = {name: tree_digest(staged / name) for name in names}
        missing = [name for name, digest in digests.items() if digest == MISSING]
        if missing:
            raise StorageError(f"{key.task}: the step did not write its output {', '.join(missing)}")
        entry = {"key": asdict(key), "outputs": digests, "values": values, "seconds": seconds}
        (staged / "entry.json").write_text(json.dumps(entry, indent=1))
        for file in staged.rglob("*"):
            if file.is_file():
                file.chmod(0o444)  # outputs are shared by hard links: nobody may write through one
        target = self.root / "entries" / key.digest
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # The same key was stored meanwhile, by a run beside this one: both hold the same work.
            self._discard(target)
            staged.rename(target)
        return target

    def latest(self, task: str) -> dict[str, Any] | None:
        """The newest entry of a task (to explain a miss against), or None."""
        newest: tuple[float, dict[str, Any]] | None = None
        for file in (self.root / "entries").glob("*/entry.json"):
            stored = json.loads(file.read_text())
            when = file.stat().st_mtime
            if stored["key"]["task"] == task and (newest is None or when > newest[0]):
                newest = (when, stored)
        return newest[1] if newest else None

    def _discard(self, entry: Path) -> None:
        grave = self.root / "staging" / f"discarded-{uuid.uuid4().hex}"
        grave.parent.mkdir(parents=True, exist_ok=True)
        entry.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)


def place(source: Path, target: Path) -> None:
    """Makes `target` the same file or folder as `source`: by hard links, or copies where it cannot."""
    if target.is_dir():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link)
    else:
        target.unlink(missing_ok=True)
        _link(str(source), str(target))


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def explain(key: Key, stored: dict[str, Any] | None) -> str:
    """Which part of a key differs from that of an earlier entry, in a sentence."""
    if stored is None:
        return "never ran here before"
    old = stored["key"]
    changed = [part for part in ("code", "library", "environment") if old[part] != getattr(key, part)]
    for group in ("parameters", "inputs"):
        before, after = old[group], getattr(key, group)
        names = sorted(set(before) | set(after))
        changed += [f"{group[:-1]} {n}" for n in names if before.get(n) != after.get(n)]
    return "changed: " + ", ".join(changed) if changed else "its stored output was removed or damaged"
