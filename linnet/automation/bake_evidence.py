"""Collects what `linnet.deployment.bake` judges: from the prediction log, its labels, and the last champion.

The last champion is asked about images that the server kept by chance, once their label came: those that were
kept since the new champion is unsure of them would tell against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from linnet.artifacts.onnx_model import PackagedModel
from linnet.deployment.bake import BakeEvidence
from linnet.deployment.evidence import GroupCounts, VersionEvidence
from linnet.deployment.first_release import FirstReleaseBaseline
from linnet.errors import ServingError
from linnet.monitoring.log_tail import Key, LogTail
from linnet.monitoring.measure import kept_pixels
from linnet.records import ModelPackage
from linnet.records.prediction_log import RANDOM
from linnet.tasks.agree import agreement_of
from linnet.tasks.target import target_of
from linnet.vision.decode import sample_id

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer that waits for its label."""

    side: VersionEvidence
    predicted: str
    file: Path | None
    """Where its image was kept by chance."""


@dataclass
class BakeCollector:
    """The evidence on one champion; `look` adds what came."""

    version: str
    last: str
    """The champion before it."""
    new_package: Path
    last_package: Path
    most: int
    """Rows of each version whose labels are waited for, and whose kept images are replayed.

    Failures, answers that are none, and latencies are counted over all rows.
    """
    tail: LogTail
    evidence: BakeEvidence = field(default_factory=BakeEvidence)
    _waiting: dict[Key, _Answer] = field(default_factory=dict)
    _early: dict[Key, str] = field(default_factory=dict)
    """Labels whose row was not written yet."""
    _last_model: PackagedModel | None = None

    def __post_init__(self) -> None:
        self._new = ModelPackage.load(self.new_package / "package.json")
        self._old = ModelPackage.load(self.last_package / "package.json")
        self._agreement, self._target = agreement_of(self._new.task), target_of(self._new.task)

    @property
    def baseline(self) -> FirstReleaseBaseline:
        """What the last champion's package says of itself."""
        return FirstReleaseBaseline(self._old.latency_p95_ms, self._old.metrics.get("accuracy", 0.0), 0)

    def collect(self) -> BakeEvidence:
        """Takes in all rows and labels that came.

        Raises:
            StorageError: the log cannot be read.
            ServingError: the last champion cannot be loaded.
        """
        for path, rows in self.tail.served():
            for version, side in ((self.version, self.evidence.served), (self.last, self.evidence.before)):
                self._count(path, _rows_of(rows, version), side)
        self._early.update(self.tail.labels())
        pairs: dict[Path, dict[Key, tuple[str, str]]] = {}
        for key in [key for key in self._early if key in self._waiting]:
            answer, label = self._waiting.pop(key), self._early.pop(key)
            if not set(self._new.classes).issuperset(self._target.classes(label)):
                continue  # a new class, which neither was asked for
            answer.side.answered += 1
            answer.side.correct += self._agreement(answer.predicted, label)
            if answer.file is not None and answer.side is self.evidence.served:
                pairs.setdefault(answer.file, {})[key] = answer.predicted, label
        scores = [score for path, told in pairs.items() for score in self._on_both(path, told)]
        self.evidence.add_pairs([new for new, _ in scores], [last for _, last in scores])
        return self.evidence

    def _count(self, path: Path, rows: pa.Table, side: VersionEvidence) -> None:
        if not rows.num_rows:
            return
        remembered = max(self.most - int(side.requests), 0)
        ok = np.asarray(rows["ok"].to_pylist(), bool)
        sure = rows["confidence"].to_numpy(zero_copy_only=False).astype(float)
        with np.errstate(invalid="ignore"):
            valid = (sure >= 0.0) & (sure <= 1.0 + 1e-6)
        side.requests += len(ok)
        side.failed += int((~ok).sum())
        side.answers += int(ok.sum())
        side.invalid += int((ok & ~valid).sum())
        side.latencies.add(rows["latency_ms"].to_numpy(zero_copy_only=False).astype(float)[ok])
        told = rows.select(["request_id", "index", "predicted", "kept_for", "segments"]).to_pylist()
        for number, (row, answered) in enumerate(zip(told, ok, strict=True)):
            for segment, value in row["segments"] or ():
                group = self.evidence.groups.setdefault(f"{segment}={value}", GroupCounts())
                group.add(candidate=side is self.evidence.served, failed=not answered)
            if number < remembered and answered and row["predicted"] is not None:
                kept = path if row["kept_for"] == RANDOM else None
                self._waiting[row["request_id"], row["index"]] = _Answer(side, row["predicted"], kept)

    def _on_both(self, path: Path, told: dict[Key, tuple[str, str]]) -> Iterator[tuple[float, float]]:
        """Scores of the new and of the last champion on a file's kept images; `told`: answer and label."""
        old = self._last()
        shape = old.package.height, old.package.width, old.package.channels
        for row in self.tail.kept(path, set(told)).to_pylist():
            key, pixels = (row["request_id"], row["index"]), kept_pixels(row["image"])
            if key not in told or pixels is None:
                continue
            # A redacted image, or one of another size, is not what the last champion would have been sent.
            if pixels.shape != shape or sample_id(pixels) != row["sample_id"]:
                continue
            predicted, label = told[key]
            same = self._old.features == self._new.features
            try:
                features = np.asarray([row["features"]], np.float32) if same else None
                said = old.answer.labels(old.predict(pixels[None], features)[0])[0]
            except ServingError:
                continue
            yield self._agreement(predicted, label), self._agreement(said, label)

    def _last(self) -> PackagedModel:
        if self._last_model is None:
            self._last_model = PackagedModel.load(self.last_package, threads=1)
        return self._last_model


def _rows_of(rows: pa.Table, version: str) -> pa.Table:
    import pyarrow.compute as pc

    return rows.filter(pc.equal(rows["version"], version))
