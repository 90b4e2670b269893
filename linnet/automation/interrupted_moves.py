"""Promotions and rollbacks whose process was killed half-way: the engine finishes or forgets them.

Any later command that moves an alias of the model does it too; the engine is sooner, and sees to all models.
"""

from __future__ import annotations

import threading
import time

from linnet.config import RegistryConfig
from linnet.errors import LinnetError
from linnet.records import LedgerEntry
from linnet.registry.champion import interrupted_moves
from linnet.registry.connect import connect
from linnet.retraining.known_models import known_models
from linnet.serving.champion_traffic import ServerTraffic
from linnet.storage.paths import state_dir

LOOK_SECONDS = 5.0
_AGAIN_SECONDS = 30.0
"""After a repair that failed."""


class InterruptedMoves:
    """The engine's part: `tick` is called every second."""

    def __init__(self) -> None:
        self._next = 0.0
        self._told: set[str] = set()
        self._thread: threading.Thread | None = None

    def tick(self) -> None:
        """Begins to settle what was left half done, in a thread: it may load a model."""
        working = self._thread is not None and self._thread.is_alive()
        if working or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_SECONDS
        if moves := interrupted_moves(state_dir(), self._tell_once):
            self._thread = threading.Thread(target=self._settle, args=(moves,), name="moves", daemon=True)
            self._thread.start()

    def _tell_once(self, problem: str) -> None:
        if problem not in self._told:
            self._told.add(problem)
            print(f"a move that was begun cannot be settled: {problem}", flush=True)

    def _settle(self, moves: list[LedgerEntry]) -> None:
        for move in moves:
            try:
                settle(move)
            except LinnetError as error:
                print(f"{move.action} of {move.model} {move.version}: {error}", flush=True)
                self._next = time.monotonic() + _AGAIN_SECONDS


def settle(move: LedgerEntry) -> None:
    """Has alias, traffic and ledger agree about a move that may have been cut short.

    One that is under way holds the registry's lock, and is over when this gets it.

    Raises:
        LinnetError: the registry or the server does not answer.
    """
    known = [one.registry for one in known_models() if one.model == move.model]
    for config in (*known, RegistryConfig()):  # the model's own registry first, then this machine's
        registry = connect(config, traffic=ServerTraffic())
        if any(version.version == move.version for version in registry.versions(move.model)):
            registry.repair(move.model)
            return
