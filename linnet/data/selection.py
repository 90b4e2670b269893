"""Which rows of the raw dataset become samples, and in which split: what is dropped is said so.

Equal pixels are one sample. Near duplicates and the rows of a group stand on one side together.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from linnet.artifacts.windows import window_of, window_split
from linnet.config import DataConfig
from linnet.data.near_duplicates import near_pairs
from linnet.data.rows import RawDataset, RawRow, invalid_rows
from linnet.data.scan import Seen
from linnet.data.split import Unit, assign
from linnet.records import Split
from linnet.tasks.target import target_of

_RANK = {"test": 0, "production": 1, "validation": 2, "train": 3, "": 3}
"""Where the same image stands in two official splits, the lower rank keeps it."""


@dataclass(slots=True)
class Selection:
    """The kept rows by position in the raw dataset, their splits, and what was dropped and why."""

    kept: list[tuple[int, Split]] = field(default_factory=list)
    duplicates: int = 0
    leaks: int = 0
    conflicts: int = 0
    """Rows whose copies have another label."""
    known: int = 0
    """Rows of production windows whose pixels the dataset itself holds, or nearly holds out."""
    contradicting: int = 0
    """Rows of production windows whose pixels the dataset itself holds with another label."""
    near_leaks: int = 0
    """Rows that nearly repeat what another official split holds out."""
    near_conflicts: int = 0
    """Near duplicates with another label."""
    dropped: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """Near duplicates that were found, a pair each."""
    near_note: str = ""
    """Which of them were not looked for."""


def select(raw: RawDataset, seen: Sequence[Seen], config: DataConfig) -> Selection:
    """Keeps the first of equal images, in the split that holds out most; everything in raw order.

    Raises:
        DataError: contradicting labels where `data.conflicts` is "fail", or a group in two official splits.
    """
    result = Selection()
    owner = _owners(raw, seen)
    contested = _contested(raw, seen, owner, config)
    unique: list[int] = []
    for index, (row, look) in enumerate(zip(raw.rows, seen, strict=True)):
        first = owner[look.sample_id]
        if first != index and window_of(row.label_source):
            same = row.label == raw.rows[first].label
            result.known += same
            result.contradicting += not same
            if not same:
                result.dropped.append(_reason(row, raw.rows[first], leak=False))
            continue
        if look.sample_id in contested:
            if config.conflicts == "leave out":
                result.conflicts += 1
                labels = ", ".join(repr(label) for label in contested[look.sample_id])
                result.dropped.append(f"{row.origin}: conflict: the same pixels are labelled {labels}")
                continue
            result.conflicts += row.label != raw.rows[first].label
        if first == index:
            unique.append(index)
            continue
        leak = _RANK[row.split] != _RANK[raw.rows[first].split]
        result.leaks += leak
        result.duplicates += not leak
        result.dropped.append(_reason(row, raw.rows[first], leak))
    _place(raw, seen, config, unique, result)
    return result


def _owners(raw: RawDataset, seen: Sequence[Seen]) -> dict[str, int]:
    """The row that keeps each sample."""
    owner: dict[str, int] = {}
    for index, look in enumerate(seen):  # a window's rows come last, and take no place of the dataset's
        best = owner.setdefault(look.sample_id, index)
        if (
            not window_of(raw.rows[index].label_source)
            and _RANK[raw.rows[index].split] < _RANK[raw.rows[best].split]
        ):
            owner[look.sample_id] = index
    return owner


def _contested(
    raw: RawDataset, seen: Sequence[Seen], owner: dict[str, int], config: DataConfig
) -> dict[str, list[str]]:
    """Samples whose copies have different labels, with these."""
    differing = {
        look.sample_id
        for row, look in zip(raw.rows, seen, strict=True)
        if row.label != raw.rows[owner[look.sample_id]].label and not window_of(row.label_source)
    }  # few of many: nothing is kept of the others
    contested: dict[str, dict[str, str]] = {}
    for row, look in zip(raw.rows, seen, strict=True):
        if look.sample_id in differing and not window_of(row.label_source):
            contested.setdefault(look.sample_id, {}).setdefault(row.label, row.origin)
    if contested and config.conflicts == "fail":
        rows = [
            ", ".join(f"{origin} ({label})" for label, origin in told.items()) for told in contested.values()
        ]
        raise invalid_rows(
            raw.where,
            f"{len(rows)} image(s) have contradicting labels",
            rows,
            'correct them, or set data.conflicts to "leave out" or "first"',
        )
    return {sample: list(told) for sample, told in contested.items()}


def _place(
    raw: RawDataset, seen: Sequence[Seen], config: DataConfig, unique: list[int], result: Selection
) -> None:
    """Gives the unique rows their splits; near copies of what is held out leave training."""
    sets = _Sets()
    groups = _join_groups(raw, unique, sets)
    lost = _join_near(raw, seen, config, unique, sets, result)
    members: dict[int, list[int]] = defaultdict(list)
    for index in unique:
        if index not in lost:
            members[sets.root(index)].append(index)
    split_of: dict[int, Split] = {}
    own: list[list[int]] = []  # a dataset's splits must not move because a window joined it
    for rows in members.values():
        if any(not window_of(raw.rows[index].label_source) for index in rows):
            own.append(rows)
        else:
            # Near copies stand where the first of them does: one that comes in a later window moves none.
            split_of |= dict.fromkeys(rows, window_split(seen[rows[0]].sample_id))
    spread = strata(raw, config.task)
    units = [_unit(raw, seen, rows, groups, spread) for rows in own]
    splits = assign(units, frozenset(row.split for row in raw.rows), config)
    split_of |= {index: split for rows, split in zip(own, splits, strict=True) for index in rows}
    result.kept = [(index, split_of[index]) for index in unique if index not in lost]


def strata(raw: RawDataset, task: str) -> list[str]:
    """What a row is spread over the splits by: its class, or the rarest of its classes."""
    target = target_of(task)
    classes = [target.classes(row.label) for row in raw.rows]
    images = Counter(name for names in classes for name in names)
    return [min(names, key=lambda name: (images[name], name), default="") for names in classes]


def _unit(
    raw: RawDataset, seen: Sequence[Seen], rows: list[int], groups: dict[int, str], spread: list[str]
) -> Unit:
    """What stands together. A group's key is of its name, so that it stays as the group grows.

    Near copies from a production window stand where the dataset's own images stand, and decide nothing.
    """
    rows = [index for index in rows if not window_of(raw.rows[index].label_source)]
    named = sorted({groups[index] for index in rows if index in groups})
    key = named[0] if named else min(seen[index].sample_id for index in rows)
    official = min((raw.rows[index].split for index in rows), key=lambda split: _RANK[split])
    return Unit(key, spread[rows[0]], len(rows), official)


def _join_groups(raw: RawDataset, unique: list[int], sets: _Sets) -> dict[int, str]:
    """Joins the rows of each group; the digest of the group's name a row.

    Raises:
        DataError: the dataset itself puts a group into several splits.
    """
    first: dict[str, int] = {}
    sides: dict[str, set[str]] = defaultdict(set)
    for index in unique:
        group = raw.rows[index].group
        if group:
            sets.join(first.setdefault(group, index), index)
            sides[group].add(raw.rows[index].split)
    split = [f"{group}: {', '.join(sorted(names))}" for group, names in sides.items() if len(names) > 1]
    if split:
        remedy = "move each to one split, or take data.group out"
        raise invalid_rows(raw.where, f"{len(split)} group(s) stand in several splits", split, remedy)
    return {
        index: hashlib.blake2b(raw.rows[index].group.encode(), digest_size=16).hexdigest()
        for index in unique
        if raw.rows[index].group
    }


def _join_near(
    raw: RawDataset,
    seen: Sequence[Seen],
    config: DataConfig,
    unique: list[int],
    sets: _Sets,
    result: Selection,
) -> set[int]:
    """Joins near duplicates; the rows that leave training, since the copy is held out by the dataset."""
    if config.near_duplicates == "ignore":
        return set()
    looks = [seen[index] for index in unique]
    near = near_pairs([look.thumbnail for look in looks], [min(look.width, look.height) for look in looks])
    lost: set[int] = set()
    told: list[tuple[bool, bool, str]] = []
    result.near_note = near.note
    for first, second in near.pairs.tolist():
        a, b = sorted(
            (unique[first], unique[second]), key=lambda index: (_RANK[raw.rows[index].split], index)
        )
        kept, other = raw.rows[a], raw.rows[b]
        apart = _RANK[kept.split] != _RANK[other.split]
        differs = f", labelled '{kept.label}' and not '{other.label}'" if kept.label != other.label else ""
        result.near_conflicts += bool(differs)
        where = f" in the {kept.split} split" if apart else ""
        line = f"{other.origin}: nearly the same as {kept.origin}{where}{differs}"
        told.append((not differs, not apart, line))
        if config.near_duplicates == "report":
            result.near_leaks += apart
        elif not apart:
            sets.join(a, b)
        elif b not in lost and window_of(other.label_source):
            lost.add(b)
            result.known += 1
        elif b not in lost:
            lost.add(b)
            result.near_leaks += 1
            result.dropped.append(f"{other.origin}: leak: nearly the same as {kept.origin}{where}{differs}")
    # Of very many pairs only the first are named: those that a person must look at.
    result.told = [line for *_, line in sorted(told, key=lambda pair: pair[:2])]
    return lost


class _Sets:
    """Disjoint sets of rows, joined pair by pair (union-find with path halving)."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        """Of rows that were joined to an earlier one: most never are."""

    def root(self, row: int) -> int:
        while (parent := self._parent.get(row, row)) != row:
            self._parent[row] = row = self._parent.get(parent, parent)
        return row

    def join(self, first: int, second: int) -> None:
        low, high = sorted((self.root(first), self.root(second)))
        if low != high:
            self._parent[high] = low


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
        facts += [row.group] if row.group else []
        digest.update(json.dumps(facts).encode() + b"\n")
    return digest.hexdigest()
