"""What of a state folder is backed up, and how it comes back, perhaps in another place.

Left out is what can be worked out again (the cache, environments), what belongs to processes (locks, state
files, sockets), what a write left behind, and, unless they are asked for, secrets.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from linnet import __version__
from linnet.errors import StorageError
from linnet.storage import sqlite
from linnet.storage.archive import BytesDone, Manifest, unpack, writing_archive

_DERIVED = ("cache", "venv", "apt", "work", "dvc-site", "environments", "containers")
"""Folders of the state folder that are made again when they are missed."""
_SECRETS = ("owner.token", "token", "keys.json", "webhook.secret", "access.json", "sessions.json")
"""Names of files; a folder of such a name may be a use case's or a model's."""
_PROCESS_ENDINGS = (".lock", ".turn", ".sock", "-wal", "-shm", "-journal")


@dataclass
class Plan:
    """What a backup takes and leaves out."""

    home: Path
    files: list[Path] = field(default_factory=list)
    databases: list[Path] = field(default_factory=list)
    links: dict[Path, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    """Bytes that stay, by what they are."""
    links_out: list[Path] = field(default_factory=list)
    """Links that lead out of the folder: they stay, and what they lead to."""

    @property
    def size(self) -> int:
        """Bytes that the backup will hold, before packing."""
        return sum(_size(path) for path in [*self.files, *self.databases])


def plan_backup(home: Path, with_keys: bool = False) -> Plan:
    """Looks through a state folder.

    Raises:
        StorageError: a folder cannot be read: a backup without it would not be one.
    """
    plan = Plan(home)
    for folder, folders, names in os.walk(home, onerror=_refuse_unreadable):
        place = Path(folder)
        for name in sorted(folders):
            why = _reason(home, place / name, with_keys)
            if why or (place / name).is_symlink():
                folders.remove(name)
                if why:
                    plan.left_out[why] = plan.left_out.get(why, 0) + _tree_size(place / name)
                else:
                    _take_link(plan, place / name)
        folders.sort()
        for name in sorted(names):
            path = place / name
            if why := _reason(home, path, with_keys):
                plan.left_out[why] = plan.left_out.get(why, 0) + _size(path)
            elif path.is_symlink():
                _take_link(plan, path)
            elif sqlite.is_database(path):
                plan.databases.append(path)
            elif path.is_file():
                plan.files.append(path)
    return plan


def _refuse_unreadable(error: OSError) -> None:
    """What `os.walk` calls for a folder that it would leave out without a word."""
    problem = f"{error.filename}: the folder cannot be read ({error.strerror})"
    raise StorageError(f"{problem}; make it readable: its files would be missing") from error


def _reason(home: Path, path: Path, with_keys: bool) -> str:
    """Why a file or folder stays; empty: it is taken."""
    first = path.relative_to(home).parts[0]
    if first in _DERIVED or (path / "pyvenv.cfg").is_file():
        return "what is made again (cache, environments)"
    if path.name.startswith(".") or (not path.is_dir() and _is_of_process(path)):
        return "what belongs to processes (locks, unfinished files)"
    if not with_keys and (first == "secrets" or (path.name in _SECRETS and not path.is_dir())):
        return "keys and tokens (--with-keys takes them)"
    return ""


def _is_of_process(file: Path) -> bool:
    """Whether a file is a lock, a socket, a database's journal, or says where a server is."""
    if file.name in ("lock", "worker.json") or file.name.endswith(_PROCESS_ENDINGS):
        return True
    return file.suffix == ".json" and _is_process_state(file)


