"""Freezes what people have answered so far into the labels of a run; never waits for a person."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from linnet.artifacts.samples import dataset_labels
from linnet.config import LabelsConfig
from linnet.errors import ConfigError, StorageError
from linnet.labels.agreement import crowdlab, votes_of
from linnet.labels.consensus import Consensus, consensus, misread
from linnet.labels.label_set import read_label_set
from linnet.labels.queue import queued
from linnet.labels.store import EPOCH
from linnet.labels.table import LabelRow, LabelTable
from linnet.records import DatasetManifest, LabelBatch
from linnet.tasks.target import target_of

LABELS_FILE, BATCH_FILE = "labels.parquet", "labels.json"
QUARANTINE_FILE, DISPUTED_FILE = "quarantine.jsonl", "disputed.jsonl"

_TIME = pa.timestamp("us", "UTC")
_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("label", pa.string()),
        ("annotator", pa.string()),
        ("agreement", pa.float64()),
        ("labelled_at", _TIME),
        ("created_at", _TIME),
        ("batch", pa.string()),
        ("reason", pa.string()),
    ]
)


def collect(
    samples: Path,
    name: str,
    config: LabelsConfig,
    out: Path,
    as_of: datetime | None = None,
    label_set: Path | None = None,
    version: str = "",
) -> LabelBatch:
    """Writes labels.json, labels.parquet, quarantine.jsonl and disputed.jsonl to the folder `out`.

    The batch's `as_of` is the time of the newest answer it knows, so that a run without new answers
    writes the same bytes, and what was computed from them stays valid.

    Args:
        samples: Folder that `ingest` wrote.
        name: The dataset's name.
        config: The least agreement.
        out: Folder for the batch. Answers about unknown samples or with unknown labels lie in
            quarantine.jsonl, ties and too little agreement in disputed.jsonl, each with its reason.
        as_of: What was known at that time; None or a time to come: now.
        label_set: Folder of a label set, to take instead of what is known now.
        version: The label set's digest.

    Raises:
        DataError: the sample table cannot be read.
        ConfigError: the consensus is crowdlab's, and an image may have several classes.
        StorageError: the label table is damaged, or the disk is full.
    """
    manifest = DatasetManifest.load(samples / "manifest.json")
    given = dataset_labels(samples, manifest)
    known = _known(name, as_of, label_set)
    sound, quarantined = _quarantine_invalid(known, given, manifest)
    found = _apply_consensus(sound, config, _said(name, sound, config, manifest), manifest)
    agreed, disputed = found.agreed, found.disputed
    newest = max((row.created_at for row in known), default=EPOCH)
    batch = LabelBatch(
        as_of=newest.astimezone(UTC),
        rows=len(agreed),
        digest=_digest(agreed),
        corrections=sum(given[item.sample_id] != item.label for item in agreed),
        quarantined=len(quarantined),
        disputed=len(disputed),
        by_majority=found.by_majority,
        version=version,
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        pq.write_table(_table(agreed), out / LABELS_FILE)
        _write_lines(out / QUARANTINE_FILE, quarantined)
        _write_lines(out / DISPUTED_FILE, disputed)
        batch.save(out / BATCH_FILE)
    except OSError as error:
        raise StorageError(f"{out}: the labels cannot be written ({error}); free some space") from error
    return batch


def answers_digest(name: str, config: LabelsConfig, version: str = "") -> str:
    """Digest of all that `collect` would take in now, besides the samples: the same, and it writes the same.

    `version`: the label set's digest, where one is taken instead of what is known now.
    """
    if version:
        return version
    table = LabelTable(name)
    digest = table.digest(table.horizon())
    if config.consensus != "crowdlab":
        return digest
    said = hashlib.blake2b(digest.encode(), digest_size=16)
    for one in queued(name):
        said.update(one.model_dump_json().encode())
    return said.hexdigest()


def _known(name: str, as_of: datetime | None, label_set: Path | None) -> list[LabelRow]:
    """Each annotator's newest answer a sample."""
    if label_set is not None:
        _, rows = read_label_set(label_set)
        return rows
    table = LabelTable(name)
    moment = table.freeze()
    return table.as_of(min(moment, as_of) if as_of else moment)


