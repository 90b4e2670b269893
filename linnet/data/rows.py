"""What every reader of a raw dataset gives: rows that name an image, and where its bytes are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from linnet.data.folder_tree import LeftOut
from linnet.errors import DataError
from linnet.vision.decode import Pixels

MOST_NAMED = 20
"""Rows that one message names at most."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """One image of the raw dataset, not yet read."""

    origin: str
    """Where in the raw dataset: a path relative to its root, or file and number."""
    label: str
    """Class name."""
    split: str
    """The official split, one of records.SPLITS, or empty where the dataset has none."""
    content: str | Pixels
    """The path of a file in an accepted format, or the pixels themselves, uint8 [H, W, 1]. A text, because a
    `Path` that was used takes four times its memory, and a dataset may have millions."""
    captured_at: datetime | None = None
    cohorts: tuple[str, ...] = ()
    """Values of the configured cohort columns, in their order."""
    label_source: str = "dataset"
    """Where the label comes from: the dataset itself, or `feedback/` and a production window's name."""
    group: str = ""
    """What it belongs to that must stand in one split (`data.group`), such as a patient; empty: nothing."""

    @property
    def source(self) -> Path | Pixels:
        """The file, or the pixels themselves."""
        return Path(self.content) if isinstance(self.content, str) else self.content


@dataclass(frozen=True, slots=True)
class RawDataset:
    """A raw dataset as a reader found it: nothing is decoded yet."""

    where: str
    classes: tuple[str, ...]
    rows: list[RawRow]
    left_out: tuple[LeftOut, ...] = ()
    """What lies there too and is no sample."""
    notes: tuple[str, ...] = ()
    """What a person should know of how a folder was read, such as annotations that could not be."""


def invalid_rows(where: str, problem: str, rows: list[str], remedy: str) -> DataError:
    """One error for many bad rows: says how many there are and names the first 20, a line each."""
    shown = "".join(f"\n  - {row}" for row in rows[:MOST_NAMED])
    more = f"\n  and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
    return DataError(where, f"{problem}:{shown}{more}\n{remedy[:1].upper()}{remedy[1:]}")


def class_names(where: str, found: set[str], configured: tuple[str, ...]) -> tuple[str, ...]:
    """The classes in label order: the configured ones, or those found, sorted.

    Raises:
        DataError: fewer than 2 classes, or a configured class that no image has.
    """
    classes = configured or tuple(sorted(found))
    if len(classes) < 2:
        named = f"only '{classes[0]}'" if classes else "none"
        raise DataError(
            where, f"at least 2 classes are needed, and there is {named}", "add images of another"
        )
    gone = [name for name in classes if name not in found]
    if gone:
        raise DataError(
            where,
            f"no image of class {', '.join(repr(name) for name in gone)}",
            "add images of it, or remove it from data.classes",
        )
    return classes
