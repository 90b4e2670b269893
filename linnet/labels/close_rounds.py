"""What follows from a closed labelling round: a label set, and one training run caused by it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from linnet.errors import LinnetError
from linnet.labels.label_set import digest_of, snapshot
from linnet.labels.rounds import Round, Rounds
from linnet.labels.select import BY_DRIFT
from linnet.labels.table import LabelTable
from linnet.labels.trigger import NO_RUN, RunTrigger
from linnet.records import RunRequest


def settle(name: str, trigger: RunTrigger | None, told: Callable[[str], None] | None = None) -> list[str]:
    """Cuts the label set of every closed round and asks for its training run; ids of the new runs.

    Each step is done once and noted afterwards, and doing it again gives the same: the set is that of
    the moment at which the round was closed, and the run is asked for under the round's own key. So a
    kill between any two of them is fixed by the next call. Without a `trigger` only sets are cut.
    `told` is given the id of each run as it is started, whatever becomes of the rounds after it.

    Raises:
        LinnetError: the disk is full, DVC refuses, or the run cannot be started; the round stays due, and
            the others were settled.
    """
    rounds = Rounds(name)
    started: list[str] = []
    problems: dict[str, LinnetError] = {}
    for batch, closed in rounds.closed().items():
        try:
            run_id = _settle(name, rounds, batch, closed, trigger)
        except LinnetError as error:
            problems[batch] = error
            continue
        if run_id and run_id != NO_RUN:
            started.append(run_id)
            if told is not None:
                told(run_id)
    if len(problems) == 1:
        raise next(iter(problems.values()))
    if problems:
        each = "; ".join(f"{batch}: {error}" for batch, error in problems.items())
        raise LinnetError(f"{len(problems)} labelling rounds stay due: {each}")
    return started


def _settle(name: str, rounds: Rounds, batch: str, closed: Round, trigger: RunTrigger | None) -> str:
    """Does what one round still lacks; the id of the run that it newly caused, if any."""
    version = closed.version
    if not version:
        known = LabelTable(name).as_of(closed.closed_at)
        if not known:
            return ""  # every task was deleted before anybody answered
        version = str(snapshot(name, closed.closed_at, batch))
        rounds.set_version(batch, version)
    if trigger is None or closed.run_id:
        return ""
    asked = run_request(name, batch, version, closed.closed_at)
    run_id = trigger.request_run(asked, version, run_key(name, batch))
    if run_id:
        rounds.set_run(batch, run_id)
    return run_id


def run_key(name: str, batch: str) -> str:
    """The name under which a round asks for its run, the same each time."""
    return f"labels/{name}/{batch}"


def run_request(name: str, batch: str, version: str, closed_at: datetime) -> RunRequest:
    """Why the run is asked for: the batch and its label set stand in the run's record."""
    file = Path(version)
    answers = [row for row in LabelTable(name).history() if row.batch == batch]
    return RunRequest(
        cause="labels",
        actor="label studio",
        reason=f"labelling round {batch} is complete: {len(answers)} answers",
        evidence={
            "key": run_key(name, batch),
            "batch": batch,
            "label_set": digest_of(file),
            "version": version,
            "closed_at": closed_at.isoformat(),
            "by_drift": any(row.reason == BY_DRIFT for row in answers),
            "answers": len(answers),
            "annotators": sorted({row.annotator for row in answers}),
        },
    )