def _said(
    name: str, rows: list[LabelRow], config: LabelsConfig, manifest: DatasetManifest
) -> dict[str, tuple[float, ...]]:
    """What a model said of the samples when they were asked about, where the consensus needs it."""
    if config.consensus != "crowdlab":
        return {}
    if target_of(manifest.task).several:
        problem = f"crowdlab weighs labels of one class, and the dataset's task is {manifest.task}"
        raise ConfigError("labels.consensus", problem, 'set it to "majority"')
    wanted = {row.sample_id for row in rows}
    return {
        one.sample_id: one.probabilities
        for one in queued(name)
        if one.sample_id in wanted and one.classes == manifest.classes
    }


def _quarantine_invalid(
    rows: list[LabelRow], given: dict[str, str], manifest: DatasetManifest
) -> tuple[list[LabelRow], list[dict[str, Any]]]:
    """Rows that can be used, and the others with the reason."""
    classes, target = manifest.classes, target_of(manifest.task)
    sound: list[LabelRow] = []
    quarantined: list[dict[str, Any]] = []
    for row in rows:
        reason = ""
        if row.sample_id not in given:
            reason = "the dataset has no such sample"
        elif row.status == "label" and (problem := misread(row.label, manifest.task)):
            reason = problem
        elif row.status == "label" and (
            unknown := [name for name in target.classes(row.label) if name not in classes]
        ):
            reason = f"the dataset has no class '{unknown[0]}'; it has {', '.join(classes)}"
        if reason:
            facts = {"label": row.label, "annotator": row.annotator, "batch": row.batch, "status": row.status}
            moment = row.labelled_at.isoformat()
            quarantined.append({"sample_id": row.sample_id, **facts, "labelled_at": moment, "reason": reason})
        else:
            sound.append(row)
    return sound, quarantined


@dataclass(frozen=True, slots=True)
class _Together:
    """What the annotators hold together, where they do not agree enough, and how it was found."""

    agreed: list[Consensus]
    disputed: list[dict[str, Any]]
    by_majority: int
    """See `LabelBatch`."""


def _apply_consensus(
    rows: list[LabelRow],
    config: LabelsConfig,
    said: dict[str, tuple[float, ...]],
    manifest: DatasetManifest,
) -> _Together:
    """One label a sample, by the consensus that the config names where that can be had."""
    weighed: dict[str, tuple[str, float]] = {}
    if said:
        votes = votes_of((row.sample_id, row.annotator, row.label) for row in rows if row.status == "label")
        weighed = crowdlab(votes, said, manifest.classes)
    agreed: list[Consensus] = []
    disputed: list[dict[str, Any]] = []
    by_majority, several = 0, Counter(row.sample_id for row in rows if row.status == "label")
    target = target_of(manifest.task)
    for item in consensus(rows, manifest.task):
        if item.sample_id in weighed and len(item.votes) > 1:
            label, quality = weighed[item.sample_id]
            item = replace(item, label=label, agreement=quality)
        elif config.consensus == "crowdlab" and several[item.sample_id] > 1:
            by_majority += item.sample_id not in weighed
        if item.label and item.agreement >= config.min_agreement:
            agreed.append(replace(item, label=target.read(item.label)))
            continue
        least = config.min_agreement
        reason = f"agreement {item.agreement:.2f} is below {least:.2f}" if item.label else "a tie"
        disputed.append({"sample_id": item.sample_id, "votes": item.votes, "reason": reason})
    return _Together(agreed, disputed, by_majority)


def _table(agreed: list[Consensus]) -> pa.Table:
    columns = {
        "sample_id": [item.sample_id for item in agreed],
        "label": [item.label for item in agreed],
        "annotator": [", ".join(item.annotators) for item in agreed],
        "agreement": [item.agreement for item in agreed],
        "labelled_at": [item.labelled_at for item in agreed],
        "created_at": [item.created_at for item in agreed],
        "batch": [item.batch for item in agreed],
        "reason": [item.reason for item in agreed],
    }
    return pa.table(columns, schema=_SCHEMA)


def _digest(agreed: list[Consensus]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for item in agreed:
        times = [item.labelled_at.isoformat(), item.created_at.isoformat()]
        facts = [item.sample_id, item.label, *item.annotators, item.agreement, *times]
        digest.update(json.dumps(facts).encode() + b"\n")
    return digest.hexdigest()


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
