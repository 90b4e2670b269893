"""The one way to an automatic run: whoever has a reason asks here, and the policy answers.

Monitoring, alerts and people all end in `Trigger.decide`. One process decides at a time. A yes is a line
`asked` in the ledger, with all that the run needs; `submission.submit_asked` takes it from there, so that
what decides need not know where runs go, and a kill between the two loses nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from linnet.config import RetrainingConfig
from linnet.errors import LinnetError
from linnet.records import (
    Interval,
    RetrainingDecision,
    RetrainingEntry,
    RetrainingEvidence,
    RetrainingSource,
    RunRequest,
    now,
)
from linnet.retraining import policy
from linnet.retraining.ledger import AskedRun, RetrainingLedger
from linnet.retraining.runs import TrainingRuns

LOST_AFTER = timedelta(minutes=10)
"""A run that an older Linnet asked for, and that nobody knows after this long, was never submitted."""


@dataclass(slots=True)
class Trigger:
    """Decides for one model, and asks for the run."""

    ledger: RetrainingLedger
    runs: TrainingRuns
    config: RetrainingConfig
    evidence: Callable[[], RetrainingEvidence]
    clock: Callable[[], datetime] = now
    plan: dict[str, Any] = field(default_factory=dict)
    """The config to train with."""

    def decide(self, source: RetrainingSource, actor: str, dry_run: bool = False) -> RetrainingDecision:
        """Decides, writes the decision down, and asks for a run if it says so.

        `dry_run`: nothing is written and nothing asked for.

        Raises:
            RetrainingError: the ledger was changed or cannot be written.
        """
        evidence = self.evidence()  # before the lock: it may take long
        with self.ledger.held():
            if not dry_run:
                self._settle(evidence)
            decision = policy.decide(evidence, self.ledger.history(), self.config, self.clock(), source)
            if dry_run:
                return decision
            self._note("decision", actor, decision=decision)
            if decision.request:
                self._ask(decision, evidence, actor)
            elif decision.ask_labels:
                self._ask_people(decision, actor)
        return decision

    def settle(self) -> None:
        """Writes down which runs ended, and whether they helped."""
        evidence = self.evidence()
        with self.ledger.held():
            self._settle(evidence)

    def _ask(self, decision: RetrainingDecision, evidence: RetrainingEvidence, actor: str) -> None:
        key = f"{self.ledger.model}-{decision.at:%Y%m%d%H%M%S}-{secrets.token_hex(3)}"
        windows = policy.counted(evidence, self.config)
        before = next((window.accuracy for window in reversed(windows) if window.accuracy), None)
        assert decision.cause is not None
        request = RunRequest(
            cause="schedule" if decision.cause == "staleness" else decision.cause,
            actor=actor,
            reason=decision.reason,
            evidence={
                "key": key,
                "conditions": [item.model_dump() for item in decision.conditions],
                "windows": [window.model_dump(mode="json") for window in windows],
                **evidence.facts,
            },
        )
        self._note(
            "asked", actor, key=key, before=before, reason=decision.reason, request=request, config=self.plan
        )

    def _ask_people(self, decision: RetrainingDecision, actor: str) -> None:
        """Asks for a labelling round about what users sent."""
        key = f"{self.ledger.model}-labels-{decision.at:%Y%m%d%H%M%S}-{secrets.token_hex(3)}"
        labels = {**self.plan.get("labels", {}), "budget": decision.ask_labels, "requests_only": True}
        request = RunRequest(
            cause="drift", actor=actor, reason=decision.reason,
            evidence={"key": key, "conditions": [item.model_dump() for item in decision.conditions]},
        )  # fmt: skip
        plan = {**self.plan, "labels": labels}
        self._note("labels-asked", actor, key=key, reason=decision.reason, request=request, config=plan)

    def _settle(self, evidence: RetrainingEvidence) -> None:
        for run in self.ledger.runs:
            if run.ended is None:
                self._settle_run(run)
            if run.ended is not None and run.ended.state == "succeeded" and run.outcome is None:
                self._settle_outcome(run, evidence)

    def _settle_run(self, run: AskedRun) -> None:
        if run.submitted is None:
            try:
                run_id = self.runs.find(run.key)
            except LinnetError:  # nobody can say: it counts as under way
                return
            if run_id is None:
                if run.asked.request is None and self.clock() - run.asked.at > LOST_AFTER:
                    why = "the run was asked for, and nobody heard of it"
                    self._note("ended", "linnet", key=run.key, state="lost", cost=0.0, reason=why)
                return
            self._note("submitted", "linnet", key=run.key, run_id=run_id, reason="found again after a kill")
        assert run.submitted is not None
        end = self.runs.end(run.submitted.run_id)
        if end is not None:
            self._note(
                "ended", "linnet", key=run.key, run_id=run.submitted.run_id, state=end.state,
                version=end.version, cost=end.cost, reason=end.reason,
            )  # fmt: skip

    def _settle_outcome(self, run: AskedRun, evidence: RetrainingEvidence) -> None:
        """Compares what users got before and after, once labels of the new champion's windows came."""
        assert run.ended is not None
        before = run.asked.before
        after = next(
            (w.accuracy for w in evidence.windows if w.version == run.ended.version and w.accuracy), None
        )
        if before is None or after is None or not run.ended.version:
            return
        helped = improved(before, after)
        word = {True: "it helped", False: "it made things worse", None: "the intervals overlap"}[helped]
        self._note(
            "outcome", "linnet", key=run.key, before=before, after=after, helped=helped,
            version=run.ended.version,
            reason=f"accuracy {before.value:.3f} before, {after.value:.3f} after: {word}",
        )  # fmt: skip

    def _note(self, kind: str, actor: str, **fields: object) -> None:
        values = {"at": self.clock(), "model": self.ledger.model, "kind": kind, "actor": actor, **fields}
        self.ledger.append(RetrainingEntry.model_validate(values))


def improved(before: Interval, after: Interval) -> bool | None:
    """Whether accuracy rose: the intervals lie apart. None: they overlap."""
    if after.low > before.high:
        return True
    return False if after.high < before.low else None
