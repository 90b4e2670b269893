"""A dataset at an address (s3, gs, az, https, http), brought here file by file through fsspec.

The copy lies in the state folder, a folder for each address. A file is fetched again only when the other side
says that it changed; one that was cut off goes on where it stopped. Object stores are reached by obstore,
with the credentials of the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL,
GOOGLE_APPLICATION_CREDENTIALS, ...), or as nobody where it names none and the bucket is public.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from linnet.data.archives import is_archive, unpack
from linnet.data.digest import quick_digest
from linnet.errors import DataError, DatasetUnavailable
from linnet.progress import Progress
from linnet.storage.files import file_name, writing
from linnet.storage.locks import file_lock
from linnet.storage.object_store import files_below, first_answer
from linnet.storage.paths import state_dir

_WEB, _STORES = ("http", "https"), ("s3", "gs", "az")
_TABLES = (".csv", ".tsv", ".parquet")
_BLOCK = 8 << 20
_AT_ONCE = 8
_REMEDY = "check the address, the network, and the credentials of the store"
"""Files that are fetched at the same time: small ones wait for answers, not for bytes."""


@dataclass(frozen=True, slots=True)
class _Remote:
    """A file of the dataset, as the other side describes it."""

    key: str
    """Its name for fsspec."""
    path: str
    """Its place below the copy's folder."""
    size: int | None
    mark: str
    """ETag, version or time of the last change; empty where the other side gives none."""
    web: bool
    """Whether it lies on a web server, not in an object store."""


def is_remote(location: str) -> bool:
    """Whether a dataset's location is an address and no path."""
    return urlsplit(location).scheme in (*_WEB, *_STORES)


def bring(location: str, progress: Progress | None = None) -> Path:
    """The local copy of a folder, table or archive at an address, as it is there now.

    Of a table (CSV, TSV, Parquet) everything in its folder comes along, and the table is returned; an archive
    (ZIP, tar) is unpacked. Files that are gone there are removed here.

    Args:
        location: The address; a folder of a web server must list its files.
        progress: Told (what, bytes done, bytes in total).

    Raises:
        DatasetUnavailable: the address cannot be reached, or holds nothing.
        DataError: a name leads out of the dataset, or an archive cannot be unpacked.
        StorageError: the disk is full or not writable.
    """
    name = PurePosixPath(urlsplit(location).path.rstrip("/")).name or urlsplit(location).netloc
    digest = hashlib.blake2b(location.encode(), digest_size=6).hexdigest()
    copy = state_dir() / "data" / "remote" / f"{file_name(name)}-{digest}"
    archive = is_archive(name)
    alone = archive or name.lower().endswith(_TABLES)
    root = location.rsplit("/", 1)[0] if alone and not archive else location.rstrip("/")
    with file_lock(copy.with_suffix(".lock")), writing(copy):
        (copy / "files").mkdir(parents=True, exist_ok=True)
        system, wanted = _listing(location, root, single=name if archive else "")
        _fetch_all(system, wanted, copy, location, progress)
        if archive:
            unpack(copy / "files" / name, copy / "unpacked", location, copy / "unpacked.stamp")
            return copy / "unpacked"
    return copy / "files" / name if alone else copy / "files"


def _listing(location: str, root: str, single: str) -> tuple[Any, list[_Remote]]:
    """The file system, and all files below `root`, or the one at `location`, by path."""
    import fsspec

    scheme, start = urlsplit(location).scheme, location if single else root

    def listed(system: Any, base: str) -> dict[str, Any]:
        return {base: system.info(base)} if single else files_below(system, base)

    try:
        if scheme in _STORES:
            base = start.partition("://")[2]
            system, found = first_answer(scheme, lambda system: listed(system, base))
        else:  # a listing page tells names alone
            system, base = fsspec.core.url_to_fs(start)
            found = listed(system, base if single else base + "/")
            names = [name for name in found if not set("?#") & set(name)]
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                found = dict(zip(names, pool.map(system.info, names), strict=True))
    except Exception as error:  # every store's client has errors of its own
        raise _unavailable(location, error) from error
    files = [
        _described(key, single or _below(key, base), info, location)
        for key, info in found.items()
        if info.get("type") == "file"
    ]
    if not files:
        raise DatasetUnavailable(location, {location: "it lists no files"}, _REMEDY)
    return system, sorted(files, key=lambda file: file.path)


def _below(key: str, base: str) -> str:
    return unquote(key.removeprefix(base).lstrip("/")) if "://" in key else key.removeprefix(base).lstrip("/")


