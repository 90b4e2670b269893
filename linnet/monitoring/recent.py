"""The recent labelled window of production, as a small dataset that a training run takes in beside its own.

Images that the server kept, with the labels that came for them. It is kept for good
(`linnet.artifacts.windows`): later runs are trained on it and tested on it, so that nothing that was learnt
from it is lost again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from linnet.artifacts.windows import MANIFEST, windows_dir
from linnet.config import DEFAULT_TASK
from linnet.errors import InvalidImage, StorageError
from linnet.monitoring.given_labels import given_labels
from linnet.monitoring.log_reader import read_served
from linnet.storage.files import write_text, writing
from linnet.tasks.agree import agreement_of
from linnet.tasks.target import target_of
from linnet.vision.decode import decode

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image that was served, and what people say it is."""

    sample_id: str
    image: bytes
    """PNG, as the model saw it."""
    label: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LabelledWindow:
    """What can be trained on, and what cannot."""

    images: list[Labelled]
    """In order of their sample ids."""
    notes: tuple[str, ...] = ()
    """Labels that came and cannot be used, counted by reason, and files that could not be read."""
    scores: tuple[tuple[datetime, float], ...] = ()
    """When each labelled image was served, and how right the answer was, 0 to 1: of labels that users sent,
    and of people's answers about images drawn by chance."""


_NOT_KEPT = (
    "measure the accuracy, and cannot be trained on: their images were not kept "
    "(serving.log_sample and log_images keep some)"
)
_DISPUTED = "are not trained on: their annotators do not agree (labels.min_agreement)"
_AGAINST = "have feedback that contradicts their annotators: the newest of both has the say"
_NO_CLASS = "are no class of the model"
_CHANGED = "belong to images that were redacted, or cannot be read"


def labelled_window(
    log: Path,
    model: str,
    version: str | None,
    start: datetime,
    end: datetime,
    classes: tuple[str, ...],
    answers: Mapping[str, tuple[str, datetime]] | None = None,
    task: str = DEFAULT_TASK,
    disputed: Collection[str] = (),
    by_chance: Collection[str] = (),
) -> LabelledWindow:
    """Kept images answered in [start, end) whose label came; equal pixels once, with the newest label.

    A label is of the image that its request id named when it came (`linnet.monitoring.given_labels`).

    `version`: the one that answered; None: any. `answers`: label and moment by sample id, of images that
    annotators were asked about; they count as feedback does, and the newest of both has the say.
    `disputed`: the images on which annotators do not agree. `by_chance`: those that they were asked about
    whatever they show, so that the answers say how well the model does.

    Left out and counted: disputed images without feedback; labels of images that were not kept; labels that
    are no class of the model (a new class needs a new config); and images that were redacted before they were
    kept, which are not what the model saw.

    Raises:
        StorageError: the log cannot be read; damaged files of it are told, and left out.
    """
    if not log.is_dir():
        return LabelledWindow([])
    served = read_served(log, model, version, start, end, end)
    columns = ["request_id", "index", "at", "sample_id", "image", "predicted"]
    rows = served.rows.select(columns).to_pylist()
    answered_ones = [(row["request_id"], row["index"] or 0, row["at"], row["sample_id"]) for row in rows]
    feedback = given_labels(log, model, answered_ones, start)
    found: dict[str, tuple[datetime, Labelled]] = {}
    unused: Counter[str] = Counter()
    apart: set[str] = set()
    against: set[str] = set()
    target, agreement = target_of(task), agreement_of(task)
    scores: list[tuple[datetime, float]] = []
    for row in rows:
        name = row["sample_id"]
        sent, answered = (
            feedback.labels.get((row["request_id"], row["index"] or 0, name)),
            (answers or {}).get(name),
        )
        given = max((one for one in (sent, answered) if one), key=lambda one: one[1], default=None)
        if given is None:
            if name in disputed:
                apart.add(name)
            continue
        label, came = given
        known = set(classes).issuperset(target.classes(label))
        if known and sent and answered and not _alike(sent[0], answered[0], task, classes):
            against.add(name)
        if known and row["predicted"] is not None and (sent or name in by_chance):
            scores.append((row["at"], agreement(row["predicted"], label)))
        if why := _why_unused(known, row["image"], name):
            unused[why] += 1
        elif name not in found or came >= found[name][0]:
            found[name] = came, Labelled(name, row["image"], label, row["at"])
    notes = [f"{count} label(s) {why}" for why, count in sorted(unused.items())]
    if apart:
        notes.append(f"{len(apart)} image(s) {_DISPUTED}")
    if against:
        notes.append(f"{len(against)} image(s) {_AGAINST}")
    notes += feedback.notes
    for damaged in (*feedback.damaged, *served.damaged):
        logger.warning("%s: left out: %s", log, damaged)
        notes.append(f"the log's {damaged}")
    return LabelledWindow([found[name][1] for name in sorted(found)], tuple(notes), tuple(scores))


def _alike(one: str, other: str, task: str, classes: tuple[str, ...]) -> bool:
    """Whether two labels of an image say the same, as far as the model's classes go."""
    read, known = target_of(task).classes, set(classes)
    return not known.issuperset((*read(one), *read(other))) or agreement_of(task)(one, other) >= 1.0


def _why_unused(known: bool, image: bytes | None, wanted: str) -> str:
    """Why a label cannot be trained on; empty: it can. The image must have the pixels that the model saw."""
    if not known:
        return _NO_CLASS
    if image is None:
        return _NOT_KEPT
    try:
        return "" if decode(image, "a kept image").sample_id == wanted else _CHANGED
    except InvalidImage:
        return _CHANGED


def write_recent(labelled: list[Labelled], name: str, task: str = DEFAULT_TASK) -> Path:
    """Keeps the dataset among the windows of use case `name` and returns its folder.

    Raises:
        StorageError: there is nothing to write, or the disk refuses.
    """
    if not labelled:
        raise StorageError("no kept image of the recent window has a label: nothing to train on")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["path", "label", "captured_at"])
    target = target_of(task)
    for sample in labelled:
        writer.writerow([f"images/{sample.sample_id}.png", target.cell(sample.label), sample.at.isoformat()])
    digest = hashlib.blake2b(table.getvalue().encode(), digest_size=8)
    for sample in labelled:
        digest.update(hashlib.blake2b(sample.image, digest_size=16).digest())
    newest = max(sample.at for sample in labelled).astimezone(UTC)
    out = windows_dir(name) / f"{newest:%Y%m%dT%H%M%S}-{digest.hexdigest()}"
    with writing(out):
        (out / "images").mkdir(parents=True, exist_ok=True)
        for sample in labelled:
            (out / "images" / f"{sample.sample_id}.png").write_bytes(sample.image)
        write_text(out / MANIFEST, table.getvalue())  # last: a folder that has one is whole
    return out
