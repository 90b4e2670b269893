"""An append-only file of records, each chained to the one before: what was written stays as it was.

A line is JSON: sequence, before (digest of the line before), entry, digest (blake2b over the three).
So a line that was edited, removed or inserted shows. Lines cut off the end show by a small file beside it
(NAME.head), which says how many lines were on the disk, and the last one's digest. What a kill left of a last
line that was never finished is cut off by the next append.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, ValidationError

from linnet.errors import LinnetError, StorageError
from linnet.records import Record
from linnet.storage.files import write_text

R = TypeVar("R", bound=Record)
_FIRST = "0" * 32


class ChainedLog(Generic[R]):
    """The log in one file. Appending needs a lock that the caller holds; reading needs none."""

    def __init__(self, path: Path, record: type[R], error: type[LinnetError] = StorageError) -> None:
        """`error` is what a log raises that was changed, or cannot be read or written."""
        self.path = path
        self._head = path.with_suffix(".head")
        self._record, self._error = record, error
        self._known: list[R] = []
        self._length, self._before = 0, _FIRST

    def read(self) -> list[R]:
        """All records, oldest first; the whole chain is verified.

        Raises:
            LinnetError: a line was changed; with its number.
        """
        self._known, self._length, self._before = [], 0, _FIRST
        self.follow()
        return list(self._known)

    def follow(self) -> list[R]:
        """The records that came since the last call of `read`, `follow` or `append`, verified.

        Costs as much as there is new, so that a log that is asked often may grow long.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._length)
                content = file.read()
                size = file.tell()
        except FileNotFoundError:
            content, size = b"", 0
        except OSError as error:
            raise self._error(f"{self.path}: the ledger cannot be read ({error.strerror})") from error
        if size < self._length:
            raise self._error(f"{self.path}: lines were cut off: restore it from a backup")
        whole = content[: content.rfind(b"\n") + 1]  # what follows was torn by a kill
        fresh: list[R] = []
        for text in whole.splitlines():
            entry, self._before = self._check(text, len(self._known) + 1)
            self._known.append(entry)
            fresh.append(entry)
        self._length += len(whole)
        self._compare_with_head()
        return fresh

    def _compare_with_head(self) -> None:
        """Refuses a log that is shorter than it was: a head is written after its line, and never before."""
        try:
            head = json.loads(self._head.read_bytes())
            lines, digest = int(head["sequence"]), str(head["digest"])
        except FileNotFoundError:  # of a Linnet before heads
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._error(f"{self._head}: cannot be read ({error}): delete it") from error
        there = len(self._known)
        if lines > there or (lines == there and digest != self._before):
            raise self._error(
                f"{self.path}: it ends with line {there}, and {self._head.name} knows of {lines}: lines were "
                "cut off. Restore both from a backup, or set both aside to start a new ledger"
            )

    def append(self, entry: R, *, durable: bool = True) -> None:
        """Adds a line; the caller has read what was there before.

        `durable` waits until it, and all lines before it, are on the disk. Otherwise the line survives
        the end of this process, but maybe not that of the machine.

        Raises:
            LinnetError: the log was changed before, or cannot be written.
        """
        values = entry.model_dump(mode="json")
        line = {"sequence": len(self._known) + 1, "before": self._before, "entry": values}
        line["digest"] = digest_of_line(line)
        text = json.dumps(line, sort_keys=True).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.truncate(self._length)
                file.write(text)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
        except OSError as error:
            raise self._error(f"{self.path}: the ledger cannot be written ({error.strerror})") from error
        self._known.append(entry)
        self._length, self._before = self._length + len(text), str(line["digest"])
        if durable:  # another line may not outlive the machine, and a head must never know more than the log
            self._write_head()

    def _write_head(self) -> None:
        """The line is on the disk already: that its head cannot be written costs no more than a check."""
        with contextlib.suppress(OSError):
            write_text(self._head, json.dumps({"sequence": len(self._known), "digest": self._before}) + "\n")

    def _check(self, text: bytes, number: int) -> tuple[R, str]:
        try:
            line = json.loads(text)
            digest = line.pop("digest")
            chained = line["before"] == self._before and line["sequence"] == number
            sound = digest == digest_of_line(line) and chained
            entry = self._record.model_validate_json(json.dumps(line["entry"]))
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
            sound, digest = False, ""
        if not sound:
            raise self._error(
                f"{self.path}: line {number} is not what Linnet wrote, so the ledger was changed: "
                "restore it from a backup, or set it aside to start a new one"
            )
        return entry, digest


def verify_chain(path: Path) -> int:
    """The number of lines of a log of whatever records, each of which is as it was written.

    Raises:
        StorageError: a line was edited, removed or inserted; with its number.
    """
    return len(ChainedLog(path, _Anything).read())


class _Anything(Record):
    """A record whose fields are not looked at."""

    model_config = ConfigDict(extra="allow")


def digest_of_line(line: dict[str, Any]) -> str:
    """32 hex digits over all that a line says."""
    text = json.dumps(line, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
