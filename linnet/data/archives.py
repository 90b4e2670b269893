"""Datasets that are packed: an archive (ZIP, tar), or a folder of them, such as the shards of a WebDataset.

They are unpacked into the state folder, once, and again when an archive changed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

from linnet.data.digest import quick_digest
from linnet.data.folder_tree import CYCLE, HIDDEN, SYSTEM, Folder, utf8, walk
from linnet.data.tables import ENDINGS as TABLES
from linnet.data.understanding import split_named
from linnet.errors import DataError
from linnet.progress import Progress
from linnet.storage.files import file_name, writing
from linnet.storage.locks import file_lock
from linnet.storage.paths import state_dir

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_OTHERS = (".gz", ".7z", ".rar", ".tfrecord", ".h5", ".hdf5", ".npz", ".lmdb")
"""Endings of what holds images as well, and is not read."""
_ANNOTATIONS = (".json", ".xml", ".yaml", ".yml", ".txt")
_PAPERS = re.compile(
    r"(readme|licen[cs]e|notice|citation|dataset_?info|sizes|.*_stats|.*sums?)\..+", re.IGNORECASE
)
"""Files with such endings that tell of a dataset or its shards, and label nothing."""
_STAMP = ".unpacked"
_SHARD = re.compile(r"(?P<name>.+?)[-_.]?(?P<number>\d+)")


def is_archive(name: str) -> bool:
    """Whether a file of this name is an archive that can be unpacked."""
    return name.lower().endswith(ENDINGS)


def opened(location: Path, progress: Progress | None = None) -> Path:
    """Where a dataset lies unpacked; `location` itself, if that is no archive and no folder of archives.

    The shards train-000.tar, train-001.tar, ... become folders below `train`, and so may name a split.

    Raises:
        DataError: an archive cannot be unpacked, leads out of its folder or needs more room than there is; or
            labels, what is packed in another way, or what cannot be read, lie beside archives.
        StorageError: the disk is full or not writable.
    """
    if location.is_file() and is_archive(location.name):
        archives = [location]
    elif location.is_dir() and not (tree := walk(location)).holds_images():
        archives = _packed(tree, ENDINGS)
        if archives:
            _refuse_what_is_beside(tree, archives)
    else:
        archives = []
    if not archives:
        return location
    digest = hashlib.blake2b(bytes(location.resolve()), digest_size=6).hexdigest()
    copy = state_dir() / "data" / "unpacked" / f"{file_name(location.name)}-{digest}"
    with file_lock(copy.with_name(f"{copy.name}.lock")), writing(copy):
        files, stamps = copy / "files", copy / "stamps"
        places = _places(archives, location if location.is_dir() else location.parent, files)
        marks = {place: stamps / f"{place.relative_to(files)}{_STAMP}" for place in places}
        _clear(copy, marks)
        for done, (place, archive) in enumerate(places.items()):
            if progress:
                progress("unpacking", done, len(places))
            unpack(archive, place, str(archive), marks[place])
    return files


def refuse_packed(tree: Folder, error: DataError) -> None:
    """Says so where a folder without images holds packed files that are not read."""
    packed = _packed(tree, (*ENDINGS, *_OTHERS))
    if packed and not tree.holds_images():
        raise DataError(
            str(tree.path),
            f"holds no images, but {len(packed)} packed file(s) such as {utf8(packed[0].name)}",
            f"unpack them first; {', '.join(ENDINGS)} are unpacked for you",
        ) from error


def unpack(archive: Path, out: Path, named: str, stamp: Path) -> None:
    """Makes `out` the folder of an archive's files; does nothing where that is so already.

    Args:
        archive: The file.
        out: The folder; what is in it is replaced.
        named: What errors call the archive.
        stamp: A file that says of which archive `out` is; outside of the dataset, which it is no part of.

    Raises:
        DataError: it cannot be unpacked, leads out of its folder or needs more room than there is.
    """
    fresh = stamp.with_name(f"{stamp.name}.fresh")
    digest = quick_digest(archive)
    if out.is_dir() and stamp.exists() and stamp.read_text() == digest:
        return
    for folder in (out.parent, stamp.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for stale in (fresh, out):
        shutil.rmtree(stale, ignore_errors=True)
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as packed:
                _check_room(sum(entry.file_size for entry in packed.infolist()), out.parent, named)
                packed.extractall(fresh)  # noqa: S202  zipfile keeps names inside, and the size is checked
        else:
            with tarfile.open(archive) as packed_tar:
                _check_room(sum(entry.size for entry in packed_tar), out.parent, named)
                packed_tar.extractall(fresh, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError) as error:
        raise DataError(named, f"cannot be unpacked: {error}", "pack it again") from error
    fresh.replace(out)
    stamp.write_text(digest)


def _clear(copy: Path, marks: dict[Path, Path]) -> None:
    """Removes what lies unpacked of archives that are gone, or as an older Linnet laid it."""
    wanted = {"files", "stamps"}
    for path in copy.iterdir() if copy.is_dir() else ():
        if path.name not in wanted:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    for stamp in (copy / "stamps").rglob(f"*{_STAMP}"):
        place = copy / "files" / str(stamp.relative_to(copy / "stamps"))[: -len(_STAMP)]
        if place not in marks:
            shutil.rmtree(place, ignore_errors=True)
            stamp.unlink()


def _packed(tree: Folder, endings: tuple[str, ...]) -> list[Path]:
    files = (path for folder in tree.everything() for path in folder.others)
    return sorted(path for path in files if path.name.lower().endswith(endings))


def _refuse_what_is_beside(tree: Folder, archives: list[Path]) -> None:
    """Refuses to leave out, without a word, labels or images that lie beside archives.

    A table that is called like a shard is that shard's, whose files have their labels with them.
    """
    shards = {path.with_name(path.name.partition(".")[0]) for path in archives}
    labels = [
        utf8(path.name)
        for path in _packed(tree, (*TABLES, *_ANNOTATIONS))
        if path.with_name(path.name.partition(".")[0]) not in shards and not _PAPERS.fullmatch(path.name)
    ]
    others = [utf8(path.name) for path in _packed(tree, _OTHERS) if path not in archives]
    lost = [
        (item.origin, item.reason)
        for folder in tree.everything()
        for item in folder.left_out
        if item.reason not in (CYCLE, HIDDEN, SYSTEM)
    ]
    for found, problem in (
        (labels, "lies beside packed files, and may hold the labels of what is in them"),
        (others, "lies beside packed files, and is packed in a way that is not read"),
        ([name for name, _ in lost], f"lies beside packed files, and is lost ({lost[0][1] if lost else ''})"),
    ):
        if found:
            more = f" (and {len(found) - 1} more)" if found[1:] else ""
            remedy = "unpack them all by hand, or move away what is not to be read"
            raise DataError(str(tree.path), f"{found[0]}{more} {problem}", remedy)


def _places(archives: list[Path], root: Path, copy: Path) -> dict[Path, Path]:
    """The folder of each archive, by its own place below `root`."""
    places: dict[Path, Path] = {}
    for archive in archives:
        place = copy / archive.parent.relative_to(root) / _place(archive.name)
        if place in places:
            both = f"{utf8(places[place].name)} and {utf8(archive.name)}"
            raise DataError(str(root), f"holds {both}, which would be one folder", "rename one of them")
        places[place] = archive
    return places


def _place(name: str) -> Path:
    """An archive's folder: train/000 of train-000.tar, pets/train/files of pets-train.zip."""
    stem = next(name[: -len(ending)] for ending in ENDINGS if name.lower().endswith(ending))
    shard = _SHARD.fullmatch(stem)
    stem, number = (shard["name"], shard["number"]) if shard else (stem or "_", "files")
    before, _, last = stem.replace("_", "-").rpartition("-")
    return Path(before, last, number) if split_named(last) else Path(stem, number)


def _check_room(size: int, folder: Path, named: str) -> None:
    free = shutil.disk_usage(folder).free
    if size > 0.9 * free:
        problem = f"has {size / 1e9:.1f} GB when unpacked, and {free / 1e9:.1f} GB are free"
        raise DataError(named, problem, "make room")
