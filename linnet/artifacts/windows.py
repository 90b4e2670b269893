"""Labelled windows of production that a use case keeps: what it was taught by traffic, and is asked again.

Each is a folder below `.linnet/recent/NAME/`: `images/`, and `manifest.csv` (path, label, captured_at). Its
name is the moment of its newest image and the digest of its contents, so that it never changes. Later runs
train on a part of every window, and are tested on the rest: the rest only grows, and is called the
regression sets. A window that a person withdrew (`withdrawn.json`) stays where it is and takes no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from linnet.errors import DataError
from linnet.records import Split, now
from linnet.records.record import Record
from linnet.storage.files import file_name, files_in_each
from linnet.storage.paths import state_dir

MANIFEST = "manifest.csv"
DATASET = "dataset"
"""Value of the cohort column `source` for samples that are of no window."""
SOURCE = "source"
"""Cohort column that names the window of a sample."""
_WITHDRAWN = "withdrawn.json"
_PREFIX = "feedback/"
_TEST, _VALIDATION, _PRODUCTION = 0.2, 0.05, 0.1
"""Shares of a window. Fixed, and not settings: a sample that was tested on must never be trained on."""
_SCALE = float(1 << 64)


class Withdrawal(Record):
    """Why a window takes no part any more: `withdrawn.json`."""

    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class ProductionWindow:
    """A kept window."""

    name: str
    folder: Path

    @property
    def withdrawal(self) -> Withdrawal | None:
        """Why it takes no part; None: it does.

        Raises:
            StorageError: the record cannot be read.
        """
        path = self.folder / _WITHDRAWN
        return Withdrawal.load(path) if path.exists() else None

    @property
    def label_source(self) -> str:
        """What the sample table says of a sample of it."""
        return _PREFIX + self.name


def windows_dir(name: str) -> Path:
    """Where the windows of use case `name` are kept."""
    return state_dir() / "recent" / file_name(name)


def all_windows(name: str) -> list[ProductionWindow]:
    """Every whole window of a use case, the oldest first (those of an older Linnet have no moment).

    Raises:
        StorageError: their folder cannot be listed.
    """
    found = [path.parent for path in files_in_each(windows_dir(name), MANIFEST)]
    found.sort(key=lambda folder: ("T" in folder.name, folder.name))
    return [ProductionWindow(f"window-{folder.name}", folder) for folder in found]


def kept_windows(name: str) -> list[ProductionWindow]:
    """The windows of a use case that take part in its next run, the oldest first."""
    return [window for window in all_windows(name) if window.withdrawal is None]


def withdraw_window(name: str, window: str, actor: str, reason: str) -> ProductionWindow:
    """Takes a window out of all later runs; its images and labels stay, and so does the reason.

    Raises:
        DataError: there is no such window, or it was withdrawn already.
    """
    known = {one.name: one for one in all_windows(name)}
    if window not in known:
        listed = ", ".join(known) or "none"
        raise DataError(name, f"there is no window {window}", f"the windows of {name} are: {listed}")
    if (before := known[window].withdrawal) is not None:
        raise DataError(window, f"was withdrawn by {before.actor}: {before.reason}", "nothing is to be done")
    Withdrawal(at=now(), actor=actor, reason=reason).save(known[window].folder / _WITHDRAWN)
    return known[window]


def window_of(label_source: str) -> str:
    """The window that a sample is of, by the sample table's `label_source`; empty: of none."""
    return label_source.removeprefix(_PREFIX) if label_source.startswith(_PREFIX) else ""


def window_split(sample_id: str) -> Split:
    """The split of a sample of any window: a function of its pixels alone, the same in every run.

    The halves of the 32 hex digits are two independent numbers in [0, 1): the second decides on the test.
    """
    first, second = int(sample_id[:16], 16) / _SCALE, int(sample_id[16:], 16) / _SCALE
    if second < _TEST:
        return "test"
    if first < _VALIDATION:
        return "validation"
    return "production" if first < _VALIDATION + _PRODUCTION else "train"