def _is_process_state(path: Path) -> bool:
    """Whether a file says where a server is."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 4096:
        return False
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and {"url", "pid", "instance"} <= set(values)


def _take_link(plan: Plan, path: Path) -> None:
    """A link within the folder is kept as one; one that leads out of it is left where it is."""
    target = Path(os.path.normpath(path.parent / path.readlink()))
    if path.readlink().is_absolute() or not target.is_relative_to(plan.home):
        plan.links_out.append(path)
    else:
        plan.links[path] = str(path.readlink())


def check(plan: Plan) -> list[str]:
    """Reads every database through; what is damaged, in words."""
    problems = []
    for path in plan.databases:
        try:
            sqlite.check(path)
        except StorageError as error:
            problems.append(str(error))
    return problems


def back_up(
    plan: Plan,
    target: Path,
    progress: BytesDone,
    with_keys: bool = False,
    notes: list[str] | None = None,
    guard: AbstractContextManager[Any] | None = None,
) -> Manifest:
    """Writes the backup; services may run meanwhile.

    Databases are copied first, each as it is at one moment, all under `guard`, which holds up whoever changes
    several of them together; the ledgers go with them. Other files are replaced whole by whoever writes them,
    or only grow.

    Raises:
        StorageError: a database is damaged, or the disk is full.
    """
    home = plan.home
    manifest = Manifest(
        __version__, datetime.now(UTC).isoformat(timespec="seconds"), str(home), with_keys, notes=notes or []
    )
    first = [path for path in plan.files if path.is_relative_to(home / "ledger")]
    with (
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as scratch,
        writing_archive(target, manifest, progress) as archive,
    ):
        copies: dict[Path, Path] = {}
        with guard or nullcontext():
            for number, path in enumerate(plan.databases):
                copies[path] = Path(scratch) / str(number)
                sqlite.snapshot(path, copies[path])
            for path in first:
                archive.add(path, path.relative_to(home).as_posix())
        for path, copy in copies.items():
            archive.add(copy, path.relative_to(home).as_posix())
            copy.unlink()
        for path in plan.files:
            if path not in first:
                archive.add(path, path.relative_to(home).as_posix())
        for path, to in plan.links.items():
            archive.link(path.relative_to(home).as_posix(), to)
    return manifest


def occupied(home: Path) -> list[str]:
    """What lies in a state folder that a restore would mix with; empty: it may be restored there."""
    if not home.exists():
        return []
    return sorted(path.name for path in home.iterdir() if path.name not in _DERIVED and path.name[0] != ".")


def restore(
    source: Path, home: Path, progress: BytesDone, look: Callable[[Path], None], force: bool = False
) -> tuple[Manifest, Path | None]:
    """Brings a backup back into a state folder; what it says, and where what was there before lies now.

    Everything is unpacked beside, compared with its digests and looked through (`look` is given the folder)
    before anything is moved.

    Raises:
        StorageError: the folder is not empty and `force` is off, or the backup is damaged.
    """
    there = occupied(home)
    if there and not force:
        names = ", ".join(there[:4]) + (" ..." if len(there) > 4 else "")
        raise StorageError(
            f"{home} is not empty ({names}): set LINNET_HOME to another folder, or give --force, which moves "
            "what is there aside"
        )
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=home, prefix=".restore-") as scratch:
        folder = Path(scratch)
        manifest = _unpacked(source, folder, progress, look)
        _move_addresses(folder, manifest, home)
        aside = _set_aside(home, there) if there else None
        for path in sorted(folder.iterdir()):
            path.rename(home / path.name)
    return manifest, aside


def verify(source: Path, progress: BytesDone, look: Callable[[Path], None]) -> Manifest:
    """Unpacks a backup beside itself, compares every byte, and throws it away again; what it says.

    Raises:
        StorageError: it is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="linnet-backup-") as scratch:
        return _unpacked(source, Path(scratch), progress, look)


def _unpacked(source: Path, folder: Path, progress: BytesDone, look: Callable[[Path], None]) -> Manifest:
    manifest = unpack(source, folder, progress)
    for name in manifest.files:
        if sqlite.is_database(folder / name):
            sqlite.check(folder / name)
    look(folder)
    return manifest


def _set_aside(home: Path, names: list[str]) -> Path:
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    aside = home.with_name(f"{home.name}.before-{moment}")
    aside.mkdir(mode=0o700)
    for name in names:
        shutil.move(home / name, aside / name)
    return aside


def _move_addresses(folder: Path, manifest: Manifest, home: Path) -> None:
    """Makes files and databases name the folder that they will lie in."""
    if manifest.home == str(home):
        return
    before = Path(manifest.home)
    prefixes = {f"{before}/": f"{home}/", f"{before.as_uri()}/": f"{home.as_uri()}/"}
    for name in manifest.files:
        path = folder / name
        if sqlite.is_database(path):
            sqlite.replace_prefixes(path, prefixes)
        elif path.parent.name == "tasks" or path.name == "executor_output.json":
            _move_in_json(path, prefixes)


def _move_in_json(path: Path, prefixes: dict[str, str]) -> None:
    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(item) for key, item in value.items()}
        if isinstance(value, list):
            return [moved(item) for item in value]
        for old, new in prefixes.items() if isinstance(value, str) else ():
            if value.startswith(old):
                return new + value[len(old) :]
        return value

    try:
        text = path.read_text("utf-8")
        values = json.loads(text)
    except (OSError, ValueError):
        return
    if (other := moved(values)) != values:
        path.chmod(0o600)
        path.write_text(json.dumps(other, indent=1) + "\n", "utf-8")


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _tree_size(folder: Path) -> int:
    return sum(_size(Path(place) / name) for place, _, names in os.walk(folder) for name in names)


def parts(plan: Plan) -> Iterator[tuple[str, int, int]]:
    """Files and bytes that a backup takes, by the first folder of their path."""
    found: dict[str, list[int]] = {}
    for path in [*plan.files, *plan.databases]:
        told = found.setdefault(path.relative_to(plan.home).parts[0], [0, 0])
        told[0], told[1] = told[0] + 1, told[1] + _size(path)
    for name, (count, size) in sorted(found.items()):
        yield name, count, size