def _described(key: str, path: str, info: dict[str, Any], location: str) -> _Remote:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or "\0" in path:
        raise DataError(location, f"names '{path}', which lies outside the dataset", "rename it there")
    marks = ("e_tag", "ETag", "etag", "version", "last_modified", "LastModified", "mtime")
    mark = next((str(info[name]) for name in marks if info.get(name)), "")
    size = info.get("size")
    web = key.startswith(("http://", "https://"))
    return _Remote(
        key, path, int(size) if size is not None else None, mark, not web or bool(info.get("partial"))
    )


def _fetch_all(
    system: Any, wanted: list[_Remote], copy: Path, location: str, progress: Progress | None
) -> None:
    """Makes the copy what the listing says; each file that is done is written down at once."""
    journal = copy / "fetched.jsonl"
    known = _journal(journal)
    held = {file.path for file in wanted}
    for stale in (path for path in (copy / "files").rglob("*") if path.is_file()):
        if stale.relative_to(copy / "files").as_posix() not in held:
            stale.unlink()
    todo = [file for file in wanted if not _is_here(file, known.get(file.path), copy)]
    total, done = sum(file.size or 0 for file in wanted), sum(file.size or 0 for file in wanted)
    done -= sum(file.size or 0 for file in todo)
    with journal.open("a", encoding="utf-8") as lines, ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for file, digest in pool.map(lambda file: (file, _fetch(system, file, copy)), todo):
                entry = {"path": file.path, "size": file.size, "mark": file.mark, "digest": digest}
                lines.write(json.dumps(entry) + "\n")
                lines.flush()
                done += file.size or 0
                if progress:
                    progress(f"fetching: {location}", done, total)
        except DataError:
            pool.shutdown(cancel_futures=True)
            raise
        except OSError as error:
            pool.shutdown(cancel_futures=True)
            if error.filename is not None and str(error.filename).startswith(str(copy)):
                raise  # the disk's
            raise _unavailable(location, error) from error
        except Exception as error:
            pool.shutdown(cancel_futures=True)
            raise _unavailable(location, error) from error


def _journal(path: Path) -> dict[str, dict[str, Any]]:
    """What was fetched before, the newest line of each file; one that a kill cut off counts for nothing."""
    known: dict[str, dict[str, Any]] = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
            known[entry["path"]] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return known


def _is_here(file: _Remote, entry: dict[str, Any] | None, copy: Path) -> bool:
    """Whether the copy has this very file: written down, unchanged there, and its bytes as they came."""
    target = copy / "files" / file.path
    if entry is None or not file.mark or (entry["size"], entry["mark"]) != (file.size, file.mark):
        return False
    return target.is_file() and quick_digest(target) == entry["digest"]


def _fetch(system: Any, file: _Remote, copy: Path) -> str:
    """Fetches one file, from where an earlier try of the same version stopped; its digest."""
    target = copy / "files" / file.path
    mark = hashlib.blake2b(f"{file.path} {file.size} {file.mark}".encode(), digest_size=12).hexdigest()
    partial = copy / "partial" / mark
    partial.parent.mkdir(exist_ok=True)
    start = partial.stat().st_size if partial.exists() and file.mark and file.size is not None else 0
    with partial.open("ab" if start else "wb") as stream:
        for block in _blocks(system, file, start):
            stream.write(block)
    if file.size is not None and partial.stat().st_size != file.size:
        found = partial.stat().st_size
        partial.unlink()
        raise ConnectionError(f"{file.path} came with {found:,} bytes instead of {file.size:,}")
    digest = quick_digest(partial)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(target)
    return digest


def _blocks(system: Any, file: _Remote, start: int) -> Iterable[bytes]:
    """The bytes of a file from `start` on."""
    if file.web and not start:  # one answer, whatever the server knows of ranges
        with system.open(file.key, "rb", block_size=0) as stream:
            while block := stream.read(_BLOCK):
                yield block
        return
    assert file.size is not None
    for first in range(start, file.size, _BLOCK):
        last = min(first + _BLOCK, file.size)
        block = system.cat_file(file.key, start=first, end=last)
        if len(block) == file.size > last - first:  # a server that gives the whole, whatever it is asked
            yield block[first:]
            return
        yield block


def _unavailable(location: str, error: Exception) -> DatasetUnavailable:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, FileNotFoundError):  # which says no more than the path
        reason = "there is nothing at this address"
    return DatasetUnavailable(location, {urlsplit(location).scheme: reason}, _REMEDY)
