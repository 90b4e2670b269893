"""Files that claim to be images and are none that can be read: counted, named, and left out or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from linnet.config import DataConfig
from linnet.data.rows import RawDataset, invalid_rows


@dataclass(frozen=True, slots=True)
class BadFile:
    """A row of the raw dataset whose file cannot be used."""

    origin: str
    content: str
    """Digest of its bytes; empty where they cannot be read."""
    reason: str
    """Where and what, as one line: `cat/1.jpg: is empty`."""


def check_bad_files(raw: RawDataset, bad: Sequence[BadFile], config: DataConfig) -> None:
    """Whether a dataset may be used without its bad files.

    Raises:
        DataError: `data.bad_files` is "fail" and there are some, they are more than `data.max_bad_fraction`
            of all, or a class has no other; names how many there are, and the first 20.
    """
    if not bad:
        return
    reasons, total = [file.reason for file in bad], len(raw.rows)
    problem = f"{len(bad):,} of {total:,} images cannot be used"
    if config.bad_files == "fail":
        remedy = 'repair or remove these files, or set data.bad_files to "leave out"'
        raise invalid_rows(raw.where, problem, reasons, remedy)
    share = len(bad) / total
    if share > config.max_bad_fraction:
        problem += f" ({share:.1%}, and data.max_bad_fraction is {config.max_bad_fraction:.1%})"
        remedy = "repair or remove these files, or raise data.max_bad_fraction to leave them out"
        raise invalid_rows(raw.where, problem, reasons, remedy)
    origins = {file.origin for file in bad}
    left = {row.label for row in raw.rows if row.origin not in origins}
    gone = [label for label in raw.classes if label not in left]
    if gone:
        names = ", ".join(repr(label) for label in gone)
        remedy = "repair these files, or remove the class"
        raise invalid_rows(raw.where, f"no image of class {names} can be used", reasons, remedy)
