"""What people say of a run: tags and a note, in `remarks.json` of its folder."""

from __future__ import annotations

import re
from pathlib import Path

from linnet.errors import RunError
from linnet.records.record import Record

_TAG = re.compile(r"[\w.:/-]{1,40}")
MOST_TAGS, LONGEST_NOTE = 20, 2000


class RunRemarks(Record):
    """Tags and a note of a run."""

    tags: tuple[str, ...] = ()
    note: str = ""


def read_remarks(folder: Path) -> RunRemarks:
    """What was said of the run in `folder`; empty where nothing was.

    Raises:
        StorageError: it cannot be read.
    """
    file = folder / "remarks.json"
    return RunRemarks.load(file) if file.exists() else RunRemarks()


def write_remarks(folder: Path, tags: str, note: str) -> RunRemarks:
    """Says something of a run, in place of what was said before; `tags` lie between commas or spaces.

    Raises:
        RunError: a tag is no word, or there is too much.
    """
    words = tuple(dict.fromkeys(word for word in re.split(r"[,\s]+", tags) if word))
    for word in words:
        if not _TAG.fullmatch(word):
            raise RunError(f"{word[:60]!r} is no tag: letters, digits and . : / _ - , 40 at most")
    if len(words) > MOST_TAGS or len(note) > LONGEST_NOTE:
        raise RunError(f"a run has {MOST_TAGS} tags and a note of {LONGEST_NOTE:,} letters at most")
    said = RunRemarks(tags=words, note=note.strip())
    said.save(folder / "remarks.json")
    return said
