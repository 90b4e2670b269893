"""Rollouts whose process was killed: the engine gives their traffic back, and tells ledger and journal.

The server does it by itself when the candidate's lease runs out; this is sooner, and it is what writes it
down. The rollout's state stays: the same command still goes on from there.
"""

from __future__ import annotations

import contextlib
import time
from datetime import datetime

from linnet.automation.periodic import Periodic
from linnet.automation.told_once import ToldOnce
from linnet.deployment.journal import UNDER_WAY, Journal
from linnet.deployment.rollout_commands import journals
from linnet.errors import LinnetError, RolloutError
from linnet.records import LedgerEntry, now
from linnet.registry.champion import current_actor
from linnet.registry.ledger import append_to_ledger
from linnet.storage.paths import server_state_file, state_dir

LOOK_SECONDS = 5.0
"""Between two looks, and how long a state must have stood still: one under way is written every second."""


class AbandonedRollouts:
    """The engine's part: `tick` is called every second."""

    def __init__(self) -> None:
        self._looks = Periodic("rollouts", LOOK_SECONDS)
        self._tell_once = ToldOnce()

    def tick(self) -> None:
        """Settles what was left behind, if it is time to look; a state that cannot be is told once."""
        if not self._looks.due():
            return
        try:
            found = journals()
        except LinnetError as error:
            self._tell_once(f"rollouts are not looked at: {error}")
            return
        for journal in found:
            try:
                settle_abandoned(journal)
            except (LinnetError, OSError) as error:
                self._tell_once(f"{journal.path} is not settled yet, and will be tried again: {error}")
            except Exception as error:  # noqa: BLE001  such as of an older Linnet: it hides no other
                self._tell_once(f"{journal.path} cannot be settled: {type(error).__name__}: {error}")


def settle_abandoned(journal: Journal) -> bool:
    """Gives the traffic of a rollout without a process back, once; whether there was such a one.

    Raises:
        RolloutError: the server does not answer.
        RegistryError: the ledger cannot be written.
    """
    if not _abandoned(journal) or journal.is_held():
        return False
    from linnet.deployment.local_server import give_back  # brings an HTTP client that the base install lacks

    with journal.held():
        if not _abandoned(journal):
            return False
        state = journal.read()
        with contextlib.suppress(RolloutError):  # the lease of the server ends it then
            give_back(server_state_file(), str(state["model"]), str(state["candidate"]))
        append_to_ledger(state_dir(), _entry(state))
        journal.write({**state, "abandoned": now().isoformat()})
    return True


def _abandoned(journal: Journal) -> bool:
    state = journal.read()
    if state.get("phase") not in UNDER_WAY or "abandoned" in state:
        return False
    return time.time() - journal.path.stat().st_mtime > LOOK_SECONDS


def _entry(state: dict[str, object]) -> LedgerEntry:
    at = datetime.fromisoformat(str(state["at"])).isoformat()
    return LedgerEntry(
        at=now(), actor=current_actor(), action="canary", model=str(state["model"]),
        version=str(state["candidate"]), previous=str(state["champion"]) if state["champion"] else None,
        reason=f"the rollout's process was gone at {state['percent']} %; traffic went back to the champion",
        evidence={"verdict": "inconclusive", "percent": 0, "rollout": state["started_at"], "abandoned": at},
    )  # fmt: skip
