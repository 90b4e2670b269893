"""Submits what the policy asked for: the second half of a decision, which may be another process's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from linnet.errors import LinnetError
from linnet.records import RetrainingEntry, now
from linnet.retraining.ledger import AskedRun, RetrainingLedger
from linnet.retraining.runs import TrainingRuns

GIVE_UP_AFTER = timedelta(minutes=10)
"""How long a host may refuse a run, from the first refusal, before the run counts as failed."""

Submit = Callable[[AskedRun], str]
"""Submits one run, marked with its key; its id. Raises a LinnetError if that is not possible now."""


def submit_asked(
    ledger: RetrainingLedger, runs: TrainingRuns, submit: Submit, clock: Callable[[], datetime] = now
) -> dict[str, str]:
    """Submits each run of a ledger that was asked for and that nobody submitted.

    A run that a killed submitter had sent is found by its key, and not sent again.

    Returns:
        By key what was wrong with runs that could not be submitted; they are tried again, until
        GIVE_UP_AFTER.

    Raises:
        RetrainingError: the ledger was changed or cannot be written.
    """
    problems = {}
    with ledger.held():
        for run in ledger.waiting:
            try:
                run_id = runs.find(run.key) or submit(run)
            except LinnetError as error:
                problems[run.key] = str(error)
                _refused(ledger, run, str(error), clock())
            else:
                _note(ledger, run, "submitted", clock(), run_id=run_id)
    return problems


def _refused(ledger: RetrainingLedger, run: AskedRun, problem: str, at: datetime) -> None:
    reason = f"not submitted: {problem}"
    if run.refused is None:
        _note(ledger, run, "not-submitted", at, reason=reason)
    elif at - run.refused.at >= GIVE_UP_AFTER:
        _note(ledger, run, "ended", at, state="failed", cost=0.0, reason=reason)


def _note(ledger: RetrainingLedger, run: AskedRun, kind: str, at: datetime, **fields: object) -> None:
    values = {
        "at": at,
        "model": ledger.model,
        "kind": kind,
        "actor": run.asked.actor,
        "key": run.key,
        **fields,
    }
    ledger.append(RetrainingEntry.model_validate(values))
