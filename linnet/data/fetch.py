"""Brings the raw dataset that a `.dvc` file names, from the first source that has it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from linnet.data.digest import check_folder
from linnet.data.sources import NoAnswer, Source, sources_of
from linnet.data.version import DatasetVersion, read_version
from linnet.errors import DatasetUnavailable, DigestMismatch
from linnet.progress import Progress
from linnet.storage.files import writing


def fetch(dvc_file: Path, revision: str = "", progress: Progress | None = None) -> Path:
    """Returns the folder with the verified raw files of a `.dvc` file, fetching them where needed.

    Every byte is checked on every call (55 MB take about 0.2 s). Files appear in one rename, so an
    interrupted fetch leaves nothing half done, and the same call starts it again.

    Args:
        dvc_file: The `.dvc` file.
        revision: Git revision of the `.dvc` file; empty: as it is in the working tree.
        progress: Told (what, bytes done, bytes in total).

    Raises:
        DataError: the file or revision does not exist, or is not a DVC 3 file of one folder.
        DigestMismatch: a folder of a person's own, which is never replaced, has a wrong byte.
        DatasetUnavailable: no source has the dataset; says what each one answered.
        StorageError: the disk is full or not writable.
    """
    version = read_version(dvc_file, revision)
    return fetch_version(version, sources_of(version), progress)


def fetch_version(version: DatasetVersion, sources: Sequence[Source], progress: Progress | None) -> Path:
    """As `fetch`, of a version that was read already, from the given sources in their order."""
    tried: dict[str, str] = {}
    try:
        check_folder(version.folder, version)
        return version.folder
    except FileNotFoundError:
        tried[str(version.folder)] = "not there"
    except DigestMismatch as error:
        if not version.managed:
            raise
        tried[str(version.folder)] = str(error)
    parent = version.folder.parent
    with writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        for source in sources:
            fresh = Path(tempfile.mkdtemp(dir=parent, prefix=f".fetch-{os.getpid()}-"))
            try:
                source.deliver(version, fresh, progress)
                check_folder(fresh, version)
                _put(fresh, version)
                return version.folder
            except (NoAnswer, DigestMismatch) as error:
                tried[source.name] = str(error).replace(f"{fresh}{os.sep}", "")
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    remedy = "connect to a network, install the Debian package, or put the files there by hand"
    raise DatasetUnavailable(str(version.dvc_file), tried, remedy)


def _put(fresh: Path, version: DatasetVersion) -> None:
    """Moves the verified folder into place, unless another process was first."""
    fresh.chmod(0o755)
    aside = fresh.with_name(fresh.name + "-old")
    try:
        check_folder(version.folder, version)
        return
    except DigestMismatch:
        version.folder.rename(aside)
    except FileNotFoundError:
        pass
    try:
        fresh.rename(version.folder)
    except OSError:  # somebody else's rename came between; theirs must be right
        check_folder(version.folder, version)
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Removes what killed fetches left behind."""
    for path in [*parent.glob(".fetch-*"), *parent.glob(".deb-*")]:
        process = path.name.split("-")[1]
        if not process.isdigit() or not _alive(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
