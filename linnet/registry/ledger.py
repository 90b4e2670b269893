"""The promotion ledger: an append-only file that says who moved which alias, when and why.

A line is JSON: sequence, before (digest of the line before), entry, digest (blake2b over the three).
So a line that was edited, removed or inserted shows; only lines cut off the end do not. What a kill
left of a last line that was never finished is cut off by the next append.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from linnet.errors import RegistryError
from linnet.records import LedgerEntry

_FIRST = "0" * 32


class Ledger:
    """The ledger in one file. Appending needs a lock that the caller holds; reading needs none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, model: str | None = None) -> list[LedgerEntry]:
        """All entries (of a model), oldest first; the chain is verified.

        Raises:
            RegistryError: a line was changed.
        """
        entries, _, _ = self._read()
        return [entry for entry in entries if model is None or entry.model == model]

    def verify(self) -> int:
        """The number of lines, all of which are as they were written.

        Raises:
            RegistryError: a line was changed, with its number.
        """
        return len(self._read()[0])

    def append(self, entry: LedgerEntry) -> None:
        """Adds a line and waits until it is on the disk.

        Raises:
            RegistryError: the ledger was changed before, or cannot be written.
        """
        entries, before, length = self._read()
        values = entry.model_dump(mode="json")
        line = {"sequence": len(entries) + 1, "before": before, "entry": values}
        line["digest"] = _digest(line)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.truncate(length)
                file.write(json.dumps(line, sort_keys=True).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RegistryError(f"{self.path}: the ledger cannot be written ({error.strerror})") from error

    def _read(self) -> tuple[list[LedgerEntry], str, int]:
        """Entries, digest of the last one, and the length in bytes of what is whole."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return [], _FIRST, 0
        except OSError as error:
            raise RegistryError(f"{self.path}: the ledger cannot be read ({error.strerror})") from error
        length = content.rfind(b"\n") + 1  # what follows was torn by a kill
        entries: list[LedgerEntry] = []
        before = _FIRST
        for number, text in enumerate(content[:length].splitlines(), 1):
            entry, before = self._check(text, number, before)
            entries.append(entry)
        return entries, before, length

    def _check(self, text: bytes, number: int, before: str) -> tuple[LedgerEntry, str]:
        try:
            line = json.loads(text)
            digest = line.pop("digest")
            sound = digest == _digest(line) and line["before"] == before and line["sequence"] == number
            entry = LedgerEntry.model_validate_json(json.dumps(line["entry"]))
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
            sound, digest = False, ""
        if not sound:
            raise RegistryError(
                f"{self.path}: line {number} is not what Linnet wrote, so the ledger was changed: "
                "restore it from a backup, or set it aside to start a new one"
            )
        return entry, digest


def _digest(line: dict[str, Any]) -> str:
    text = json.dumps(line, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
