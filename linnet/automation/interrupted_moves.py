"""Promotions and rollbacks whose process was killed half-way: the engine finishes or forgets them.

Any later command that moves an alias of the model does it too; the engine is sooner, and sees to all models.
"""

from __future__ import annotations

import time

from linnet.automation.periodic import Periodic
from linnet.automation.told_once import ToldOnce
from linnet.config import RegistryConfig
from linnet.errors import LinnetError, RegistryError
from linnet.records import LedgerEntry
from linnet.registry.champion import INTENT, interrupted_moves
from linnet.registry.connect import connect
from linnet.retraining.known_models import known_models
from linnet.serving.champion_traffic import ServerTraffic
from linnet.storage.files import file_name
from linnet.storage.paths import state_dir

LOOK_SECONDS = 5.0
_AGAIN_SECONDS, _SELDOM_SECONDS = 30.0, 3600.0
"""After a repair that failed; twice as long after each more, up to the other."""


class InterruptedMoves:
    """The engine's part: `tick` is called every second."""

    def __init__(self) -> None:
        self._looks = Periodic("moves", LOOK_SECONDS)
        self._told = ToldOnce()
        self._failed: dict[str, tuple[float, float]] = {}
        """Moves whose repair failed: when it is tried again, and how long it waits for that."""

    def tick(self) -> None:
        """Begins to settle what was left half done, in a thread: it may load a model."""
        if not self._looks.due():
            return
        moves = interrupted_moves(state_dir(), self._tell_once)
        if moves := [move for move in moves if self._due(move)]:
            self._looks.begin(self._settle, moves)

    def _tell_once(self, problem: str) -> None:
        self._told(f"a move that was begun cannot be settled: {problem}")

    def _due(self, move: LedgerEntry) -> bool:
        return time.monotonic() >= self._failed.get(_key(move), (0.0, 0.0))[0]

    def _settle(self, moves: list[LedgerEntry]) -> None:
        for move in moves:
            key = _key(move)
            try:
                settle(move)
            except LinnetError as error:
                self._tell_once(f"{move.action} of {move.model} {move.version}: {error}")
                wait = min(2 * self._failed.get(key, (0.0, _AGAIN_SECONDS / 2))[1], _SELDOM_SECONDS)
                self._failed[key] = time.monotonic() + wait, wait
            else:
                self._failed.pop(key, None)


def _key(move: LedgerEntry) -> str:
    return move.model_dump_json()


def settle(move: LedgerEntry) -> None:
    """Has alias, traffic and ledger agree about a move that may have been cut short.

    One that is under way holds the registry's lock, and is over when this gets it.

    Raises:
        LinnetError: the registry or the server does not answer, or no registry that is known has the version.
    """
    known = [one.registry for one in known_models() if one.model == move.model]
    for config in (*known, RegistryConfig()):  # the model's own registry first, then this machine's
        registry = connect(config, traffic=ServerTraffic())
        if any(version.version == move.version for version in registry.versions(move.model)):
            registry.repair(move.model)
            return
    raise RegistryError(
        f"no registry that is known here has {move.model} version {move.version}: the next command that "
        f"moves the alias of {move.model} settles it; if the model is gone for good, delete "
        f"{state_dir() / 'registry' / file_name(move.model)}*{INTENT}"
    )
