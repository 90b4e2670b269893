"""What a person tells a rollout: approve, pause, resume, abort. Commands and the console call the same."""

from __future__ import annotations

import time

from linnet.deployment.journal import UNDER_WAY, Command, Journal
from linnet.errors import RolloutError
from linnet.storage.files import file_name, listed
from linnet.storage.paths import server_state_file, state_dir

END_SECONDS = 10.0
"""Longest wait for a rollout's own process to end it; it reads its orders once a second."""
NONE_UNDER_WAY = "no rollout is under way: `linnet rollout status` shows how the last one ended"
DONE = {"approve": "approved", "pause": "paused", "resume": "resumed"}
"""What an order comes to, in words."""


def journals() -> list[Journal]:
    """The rollouts that this state folder knows: the last one of each model."""
    return [
        found for file in listed(state_dir() / "rollouts", "[!.]*.json") if (found := Journal(file)).read()
    ]


def model_of(journal: Journal) -> str:
    """The model that a rollout is of."""
    return str(journal.read().get("model") or journal.path.stem)


def journal_of(model: str = "") -> Journal:
    """The rollout of a model, or of the only one that has one.

    Raises:
        RolloutError: there is none, or no telling which.
    """
    found = [one for one in journals() if not model or one.path.stem == file_name(model)]
    if not found:
        known = ", ".join(model_of(one) for one in journals())
        of, others = f" of {model}" if model else "", f" (known: {known})" if known else ""
        raise RolloutError(f"there has been no rollout{of} here yet{others}: `linnet run CONFIG` makes one")
    if len(found) > 1:
        names = [model_of(one) for one in found]
        raise RolloutError(
            f"several models have a rollout ({', '.join(names)}): name one with --name, such as "
            f"--name {names[0]}"
        )
    return found[0]


def order(journal: Journal, command: Command, by: str, reason: str) -> str:
    """Tells the rollout under way; returns what that comes to, in words. `reason` stands in its record.

    Raises:
        RolloutError: none is under way, its process is gone, it waits for no approval, or the server that
            may give the candidate its traffic does not answer.
    """
    if command == "abort":
        return _abort(journal, by, reason)
    phase = journal.read().get("phase")
    if command == "approve" and phase != "waiting":
        raise RolloutError("no rollout waits for an approval: see `linnet rollout status`")
    if not journal.is_held():
        raise RolloutError(
            "the rollout's process is gone: run the same command again to go on, or `linnet rollout abort`"
            if phase in UNDER_WAY
            else NONE_UNDER_WAY
        )
    journal.give(command, by, reason)
    return DONE[command]


def end_under_way(model: str, by: str, reason: str) -> str:
    """Ends the model's rollout, whether its process lives or not, before somebody moves the champion by hand.

    Else its candidate kept its share, and its judge held it against a champion that is none any more.
    Returns what was ended; empty if none was under way.

    Raises:
        RolloutError: the server that may give the candidate its traffic does not answer.
    """
    journal = Journal(state_dir() / "rollouts" / f"{file_name(model)}.json")
    state = journal.read()
    if state.get("phase") not in UNDER_WAY:
        return ""
    _abort(journal, by, reason)
    until = time.monotonic() + END_SECONDS
    while journal.is_held() and time.monotonic() < until:
        time.sleep(0.05)
    return f"the rollout of version {state['candidate']} is ended"


def _abort(journal: Journal, by: str, reason: str) -> str:
    """Gives all traffic back to the champion, also where the rollout's process is gone."""
    if journal.is_held():
        journal.give("abort", by, reason)
        return "the rollout gives traffic back to the champion"
    state = journal.read()
    if state.get("phase") not in UNDER_WAY:
        raise RolloutError(NONE_UNDER_WAY)
    from linnet.deployment.local_server import give_back  # brings an HTTP client that the base install lacks

    with journal.held():
        served = give_back(server_state_file(), str(state["model"]), str(state["candidate"]))
        journal.settle("rollback")
    return "all traffic is with the champion" if served else "no server serves it, so nobody has traffic"
