"""The skew audit: what was served, computed again offline and compared value by value."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.errors import InvalidImage, StorageError
from linnet.features.audit import differences
from linnet.features.store import FeatureStore
from linnet.progress import Progress
from linnet.records import ModelPackage, SkewDifference, SkewReport, Window
from linnet.vision.decode import decode, sample_id
from linnet.vision.libraries import libraries
from linnet.vision.preprocessing import input_key
from linnet.vision.statistics import FEATURES, image_statistics

SKEW_FILE = "skew.json"
_EXAMPLES = 100
_BATCH = 5_000
Floats = npt.NDArray[np.float32]
Join = Callable[[Sequence[str], Sequence[datetime], bool], Floats]
"""(sample ids, times, only what was created by then) -> float32 [N, F], NaN where nothing was known."""


@dataclass(frozen=True, slots=True)
class ServedRows:
    """N rows that were served."""

    request_id: list[str]
    sample_id: list[str]
    at: list[datetime]
    features: Floats
    """float32 [N, F], as served, in the model's order."""
    image: list[bytes | None]

    @classmethod
    def load(cls, window: Path, width: int) -> ServedRows:
        """The rows of window.parquet in the folder `window`, of a model with `width` features.

        Raises:
            StorageError: the file is missing or damaged.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        path = window / "window.parquet"
        try:
            table = pq.read_table(path, columns=["request_id", "sample_id", "at", "features", "image"])
            flat = pc.list_flatten(table["features"]).to_numpy(zero_copy_only=False)
            features = np.ascontiguousarray(flat.astype(np.float32).reshape(table.num_rows, width))
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise StorageError(f"{path}: the served rows cannot be read ({error})") from error
        plain = {name: table[name].to_pylist() for name in ("request_id", "sample_id", "at", "image")}
        return cls(features=features, **plain)


def audit_window(
    window: Path,
    package: Path,
    name: str,
    out: Path,
    known: bool = False,
    redacted: bool = False,
    progress: Progress | None = None,
) -> SkewReport:
    """Audits the window in folder `window` against the feature store of use case `name`; writes skew.json.

    Args:
        window: folder with window.parquet and libraries.json (rows by library and version).
        package: of the version that served; names its features, their service, what it sees of an image, and
            the libraries it was proved with.
        name: the use case whose feature store is joined.
        out: gets skew.json.
        known: see `audit_rows`.
        redacted: kept images were blurred on purpose, so they are no evidence and are left out.
        progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        StorageError: the window, the package or the store cannot be read.
        ConfigError: there is no such feature service.
    """
    described = ModelPackage.load(package / "package.json")
    store = FeatureStore(name)
    prepared = input_key(described.height, described.width, described.channels, described.fit)

    def join(ids: Sequence[str], times: Sequence[datetime], created_by_then: bool) -> Floats:
        if not store.statistics_file().exists():
            return np.full((len(ids), len(described.features)), np.nan, np.float32)
        frame = store.historical(
            described.feature_service, described.features, ids, times, created_by_then, prepared
        )
        return frame.to_numpy(np.float32)

    said = json.loads((window / "libraries.json").read_text("utf-8"))
    changed = changed_libraries(_proved_with(package), said["rows"])
    rows = ServedRows.load(window, len(described.features))
    notes = [f"damaged, left out: {file}" for file in said["damaged"]]
    about = Window.load(window / "window.json")
    if about.rows < about.served:
        notes.append(f"{about.extent} was audited (monitoring.max_rows)")
    if redacted and any(image is not None for image in rows.image):
        rows = replace(rows, image=[None] * len(rows.image))
        notes.append("kept images are redacted (serving.log_image_pixelate), so none was computed again")
    report = audit_rows(rows, described.features, join, changed, notes, known, progress)
    out.mkdir(parents=True, exist_ok=True)
    report.save(out / SKEW_FILE)
    return report


def audit_rows(
    rows: ServedRows,
    features: Sequence[str],
    join: Join,
    libraries_changed: Sequence[str] = (),
    notes: Sequence[str] = (),
    known: bool = False,
    progress: Progress | None = None,
) -> SkewReport:
    """Every row against the point-in-time join, and every kept image against its digest and features.

    A row is joined as of the moment it was served, first with what had been written by then (what a
    look-up could have seen); an image that came to the store only later is compared with that later row,
    since statistics of the same pixels never change.

    `known`: every image that was served is one that the store knows, as in a replay of the dataset. Then
    pixels that nobody knows are a difference: whatever prepared them did not do what ingest did.
    """
    found: list[SkewDifference] = []
    by_store = np.zeros(len(rows.request_id), bool)
    for start in range(0, len(by_store), _BATCH):
        part = slice(start, start + _BATCH)
        offline = _offline(join, rows.sample_id[part], rows.at[part])
        there = ~np.isnan(offline).all(axis=1)
        by_store[part] = there
        found += _compare(rows, start + np.flatnonzero(there), features, offline[there], "store")
        if known:
            found += [_pixels_differ(rows, start + int(i), "no such pixels") for i in np.flatnonzero(~there)]
        if progress:
            progress("skew: feature store", min(start + _BATCH, len(by_store)), len(by_store))
    by_pixels, by_image = _audit_pixels(rows, features, progress)
    found += by_image
    compared = int((by_store | by_pixels).sum())
    counts = Counter(one.what for one in found)
    remarks = list(notes)
    if not compared:
        remarks.append("no row could be compared: the store knows none of the images, and none was kept")
    failed = bool(found or libraries_changed) or not compared
    return SkewReport(
        verdict="fail" if failed else "pass",
        rows=len(by_store),
        compared=compared,
        by_store=int(by_store.sum()),
        by_pixels=int(by_pixels.sum()),
        unknown=len(by_store) - compared,
        differences=len(found),
        by_name=dict(counts),
        examples=tuple(found[:_EXAMPLES]),
        libraries=tuple(libraries_changed),
        notes=tuple(remarks),
    )


def changed_libraries(proved: Mapping[str, str], served: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A sentence a library that served with another version than the package was proved with.

    `proved`: version by library; `served`: rows by library and version.
    """
    return [
        f"{name} {version} served {count:,} rows, but the package was proved with {proved[name]}"
        for name, versions in sorted(served.items())
        for version, count in sorted(versions.items())
        if name in proved and version != proved[name]
    ]


