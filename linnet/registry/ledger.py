"""The promotion ledger: an append-only, chained file that says who moved which alias, when and why."""

from __future__ import annotations

import contextlib
from pathlib import Path

from linnet.errors import RegistryError
from linnet.records import LedgerEntry
from linnet.records.ledger import ChainedLog
from linnet.storage.locks import file_lock


class Ledger:
    """The ledger in one file. Appending needs a lock that the caller holds; reading needs none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, model: str | None = None) -> list[LedgerEntry]:
        """All entries (of a model), oldest first; the chain is verified.

        Raises:
            RegistryError: a line was changed.
        """
        return [entry for entry in self._log().read() if model is None or entry.model == model]

    def verify(self) -> int:
        """The number of lines, all of which are as they were written.

        Raises:
            RegistryError: a line was changed, with its number.
        """
        return len(self._log().read())

    def append(self, entry: LedgerEntry) -> None:
        """Adds a line and waits until it is on the disk.

        Raises:
            RegistryError: the ledger was changed before, or cannot be written.
        """
        log = self._log()
        log.read()
        log.append(entry)

    def _log(self) -> ChainedLog[LedgerEntry]:
        return ChainedLog(self.path, LedgerEntry, RegistryError)


def append_to_ledger(state: Path, entry: LedgerEntry) -> None:
    """Adds a line that moves no alias to the ledger in a state folder; needs no registry.

    Raises:
        RegistryError: the ledger was changed before, or cannot be written.
        StorageError: its lock cannot be opened.
    """
    with registry_lock(state):
        ledger_of(state).append(entry)


def ledger_of(state: Path) -> Ledger:
    """The ledger of all models of a state folder."""
    return Ledger(state / "ledger" / "promotions.jsonl")


def registry_lock(state: Path) -> contextlib.AbstractContextManager[None]:
    """One process and thread at a time moves aliases of a state folder, or writes its ledger.

    Raises:
        StorageError: the lock cannot be opened.
    """
    return file_lock(state / "registry" / "lock")
