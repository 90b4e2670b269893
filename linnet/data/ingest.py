"""From a raw dataset to the sample table: verified, decoded once, deduplicated and split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from linnet.artifacts.windows import kept_windows, window_of
from linnet.config import DataConfig
from linnet.data.archives import opened
from linnet.data.bad_files import check_bad_files
from linnet.data.fetch import fetch
from linnet.data.folder_tree import count_reasons
from linnet.data.idx import read_idx
from linnet.data.image_folder import read_image_folder
from linnet.data.image_manifest import read_manifest
from linnet.data.recent import with_windows
from linnet.data.remote import bring, is_remote
from linnet.data.rows import RawDataset, invalid_rows
from linnet.data.sample_table import Sample, TableWriter
from linnet.data.scan import Scan, Seen, content_of, encoded, in_order, scan
from linnet.data.selection import Selection, content_digest, select
from linnet.data.version import read_version
from linnet.errors import ConfigError, DataError
from linnet.progress import Progress
from linnet.records import SPLITS, DatasetManifest, utc_time
from linnet.storage.files import writing
from linnet.tasks.target import Target, target_of

_MANIFEST = "manifest.json"
_NAMED_DROPS = 1000
_KNOWN = "of a production window, and the dataset holds the same image"
_CONTRADICTING = f"{_KNOWN} with another label, which counts"


def ingest(config: DataConfig, name: str, out: Path, progress: Progress | None = None) -> DatasetManifest:
    """Writes the sample table of the dataset that `config` names to the folder `out`.

    The table is streamed: memory holds one shard of encoded images at most, whatever the dataset's
    size. The same input gives byte-identical files. `manifest.json` is written last, so that a
    folder that has one is complete.

    Args:
        config: The `data` section; a relative `location` is taken from the current folder.
        name: The use case, whose labelled production windows join the dataset.
        out: Folder for `manifest.json` and the shards; shards of an earlier try are removed.
        progress: Told (what, done, total).

    Raises:
        DataError: the dataset cannot be had or read; names the rows.
        ConfigError: `captured_at` or `cohorts` do not fit the dataset.
        StorageError: the disk is full or not writable.
    """
    captured_at = _captured_at(config)
    raw, digest = _read(config, progress)
    raw = with_windows(raw, config, kept_windows(name))
    found = scan(raw, config, progress, config.near_duplicates != "ignore")
    check_bad_files(raw, found.bad, config)
    good, seen = found.good, found.seen
    _check_fit(good, seen, target_of(config.task))
    selection = select(good, seen, config)
    _check_splits(good, selection)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for stale in [out / _MANIFEST, *out.glob("part-*")]:
            stale.unlink(missing_ok=True)
        shards = _write(good, seen, selection, TableWriter(out, config.cohorts, captured_at), progress)
        manifest = DatasetManifest(
            name=name,
            task=config.task,
            digest=_digest(digest, raw, found),
            revision=config.revision,
            classes=raw.classes,
            counts=_counts(good, selection, target_of(config.task)),
            images=_images(selection),
            shards=tuple(shards),
            rows=len(selection.kept),
            raw_rows=len(raw.rows),
            dropped_duplicates=selection.duplicates,
            dropped_leaks=selection.leaks,
            dropped=tuple(selection.dropped[:_NAMED_DROPS]),
            conflicts=selection.conflicts,
            near_leaks=selection.near_leaks,
            near_duplicates=tuple(selection.told[:_NAMED_DROPS]),
            near_pairs=len(selection.told),
            near_conflicts=selection.near_conflicts,
            near_note=selection.near_note,
            left_out=count_reasons(raw.left_out) | _known(selection),
            notes=raw.notes,
            bad=len(found.bad),
            bad_files=tuple(file.reason for file in found.bad[:_NAMED_DROPS]),
            cohorts=config.cohorts,
            windows=_window_counts(good, selection),
        )
        manifest.save(out / _MANIFEST)
    return manifest


def source_identity(config: DataConfig) -> str:
    """The digest that `ingest` would give the dataset without windows, without fetching or decoding it.

    What a cache key needs: it changes when any byte, label or place of the dataset does. The windows that
    join it are named by their contents (`windows_identity`).

    Raises:
        DataError, ConfigError: as `ingest`.
    """
    location = Path(config.location).expanduser()
    if location.suffix == ".dvc":
        digest = read_version(location, config.revision).digest
        return f"{digest}+{Path(config.extra_window).name}" if config.extra_window else digest
    raw = with_windows(_read(config, None)[0], config, [])
    return content_digest(raw, in_order(content_of, raw.rows, None, ""))


def windows_identity(name: str) -> list[str]:
    """Names of the production windows that `ingest` would take in now; each is named by its contents."""
    return [window.name for window in kept_windows(name)]


def _digest(named: str, raw: RawDataset, found: Scan) -> str:
    """The dataset's digest: the `.dvc` file's where it names all rows, or else that of the contents."""
    if named and not any(window_of(row.label_source) for row in raw.rows):
        return named
    return content_digest(raw, found.contents)


def _place(config: DataConfig, progress: Progress | None) -> Path:
    """Where the dataset lies on this machine: brought here from its address; a folder's images unpacked."""
    address = config.location
    here = bring(address, progress) if is_remote(address) else Path(address).expanduser()
    return opened(here, progress) if config.kind == "folder" else here


