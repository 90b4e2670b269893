"""All that this machine knows of one image: where it is a sample, as what, and what versions say of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.artifacts.onnx_model import PackagedModel
from linnet.console.explain import Nearest, heat, occlusion
from linnet.labels.store import database
from linnet.labels.table import LabelRow, LabelTable
from linnet.records import DatasetManifest, ModelVersion, RunRecord
from linnet.vision.decode import color_of, decode, resize

MOST_VERSIONS = 5
"""Versions that are asked, the newest first, and the champion: each has to be loaded."""


@dataclass(frozen=True)
class Place:
    """The image as a sample of one dataset version."""

    record: RunRecord
    """The newest run that read it."""
    manifest: DatasetManifest
    label: str
    source: str
    """Who gave the label."""
    split: str
    origin: str
    cohorts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Said:
    """What a version says of the image."""

    version: ModelVersion
    label: str
    confidence: float


@dataclass(frozen=True)
class OneSample:
    """The image with all that is known of it."""

    sample_id: str
    pixels: npt.NDArray[np.uint8]
    """[H, W, C], as it came."""
    places: tuple[Place, ...]
    answers: tuple[LabelRow, ...]
    said: tuple[Said, ...] = ()
    versions: int = 0
    """How many versions are registered, of which some were asked."""
    explained: str = ""
    """The version, with its model, that the features, the saliency and the nearest images are of."""
    features: tuple[tuple[str, float], ...] = ()
    saliency: str = ""
    """What that version looked at, as a data URI."""
    nearest: Nearest | None = None


def find_in(samples: Path, record: RunRecord, sample_id: str) -> Place | None:
    """The image in the sample table of a run; None where it is not in it.

    No column of images is read, as all datasets are looked through: see `image_in`.

    Raises:
        StorageError: the table cannot be read.
    """
    import pyarrow.dataset as ds

    manifest = DatasetManifest.load(samples / "manifest.json")
    files = [str(samples / shard) for shard in manifest.shards]
    names = ["label", "label_source", "split", "origin", *(f"cohort_{c}" for c in manifest.cohorts)]
    source = ds.dataset(files, format="parquet")
    known = [name for name in names if name in source.schema.names]
    rows = source.to_table(columns=known, filter=ds.field("sample_id") == sample_id).to_pylist()
    if not rows:
        return None
    row: dict[str, Any] = rows[0]
    return Place(
        record,
        manifest,
        str(row["label"]),
        str(row.get("label_source") or ""),
        str(row["split"]),
        str(row.get("origin") or ""),
        tuple((name, str(row.get(f"cohort_{name}") or "")) for name in manifest.cohorts),
    )


def image_in(samples: Path, manifest: DatasetManifest, sample_id: str) -> npt.NDArray[np.uint8]:
    """The pixels of an image that is in a sample table, [H, W, C].

    Raises:
        InvalidImage: it cannot be decoded.
    """
    import pyarrow.dataset as ds

    source = ds.dataset([str(samples / shard) for shard in manifest.shards], format="parquet")
    found = source.to_table(columns=["image"], filter=ds.field("sample_id") == sample_id)
    return decode(found.column("image")[0].as_py()).pixels


def answers_of(names: set[str], sample_id: str) -> tuple[LabelRow, ...]:
    """What people answered about the image, in the label tables of these datasets, the oldest first."""
    found: list[LabelRow] = []
    for name in sorted(names):
        if database(name).exists():  # a look makes no table
            found += LabelTable(name).history(sample_id)
    return tuple(sorted(found, key=lambda row: row.labelled_at))


def said_by(model: PackagedModel, version: ModelVersion, pixels: npt.NDArray[np.uint8]) -> Said:
    """What a version answers, of the image as it would see it."""
    output, _ = model.predict(seen_by(model, pixels)[None])
    label = model.answer.labels(output)[0]
    return Said(version, label, float(model.answer.confidence(output)[0]))


def seen_by(model: PackagedModel, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image at a model's size and color."""
    about = model.package
    return resize(pixels, about.height, about.width, color_of(about.channels), about.fit)


def looked_at(model: PackagedModel, pixels: npt.NDArray[np.uint8]) -> str:
    """The saliency of the likeliest class, as a data URI."""
    seen = seen_by(model, pixels)
    output, _ = model.predict(seen[None])
    target = int(model.answer.by_class(output)[0].argmax())
    return heat(seen, occlusion(model, seen, target))


def asked(versions: list[ModelVersion]) -> list[ModelVersion]:
    """The versions that are asked: the newest, and the champion."""
    newest = versions[:MOST_VERSIONS]
    return newest + [v for v in versions[MOST_VERSIONS:] if "champion" in v.aliases]
