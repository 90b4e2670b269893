"""What a folder of images is understood to be: images with classes and splits, and what is left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from linnet.config import DEFAULT_TASK, normal, problem_of
from linnet.data.folder_tree import Folder, LeftOut, count_reasons, utf8
from linnet.errors import DataError
from linnet.records import SPLITS, Split
from linnet.tasks.target import target_of

EXAMPLE = "put the images in one sub-folder a class, such as photos/cat/1.jpg"
UNLABELLED = "image without a class"
_SPELLINGS: dict[Split, str] = {
    "train": "train training trn",
    "validation": "val valid validation validate dev eval evaluation",
    "test": "test testing tst holdout hold-out hold_out",
    "production": "production",
}
_SPLIT_OF: dict[str, Split] = {word: split for split, words in _SPELLINGS.items() for word in words.split()}
_AROUND = re.compile(r"[ _.-]*(set|split|data|images?|imgs?|\d+)$")


def split_named(text: str) -> Split | None:
    """The split that a name means, in any usual spelling and case: `Val`, `train2017`, `test_images`."""
    word = text.strip().casefold()
    return _SPLIT_OF.get(word) or _SPLIT_OF.get(_AROUND.sub("", word))


def split_among(parts: Iterable[str]) -> str:
    """The first split that one of these names means, or empty."""
    return next((named for part in parts if (named := split_named(part))), None) or ""


def label_of(name: str, where: str) -> str:
    """A class name, trimmed and in Unicode's composed form.

    Raises:
        DataError: it is none that can stand in tables, addresses and answers; says why.
    """
    label = normal(name)
    problem = problem_of(label)
    if problem:
        raise DataError(where, f"the class name {label[:60]!r} {problem}", "rename it")
    return label


def class_name(folder: Path) -> str:
    """The class that a folder's name means.

    Raises:
        DataError: it is not UTF-8, which tables, JSON and the model's package are, or no class name.
    """
    try:
        folder.name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            utf8(folder.name), "the folder's name is not UTF-8", "rename it: it is the class name"
        ) from error
    return label_of(folder.name, str(folder.parent))


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image and what its place says of it."""

    path: Path
    origin: str
    """Its path below the folder that was named."""
    label: str
    """As `Target.label` of the task writes it."""
    split: str
    """An official split, or empty."""
    captured_at: datetime | None = None
    """Where a table says it."""


@dataclass(slots=True)
class Understanding:
    """What a folder holds. `table` is set where the labels stand in a table beside the images."""

    where: Path
    images: list[FoundImage] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a person should know of how it was read."""
    empty: list[str] = field(default_factory=list)
    """Class folders without any image."""
    table: Path | None = None
    reading: str = "classes"
    """How it was read: one of config.LAYOUTS, never `auto`."""
    task: str = DEFAULT_TASK
    """What the labels answer."""

    @property
    def labels(self) -> set[str]:
        """The classes that the folders name, empty ones included."""
        target = target_of(self.task)
        return {name for image in self.images for name in target.classes(image.label)} | set(self.empty)

    def tree(self) -> str:
        """The splits and classes with their counts, what is left out, and notes: a few lines of text."""
        target = target_of(self.task)
        counts = Counter((image.split, name) for image in self.images for name in target.classes(image.label))
        totals = Counter(image.split for image in self.images)
        labels = sorted(self.labels)
        lines = [f"{self.where}: {len(self.images):,} images in {len(labels)} classes"]
        if self.table is not None:
            lines = [f"{self.where}: the labels stand in {self.table.name}"]
        for split in [name for name in ("", *SPLITS) if totals[name]]:
            total = totals[split]
            told = ", ".join(f"{label} {counts[split, label]:,}" for label in labels[:20])
            more = f" and {len(labels) - 20} more" if len(labels) > 20 else ""
            lines.append(f"  {split or 'no splits':<11} {total:>7,}  {told}{more}")
        for reason, number in count_reasons(self.left_out).items():
            named = [item.origin for item in self.left_out if item.reason == reason]
            more = ", ..." if number > 3 else ""
            lines.append(f"  left out    {number:>7,}  {reason}: {', '.join(named[:3])}{more}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def take(self, path: Path, label: str, split: str, captured_at: datetime | None = None) -> None:
        """Adds an image below the folder."""
        self.images.append(FoundImage(path, self.origin(path), label, split, captured_at))

    def origin(self, path: Path) -> str:
        """A path as it stands below the folder."""
        return utf8(path.relative_to(self.where).as_posix())

    def leave_out_others(self, images: list[Path], reason: str) -> None:
        """Counts the images that the reading did not take, and that are not left out already."""
        told = {image.origin for image in self.images} | {item.origin for item in self.left_out}
        others = dict.fromkeys(origin for path in images if (origin := self.origin(path)) not in told)
        self.left_out += [LeftOut(origin, reason) for origin in others]

    def note_cases(self) -> None:
        """A warning where two classes differ by case only: they may be one."""
        groups: dict[str, list[str]] = {}
        for label in sorted(self.labels):
            groups.setdefault(label.casefold(), []).append(label)
        for names in groups.values():
            if len(names) > 1:
                self.notes.append(f"{' and '.join(names)} differ by case only; are they one class?")


def new_understanding(tree: Folder) -> Understanding:
    """Of a folder that was walked: no images yet, and all that is none left out."""
    return Understanding(tree.path, left_out=tree.all_left_out())