def _read(config: DataConfig, progress: Progress | None) -> tuple[RawDataset, str]:
    """The raw dataset, and its digest where a `.dvc` file names it."""
    target_of(config.task).check(config)
    location, digest = _place(config, progress), ""
    if target_of(config.task).several and config.kind == "idx":
        problem = f"is {config.task}, but a dataset of kind '{config.kind}' names one class an image"
        remedy = 'set data.kind = "manifest", and name a table of paths and labels'
        raise ConfigError("data.task", problem, remedy)
    if config.cohorts and config.kind != "manifest":
        raise ConfigError("data.cohorts", f"a dataset of kind '{config.kind}' has no columns", "remove it")
    if location.suffix == ".dvc":
        digest = read_version(location, config.revision).digest
        location = fetch(location, config.revision, progress)
    elif config.revision:
        raise ConfigError("data.revision", "needs a .dvc file as data.location", "remove it")
    if config.kind == "idx":
        if config.group:
            raise ConfigError(
                "data.group", "a dataset of kind 'idx' has neither paths nor columns", "remove it"
            )
        return read_idx(location, config.classes), digest
    if config.kind == "folder":
        return _grouped(
            read_image_folder(location, config.classes, config.layout, config.task), config.group
        ), digest
    return read_manifest(location, config.classes, config.cohorts, config.group, config.task), digest


def _grouped(raw: RawDataset, pattern: str) -> RawDataset:
    """The rows of a folder with the groups that a regular expression finds in their paths.

    Raises:
        ConfigError: it is no regular expression, or fits no path.
    """
    if not pattern:
        return raw
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigError("data.group", f"'{pattern}' is not a regular expression: {error}") from error
    found = [expression.search(row.origin) for row in raw.rows]
    without = [row.origin for row, match in zip(raw.rows, found, strict=True) if not match]
    if without:
        problem = f"'{pattern}' does not fit {len(without)} of {len(raw.rows)} paths, such as {without[0]}"
        raise ConfigError("data.group", problem, "every image must belong to a group")
    rows = [
        replace(row, group=(match.group(1) if expression.groups else match.group()) or "")
        for row, match in zip(raw.rows, found, strict=True)
        if match
    ]
    return replace(raw, rows=rows)


def _captured_at(config: DataConfig) -> datetime:
    try:
        return utc_time(config.captured_at)
    except ValueError as error:
        raise ConfigError(
            "data.captured_at",
            f"'{config.captured_at}' is not an ISO 8601 time",
            "such as 2026-01-31T12:00:00Z",
        ) from error


def _check_fit(raw: RawDataset, seen: list[Seen], target: Target) -> None:
    """Raises DataError: labels are of images of another size."""
    wrong = [
        f"{row.origin}: {problem}"
        for row, look in zip(raw.rows, seen, strict=True)
        if (problem := target.misfit(row.label, look.height, look.width))
    ]
    if wrong:
        raise invalid_rows(
            raw.where, f"{len(wrong)} label(s) do not fit their images", wrong, "fix the labels"
        )


def _check_splits(raw: RawDataset, selection: Selection) -> None:
    """A split without any image would only surface in a later step, as something stranger."""
    held = {split for _, split in selection.kept}
    missing = [split for split in SPLITS if split not in held]
    if missing:
        raise DataError(
            raw.where,
            f"{len(selection.kept)} different images are too few: none is left for {' and '.join(missing)}",
            "add images, or raise data.validation_fraction, data.production_fraction or data.test_fraction",
        )


def _write(
    raw: RawDataset,
    seen: list[Seen],
    selection: Selection,
    writer: TableWriter,
    progress: Progress | None,
) -> list[str]:
    rows = [raw.rows[index] for index, _ in selection.kept]
    images: Iterable[bytes] = in_order(encoded, rows, progress, "writing samples")
    for (index, split), image in zip(selection.kept, images, strict=True):
        writer.add(Sample(raw.rows[index], seen[index], split, image))
    writer.flush()
    return writer.shards


def _images(selection: Selection) -> dict[str, int]:
    tally = Counter(split for _, split in selection.kept)
    return {split: tally[split] for split in SPLITS}


def _known(selection: Selection) -> dict[str, int]:
    """Rows of production windows whose images the dataset itself has, by the reason."""
    found = {_KNOWN: selection.known, _CONTRADICTING: selection.contradicting}
    return {reason: count for reason, count in found.items() if count}


def _window_counts(raw: RawDataset, selection: Selection) -> dict[str, dict[str, int]]:
    """Images a production window and split."""
    found: dict[str, dict[str, int]] = {}
    for index, split in selection.kept:
        if name := window_of(raw.rows[index].label_source):
            held = found.setdefault(name, {})
            held[split] = held.get(split, 0) + 1
    return found


def _counts(raw: RawDataset, selection: Selection, target: Target) -> dict[str, dict[str, int]]:
    """Images a split and class, in the order of SPLITS and of the labels, zeros included."""
    tally = Counter(
        (split, name) for index, split in selection.kept for name in target.classes(raw.rows[index].label)
    )
    return {split: {name: tally[split, name] for name in raw.classes} for split in SPLITS}