def _proved_with(package: Path) -> dict[str, str]:
    """Libraries of the package's reference; those that are installed here for a package without one."""
    from linnet.artifacts.reference import REFERENCE_FILE, Reference

    if not (package / REFERENCE_FILE).exists():
        return libraries()
    return Reference.load(package).libraries


def _offline(join: Join, ids: Sequence[str], times: Sequence[datetime]) -> Floats:
    values = join(ids, times, True)
    unknown = [int(i) for i in np.flatnonzero(np.isnan(values).all(axis=1))]
    if unknown:
        values[unknown] = join([ids[i] for i in unknown], [times[i] for i in unknown], False)
    return values


def _compare(
    rows: ServedRows, index: npt.NDArray[np.int64], features: Sequence[str], offline: Floats, source: Any
) -> list[SkewDifference]:
    """Differences of the rows `index` from `offline` float32 [len(index), F]."""
    # Positions stand in for ids, since an image may be served many times.
    places = [str(i) for i in index]
    served = np.ascontiguousarray(rows.features[index])
    return [
        SkewDifference(
            request_id=rows.request_id[int(one.sample_id)],
            sample_id=rows.sample_id[int(one.sample_id)],
            what=one.feature,
            served=_exact(one.served),
            offline=_exact(one.offline),
            source=source,
        )
        for one in differences(places, features, served, np.ascontiguousarray(offline))
    ]


def _pixels_differ(rows: ServedRows, row: int, offline: str, source: Any = "store") -> SkewDifference:
    return SkewDifference(
        request_id=rows.request_id[row],
        sample_id=rows.sample_id[row],
        what="pixels",
        served=rows.sample_id[row],
        offline=offline,
        source=source,
    )


def _exact(value: float) -> str:
    """A float32 in so many digits that the last bit shows."""
    return f"{value:.9g}"


def _audit_pixels(
    rows: ServedRows, features: Sequence[str], progress: Progress | None
) -> tuple[npt.NDArray[np.bool_], list[SkewDifference]]:
    """Kept images: the digest of their pixels, and their statistics, computed again."""
    done = np.zeros(len(rows.request_id), bool)
    found: list[SkewDifference] = []
    computable = set(features) <= set(FEATURES)
    columns = [FEATURES.index(name) for name in features] if computable else []
    kept = [i for i, image in enumerate(rows.image) if image is not None]
    for number, i in enumerate(kept):
        digest, pixels = _again(rows.image[i])
        done[i] = True
        if digest != rows.sample_id[i]:
            found.append(_pixels_differ(rows, i, digest, "pixels"))
        if pixels is not None and computable:
            again = image_statistics(pixels[None])[:, columns]
            found += _compare(rows, np.array([i]), features, again, "pixels")
        if progress and (number % 100 == 99 or number + 1 == len(kept)):
            progress("skew: kept images", number + 1, len(kept))
    return done, found


def _again(encoded: bytes | None) -> tuple[str, npt.NDArray[np.uint8] | None]:
    """Digest and pixels of a kept image; a damaged one has no digest, which never equals the served one."""
    assert encoded is not None, "only kept images are decoded"
    try:
        pixels = decode(encoded, "a kept image").pixels
    except InvalidImage as error:
        return f"damaged: {error}", None
    return sample_id(pixels), pixels
