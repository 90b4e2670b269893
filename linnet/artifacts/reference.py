"""The reference of a model version: what it was trained and judged on, as a compact sketch.

It lies in the package as `reference.npz`, so that monitoring needs neither the training set nor a
second look at it. Numbers are kept as evenly spaced order statistics: the distribution function of
2,048 of them is nowhere further than 1/4,096 from that of all values.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.config import DEFAULT_TASK
from linnet.errors import StorageError
from linnet.tasks.answer import Answer, Output, answer_of
from linnet.tasks.summary import summary_of

Floats = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

REFERENCE_FILE = "reference.npz"
POINTS = 2048
"""Order statistics that are kept of a column."""
COHORT_POINTS = 256
"""The same of a column within a cohort."""
CONFIDENCE = "confidence"
"""The column after the features: how sure the model is of its answer."""
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class SortedSample:
    """A sorted sample, or evenly spaced order statistics of one: float [min(count, K)]."""

    points: npt.NDArray[np.floating[Any]]
    count: int
    """How many values it stands for."""

    @classmethod
    def of(cls, values: npt.NDArray[np.floating[Any]], most: int = POINTS) -> SortedSample:
        """Keeps at most `most` order statistics of `values` [n], at the ranks (i + 1/2) n / most.

        Values that are not finite are left out.
        """
        finite = np.sort(values[np.isfinite(values)])
        if len(finite) <= most:
            return cls(finite, len(finite))
        ranks = ((2 * np.arange(most, dtype=np.int64) + 1) * len(finite)) // (2 * most)
        return cls(finite[ranks], len(finite))

    @property
    def error(self) -> float:
        """The distribution function differs by at most this from that of all `count` values."""
        return 0.0 if len(self.points) == self.count else 0.5 / len(self.points)


@dataclass(frozen=True, slots=True)
class Cohort:
    """A part of the held-out images."""

    column: str
    value: str
    share: float
    samples: tuple[SortedSample, ...]
    """A sample a column of the reference."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a window is compared with."""

    features: tuple[str, ...]
    classes: tuple[str, ...]
    rows: int
    """Training and validation images behind the features."""
    held_out: int
    """Images that were not trained on, behind everything the model says: it knows those it was
    trained on by heart, and is surer of them than of any image to come."""
    accuracy: float
    """On the held-out images."""
    atc_threshold: float
    """Confidence exceeded by a share of the held-out images that equals the accuracy (ATC)."""
    columns: tuple[SortedSample, ...]
    """A sample a feature, then one of the confidence, and one of each of `scalars`."""
    confusion: Ints
    """[K, K] of the held-out images: rows true, columns predicted; [0, 0] where classes do not exclude each
    other."""
    embedding: Floats
    """float32 [M, D] of M held-out images."""
    examples: Images
    """uint8 [E, H, W, C]: a few of these images, to be looked at."""
    example_classes: Ints
    """What the model says of the examples: [E]."""
    brightness_edges: tuple[float, float]
    """Between dark, medium and bright images."""
    cohorts: tuple[Cohort, ...]
    libraries: dict[str, str] = field(default_factory=dict)
    task: str = DEFAULT_TASK
    thresholds: tuple[float, ...] = ()
    """A probability a class from which on it is named, where the task has them."""
    named: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """Held-out images by class that is named, where `confusion` does not say: [K]."""
    scalars: tuple[str, ...] = ()
    """Other numbers of an answer that the task watches."""

    @property
    def answer(self) -> Answer:
        """Reads the version's outputs."""
        return answer_of(self.task, self.classes, self.thresholds)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of `columns`."""
        return (*self.features, CONFIDENCE, *self.scalars)

    @property
    def confidence(self) -> SortedSample:
        """How sure the model is of its answers to held-out images."""
        return self.columns[len(self.features)]

    def watched(self, output: Output) -> dict[str, npt.NDArray[np.float64]]:
        """Each of `scalars` of output of the same version."""
        found = summary_of(self.task, self.thresholds).scalars(output)
        return {name: found[name] for name in self.scalars}

    @property
    def class_counts(self) -> Ints:
        """Held-out images by predicted class: [K]."""
        counts: Ints = self.confusion.sum(axis=0) if len(self.confusion) else self.named
        return counts

    def save(self, path: Path) -> None:
        """Writes the sketch; the same sketch gives the same bytes."""
        about = {
            "format": _FORMAT,
            "features": self.features,
            "classes": self.classes,
            "rows": self.rows,
            "held_out": self.held_out,
            "accuracy": self.accuracy,
            "atc_threshold": self.atc_threshold,
            "counts": [sample.count for sample in self.columns],
            "brightness_edges": self.brightness_edges,
            "cohorts": [
                {
                    "column": c.column,
                    "value": c.value,
                    "share": c.share,
                    "counts": [s.count for s in c.samples],
                }
                for c in self.cohorts
            ],
            "libraries": self.libraries,
            "task": self.task,
            "thresholds": self.thresholds,
            **({"scalars": self.scalars} if self.scalars else {}),
        }
        arrays: dict[str, Any] = {
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
            "points": _packed(self.columns, POINTS),
            "cohort_points": np.stack([_packed(c.samples, COHORT_POINTS) for c in self.cohorts])
            if self.cohorts
            else np.zeros((0, len(self.columns), COHORT_POINTS), np.float32),
            "confusion": self.confusion,
            "embedding": self.embedding,
            "examples": self.examples,
            "example_classes": self.example_classes,
            "named": self.named,
        }
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, folder: Path) -> Reference:
        """The sketch of the package in `folder`.

        Raises:
            StorageError: there is none, or it cannot be read.
        """
        path = folder / REFERENCE_FILE
        if not path.exists():
            raise StorageError(
                f"{path}: this version has no reference to compare with; it was packaged by an older "
                "Linnet: train and release again (`linnet run CONFIG`)"
            )
        try:
            with path.open("rb") as file, np.load(file) as stored:
                about = json.loads(stored["about"].tobytes())
                if about["format"] != _FORMAT:
                    raise ValueError(f"its format is {about['format']}, not {_FORMAT}")
                cohorts = tuple(
                    Cohort(c["column"], c["value"], c["share"], _unpacked(points, c["counts"]))
                    for c, points in zip(about["cohorts"], stored["cohort_points"], strict=True)
                )
                low, high = about["brightness_edges"]
                return cls(
                    features=tuple(about["features"]),
                    classes=tuple(about["classes"]),
                    rows=about["rows"],
                    held_out=about["held_out"],
                    accuracy=about["accuracy"],
                    atc_threshold=about["atc_threshold"],
                    columns=_unpacked(stored["points"], about["counts"]),
                    confusion=stored["confusion"],
                    embedding=stored["embedding"],
                    examples=stored["examples"],
                    example_classes=stored["example_classes"],
                    brightness_edges=(low, high),
                    cohorts=cohorts,
                    libraries=about["libraries"],
                    task=about.get("task", DEFAULT_TASK),
                    thresholds=tuple(about.get("thresholds", ())),
                    named=stored["named"] if "named" in stored else np.zeros(0, np.int64),
                    scalars=tuple(about.get("scalars", ())),
                )
        except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise StorageError(f"{path}: the reference cannot be read ({error})") from error


def _packed(samples: tuple[SortedSample, ...], most: int) -> Floats:
    """One row per sample, float32 [C, most], filled up with NaN."""
    packed = np.full((len(samples), most), np.nan, np.float32)
    for row, sample in enumerate(samples):
        packed[row, : len(sample.points)] = sample.points
    return packed


def _unpacked(points: Floats, counts: list[int]) -> tuple[SortedSample, ...]:
    return tuple(
        SortedSample(row[: min(count, len(row))], count) for row, count in zip(points, counts, strict=True)
    )
