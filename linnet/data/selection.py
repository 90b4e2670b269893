"""Which rows of the raw dataset become samples: duplicates and leaks are dropped, and said so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from linnet.config import DataConfig
from linnet.data.rows import RawDataset, RawRow
from linnet.data.scan import Seen
from linnet.data.split import assign
from linnet.records import Split

_RANK = {"test": 0, "production": 1, "validation": 2, "train": 3, "": 3}
"""Where the same pixels stand in two official splits, the lower rank keeps them."""


@dataclass(slots=True)
class Selection:
    """The kept rows by position in the raw dataset, their splits, and what was dropped and why."""

    kept: list[tuple[int, Split]] = field(default_factory=list)
    duplicates: int = 0
    leaks: int = 0
    dropped: list[str] = field(default_factory=list)


def select(raw: RawDataset, seen: Sequence[Seen], config: DataConfig) -> Selection:
    """Keeps the first of equal images, in the split that holds out most; everything in raw order."""
    owner: dict[str, int] = {}
    for index, look in enumerate(seen):
        best = owner.setdefault(look.sample_id, index)
        if _RANK[raw.rows[index].split] < _RANK[raw.rows[best].split]:
            owner[look.sample_id] = index
    brought = frozenset(row.split for row in raw.rows)
    result = Selection()
    for index, (row, look) in enumerate(zip(raw.rows, seen, strict=True)):
        first = owner[look.sample_id]
        if first == index:
            result.kept.append((index, assign(look.sample_id, row.split, brought, config)))
            continue
        leak = _RANK[row.split] != _RANK[raw.rows[first].split]
        result.leaks += leak
        result.duplicates += not leak
        result.dropped.append(_reason(row, raw.rows[first], leak))
    return result


def _reason(row: RawRow, kept: RawRow, leak: bool) -> str:
    what = f"leak: the same pixels stand in the {kept.split} split" if leak else "duplicate: the same pixels"
    other = f", labelled '{kept.label}' and not '{row.label}'" if kept.label != row.label else ""
    return f"{row.origin}: {what} as {kept.origin}{other}"


def content_digest(raw: RawDataset, contents: Iterable[str]) -> str:
    """Digest of a dataset that no `.dvc` file names: 32 hex digits over places, labels and bytes.

    `contents` has a digest of the image's bytes a row.
    """
    digest = hashlib.blake2b(json.dumps(raw.classes).encode(), digest_size=16)
    for row, content in zip(raw.rows, contents, strict=True):
        moment = row.captured_at.isoformat() if row.captured_at else ""
        facts = [row.origin, content, row.label, row.split, moment, *row.cohorts]
        digest.update(json.dumps(facts).encode() + b"\n")
    return digest.hexdigest()
