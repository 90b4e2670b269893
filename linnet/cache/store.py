"""The content cache: a step's outputs, kept under a key made of everything they depend on.

kfp's own local cache hashes artifact URIs, so that it serves stale data when a file changes under its
path; this one hashes bytes, on the way in (the inputs) and on the way out (a stored output whose bytes
no longer match its digest is a miss). Nothing heavy is imported: the key is looked up before the step
imports what it works with, on a laptop and on a cluster alike.

    entries/TASK/KEY.json   what the step gave: a tree of digests an output, and its scalar values
    blobs/ab/ab12...        the contents, equal ones once
    memo/                   digests of files that did not change since they were read
    staging/                outputs being written; an entry appears by one rename when all is there
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from linnet.cache.blobs import READ_ONLY, Blobs, clear, scratch
from linnet.cache.digest import MISSING, File, Tree, file_digest, tree_of
from linnet.cache.key import Key
from linnet.cache.memo import FLOOR, REST_NS, Memo
from linnet.cache.owning import own_files
from linnet.cache.shared import FolderObjects, ObjectStore, Shared
from linnet.errors import StorageError
from linnet.storage.files import file_name, listed, write_text, writing
from linnet.storage.locks import file_lock
from linnet.storage.paths import state_dir

_Answer = TypeVar("_Answer")

LOCATION = "LINNET_CACHE"
"""A folder, or the URL of an object store that machines share (s3://bucket/prefix)."""


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step gave, and what it cost when it really ran."""

    values: dict[str, Any]
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the step wrote into the metadata of each output."""
    run: str = ""
    """The run that worked it out."""


@dataclass(frozen=True)
class Entry:
    """A stored result: the key as it was, and the contents of the outputs."""

    key: dict[str, Any]
    outputs: dict[str, Tree]
    result: StepResult

    @property
    def digest(self) -> str:
        """The key's digest, which names the entry."""
        return Key(**self.key).digest

    @property
    def size(self) -> int:
        """Bytes of all outputs."""
        return sum(tree.size for tree in self.outputs.values())

    def text(self) -> str:
        """The entry as JSON, with a digest of itself."""
        body = json.dumps(asdict(self), sort_keys=True)
        return json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "entry": body})

    @classmethod
    def of(cls, text: str) -> Entry | None:
        """The entry that a text holds; None if one bit of it is not as it was written."""
        try:
            outer = json.loads(text)
            if hashlib.sha256(outer["entry"].encode()).hexdigest() != outer["sha256"]:
                return None
            inner = json.loads(outer["entry"])
            trees = {
                name: Tree(tree["kind"], tuple(File(**file) for file in tree["files"]), tuple(tree["empty"]))
                for name, tree in inner["outputs"].items()
            }
            return cls(inner["key"], trees, StepResult(**inner["result"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def open_cache() -> Cache:
    """The cache that LINNET_CACHE names: a folder (empty: in the state folder), or a shared store's URL."""
    location = os.environ.get(LOCATION, "")
    if location.startswith("file://"):
        return Cache(state_dir() / "cache", FolderObjects(Path(unquote(location.removeprefix("file://")))))
    if "://" in location:
        return Cache(state_dir() / "cache", ObjectStore(location))
    return Cache(Path(location) if location else state_dir() / "cache")


class Cache:
    """A store of step outputs in a folder, with a shared store behind it if one is given."""

    def __init__(self, root: Path, shared: Shared | None = None) -> None:
        self.root = root
        self.memo = Memo(root / "memo")
        self.blobs = Blobs(root / "blobs", self.memo)
        self._shared = shared

    def staging(self) -> Path:
        """A fresh folder to write outputs into, on the same file system as the store."""
        with writing(self.root):
            folder = scratch(self.root / "staging")
            folder.mkdir()
        return folder

    def get(self, key: Key, outputs: Mapping[str, Path]) -> StepResult | None:
        """Brings a stored result to `outputs`, or returns None: not there, or no longer its bytes."""
        with self.lock():
            entry = self._find(key)
            if entry is None or set(entry.outputs) != set(outputs):
                return None
            # All are looked at, so that all damage is thrown away at once.
            if sum(not self._have(file) for tree in entry.outputs.values() for file in tree.files):
                self.entry_file(key.task, key.digest).unlink(missing_ok=True)
                return None
            try:
                for name, target in outputs.items():
                    self.blobs.place(entry.outputs[name], target)
            except FileNotFoundError:  # somebody deletes the cache at this moment
                for target in outputs.values():
                    clear(target)
                return None
            with contextlib.suppress(OSError):
                os.utime(self.entry_file(key.task, key.digest))  # used now: the last to go
            return entry.result

    def put(self, key: Key, staged: Path, names: list[str], result: StepResult) -> Entry:
        """Moves what was staged into the store; gives the entry, whose outputs `deliver` brings anywhere.

        Raises:
            StorageError: the step did not write an output.
        """
        with self.lock():
            trees = {name: self._seal(staged / name, key.task) for name in names}
            for name, tree in trees.items():
                for file in tree.files:
                    self.blobs.add(staged / name / file.path if file.path else staged / name, file)
            entry = Entry(asdict(key), trees, result)
            write_text(self.entry_file(key.task, key.digest), entry.text())
        self._tell(lambda shared: self._publish(shared, key, entry))
        return entry

    def deliver(self, entry: Entry, outputs: Mapping[str, Path]) -> None:
        """Brings the outputs of an entry that was just stored to where they are wanted."""
        with self.lock():
            for name, target in outputs.items():
                self.blobs.place(entry.outputs[name], target)

    def publish(self, staged: Path, outputs: Mapping[str, Path], task: str) -> None:
        """Moves what was staged to where it is wanted, and keeps nothing of it.

        Raises:
            StorageError: the step did not write an output.
        """
        for name, target in outputs.items():
            if not (staged / name).exists():
                raise StorageError(f"{task}: the step did not write its output {name}")
            clear(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(staged / name, target)

    def latest(self, task: str) -> dict[str, Any] | None:
        """The key of a task's newest entry (to explain a miss against), or None."""
        files = sorted(listed(self.root / "entries" / file_name(task), "[!.]*.json"), key=_used, reverse=True)
        found = (self.load(file) for file in files)
        return next((entry.key for entry in found if entry is not None), None)

    def entry_file(self, task: str, digest: str) -> Path:
        """Where an entry is, if it is."""
        return self.root / "entries" / file_name(task) / f"{digest}.json"

    def entry_files(self) -> list[Path]:
        """The files of all entries, the least recently used first."""
        return sorted(
            (file for task in listed(self.root / "entries") for file in listed(task, "[!.]*.json")), key=_used
        )

    def load(self, file: Path) -> Entry | None:
        """The entry in a file; None if it is gone or damaged."""
        try:
            return Entry.of(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError):
            return None

    def lock(self, exclusive: bool = False) -> contextlib.AbstractContextManager[None]:
        """Nothing is cleaned up (`exclusive`) while results come and go: it ends with its process."""
        return file_lock(self.root / "lock", shared=not exclusive, mode=0o666)  # a team may share a cache

    def _seal(self, path: Path, task: str) -> Tree:
        """Makes an output read-only (hard links share it: nobody may write through one) and reads it."""
        if own_files(path) >= FLOOR:
            time.sleep(REST_NS / 1e9)  # so that the memo can tell any later change from this one
        tree = tree_of(path, self.memo)
        if tree is None:
            raise StorageError(f"{task}: the step did not write its output {path.name}")
        odd = [file.path for file in tree.files if file.digest == MISSING]
        if odd:
            raise StorageError(f"{task}: {path.name}/{odd[0]} is a broken link or no plain file")
        return tree

    def _find(self, key: Key) -> Entry | None:
        file = self.entry_file(key.task, key.digest)
        entry = self.load(file)
        if entry is None:
            text = self._tell(lambda shared: shared.read(_entry_name(key)))
            entry = Entry.of(text.decode("utf-8", "replace")) if text else None
            if entry is not None and entry.key == asdict(key):
                write_text(file, entry.text())
        return entry if entry is not None and entry.key == asdict(key) else None

    def _have(self, file: File) -> bool:
        """Whether a content is here and whole; the shared store is asked for what is not."""
        if self.blobs.holds(file):
            return True
        return bool(self._tell(lambda shared: self._fetch(shared, file)))

    def _fetch(self, shared: Shared, file: File) -> bool:
        target = scratch(self.root / "staging")
        try:
            if not shared.download(_blob_name(file), target):
                return False
            target.chmod(READ_ONLY)
            if file_digest(target) != file.digest:
                shared.remove(_blob_name(file))  # damaged there: the next result fixes it
                return False
            self.blobs.add(target, file)
            return True
        finally:
            target.unlink(missing_ok=True)

    def _publish(self, shared: Shared, key: Key, entry: Entry) -> None:
        """Contents first, the entry last: whoever sees it finds all of it."""
        for tree in entry.outputs.values():
            for file in tree.files:
                if shared.size(_blob_name(file)) != file.size:
                    shared.upload(_blob_name(file), self.blobs.path(file.digest))
        shared.write(_entry_name(key), entry.text().encode())

    def _tell(self, what: Callable[[Shared], _Answer]) -> _Answer | None:
        """Asks the shared store; one that cannot be used is said once, and the work goes on without it."""
        if self._shared is None:
            return None
        try:
            return what(self._shared)
        except (StorageError, OSError) as error:
            print(f"warning: {error}; going on with the local cache alone", file=sys.stderr, flush=True)
            self._shared = None
            return None


def _entry_name(key: Key) -> str:
    return f"entries/{file_name(key.task)}/{key.digest}.json"


def _blob_name(file: File) -> str:
    return f"blobs/{file.digest[:2]}/{file.digest}"


def _used(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
