"""The storm breaker, closed again by a person."""

from __future__ import annotations

from linnet.errors import RetrainingError
from linnet.records import RetrainingEntry, now
from linnet.retraining.ledger import RetrainingLedger


def reset_breaker(ledger: RetrainingLedger, actor: str, reason: str) -> int:
    """Writes down that somebody looked, and why retraining may go on; returns how many failures were counted.

    Raises:
        RetrainingError: no run has failed since the last success or reset.
    """
    with ledger.held():
        failures = ledger.history().failures
        if not failures:
            raise RetrainingError("the breaker is closed: no run has failed since the last success or reset")
        ledger.append(
            RetrainingEntry(at=now(), model=ledger.model, kind="breaker-reset", actor=actor, reason=reason)
        )
    return failures
