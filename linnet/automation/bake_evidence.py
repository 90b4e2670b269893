"""Collects what `linnet.deployment.bake` judges: from the prediction log, its labels, and the last champion.

The last champion is asked about images that the server kept by chance, once their label came: those that were
kept since the new champion is unsure of them would tell against it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.artifacts.onnx_model import PackagedModel
from linnet.automation.bake_labels import BakeLabels
from linnet.deployment.bake import BakeEvidence
from linnet.deployment.evidence import GroupCounts, VersionEvidence
from linnet.deployment.first_release import FirstReleaseBaseline
from linnet.errors import ServingError
from linnet.monitoring.answer_index import AnswerIndex, key_of
from linnet.monitoring.log_tail import LogTail
from linnet.monitoring.measure import kept_pixels
from linnet.records import ModelPackage
from linnet.records.prediction_log import RANDOM
from linnet.tasks.agree import agreement_of
from linnet.tasks.target import target_of
from linnet.vision.decode import sample_id

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class BakeCollector:
    """The evidence on one champion; `look` adds what came.

    Errors, answers that are none, latencies and labels count wherever in the trial they came.
    """

    version: str
    last: str
    """The champion before it."""
    new_package: Path
    last_package: Path
    most: int
    """Labelled images that the last champion is asked about."""
    tail: LogTail
    evidence: BakeEvidence = field(default_factory=BakeEvidence)
    index: AnswerIndex = field(default_factory=AnswerIndex)
    _labels: BakeLabels = field(default_factory=BakeLabels)
    _left: Counter[str] = field(default_factory=Counter)
    """What was not counted, by why: labels, and images that the last champion could not be asked about."""
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
        self._labels.take(self.tail.labels())
        files = self.index.find(self._labels.waiting())
        rows = (
            {**row, "file": path} for path, keys in files.items() for row in self.tail.answers(path, keys)
        )
        shared: dict[Path, dict[_Answer, tuple[float, str]]] = {}
        for row, label in self._labels.of_answers(rows):
            if not set(self._new.classes).issuperset(self._target.classes(label)):
                self._left["labels of classes that the model does not know are not counted"] += 1
                continue
            score = self._agreement(row["predicted"], label)
            side = self.evidence.served if row["version"] == self.version else self.evidence.before
            side.answered += 1
            side.correct += score
            if side is self.evidence.served and row["kept_for"] == RANDOM:
                shared.setdefault(row["file"], {})[_answer(row)] = score, label
        for path, told in shared.items():
            self._compare(path, told)
        return self.evidence

    def notes(self) -> tuple[str, ...]:
        """What is not in the evidence."""
        left = [f"{count:,} {why}" for why, count in sorted(self._left.items())]
        if self.index.one_in > 1:
            left.append(f"labels count of 1 in {self.index.one_in} answers, drawn by chance")
        if self.tail.unread:
            name, why = next(iter(self.tail.unread.items()))
            left.append(
                f"{len(self.tail.unread):,} file(s) of the log cannot be read, such as {name} ({why})"
            )
        return (*left, *self._labels.notes())

    def _count(self, path: Path, rows: pa.Table, side: VersionEvidence) -> None:
        if not rows.num_rows:
            return
        ok = np.asarray(rows["ok"].to_pylist(), bool)
        sure = rows["confidence"].to_numpy(zero_copy_only=False).astype(float)
        with np.errstate(invalid="ignore"):
            valid = (sure >= 0.0) & (sure <= 1.0 + 1e-6)
        side.requests += len(ok)
        side.failed += int((~ok).sum())
        side.answers += int(ok.sum())
        side.invalid += int((ok & ~valid).sum())
        side.latencies.add(rows["latency_ms"].to_numpy(zero_copy_only=False).astype(float)[ok])
        told = rows.select(["request_id", "index", "predicted", "segments"]).to_pylist()
        for row, answered in zip(told, ok, strict=True):
            for segment, value in row["segments"] or ():
                group = self.evidence.groups.setdefault(f"{segment}={value}", GroupCounts())
                group.add(candidate=side is self.evidence.served, failed=not answered)
        named = zip(told, ok, strict=True)
        self.index.add(path, [key_of(row) for row, good in named if good and row["predicted"] is not None])

    def _compare(self, path: Path, told: dict[_Answer, tuple[float, str]]) -> None:
        """Asks the last champion about a file's images; `told`: the new one's score, and the label."""
        room = max(self.most - int(self.evidence.gains.n), 0)
        if over := list(told)[room:]:
            why = f"not shown to the last champion: {self.most:,} were (release.bake_images)"
            self._left[f"labelled images were {why}"] += len(over)
        told = {answer: told[answer] for answer in list(told)[:room]}
        pairs = []
        rows = self.tail.answers(path, {answer[:2] for answer in told}, images=True)
        for row in (row for row in rows if _answer(row) in told):
            score, label = told[_answer(row)]
            theirs = self._last_score(row, label)
            if theirs is not None:
                pairs.append((score, theirs))
        self.evidence.add_pairs([new for new, _ in pairs], [last for _, last in pairs])

    def _last_score(self, row: dict[str, Any], label: str) -> float | None:
        """The last champion's score on an image of the new one's; None: it cannot be asked about it."""
        old, pixels = self._last(), kept_pixels(row["image"])
        shape = old.package.height, old.package.width, old.package.channels
        # A redacted image, or one of another size, is not what the last champion would have been sent.
        if pixels is None or pixels.shape != shape or sample_id(pixels) != row["sample_id"]:
            why = "deleted, redacted, or of another size"
            self._left[f"labelled images could not be shown to the last champion: {why}"] += 1
            return None
        same = self._old.features == self._new.features
        try:
            features = np.asarray([row["features"]], np.float32) if same else None
            said = old.answer.labels(old.predict(pixels[None], features)[0])[0]
        except ServingError:
            self._left["labelled images were not answered by the last champion"] += 1
            return None
        return self._agreement(said, label)

    def _last(self) -> PackagedModel:
        if self._last_model is None:
            self._last_model = PackagedModel.load(self.last_package, threads=1)
        return self._last_model


_Answer = tuple[str, int, datetime, str]
"""Request id, image in the request, moment, version."""


def _answer(row: dict[str, Any]) -> _Answer:
    return *key_of(row), row["at"], row["version"]


def _rows_of(rows: pa.Table, version: str) -> pa.Table:
    import pyarrow.compute as pc

    return rows.filter(pc.equal(rows["version"], version))
