"""Walks a candidate through the canary steps under the judge, and always leaves traffic in safe hands.

A small state machine whose state is on disk before it acts: running (a step's traffic is set and looked
at), waiting (for an approval), paused, promoting, returning (traffic goes back), and the verdicts, which
are its ends. Whatever happens, a rollout ends in one of two ways: the candidate is the champion, or the
old champion has all of the traffic and the candidate is unloaded. An interruption (Ctrl-C, an error)
gives traffic back first, and the next rollout begins anew. After a kill the next run with the same
candidate, champion and settings goes on where it was killed, with the evidence that was gathered: the
bounds hold however long one looks away. With any other, it gives traffic back first and begins anew.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from linnet.config import ReleaseConfig
from linnet.deployment.evidence import LabeledOutcome, RolloutEvidence
from linnet.deployment.first_release import FirstReleaseBaseline
from linnet.deployment.journal import UNDER_WAY, Journal
from linnet.deployment.judge import judge, rollout_verdict
from linnet.deployment.traffic import LoadRefused, TrafficTarget
from linnet.errors import LinnetError, RolloutError
from linnet.progress import Progress
from linnet.records import JudgeSnapshot, JudgeVerdict, RolloutDecision, RolloutMark, StepDecision, now

SILENCE_SECONDS = 5.0
"""A server whose records cannot be read for this long ends the rollout."""
KEEP_SECONDS = 1.0
"""Looks are kept for the plot, and the state for a restart, this often and at every change."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is to be rolled out."""

    model: str
    version: str
    package: Path


Ending = tuple[JudgeVerdict, str]
Promote = Callable[[RolloutDecision, Callable[[], None]], object]
"""Makes a promotion known (alias, ledger) and gives the traffic by its second argument: all, or nothing."""


@dataclass(slots=True)
class Rollout:
    """One rollout; `run` carries it out."""

    target: TrafficTarget
    candidate: Candidate
    config: ReleaseConfig
    outcomes: Callable[[], list[LabeledOutcome]]
    """What the sender of the traffic saw since the last call; empty if nobody knows."""
    state_file: Path
    """Says that a rollout is under way, and survives a kill; one rollout at a time holds it."""
    reference: FirstReleaseBaseline | None = None
    """Absolute limits; needed if there is no champion."""
    progress: Progress | None = None
    promote: Promote | None = None
    """None: the traffic is all that moves."""
    looks: list[JudgeSnapshot] = field(default_factory=list)
    marks: list[RolloutMark] = field(default_factory=list)
    _journal: Journal = field(init=False)
    _evidence: RolloutEvidence = field(init=False)
    _champion: str | None = field(init=False, default=None)
    _cursor: int = field(init=False, default=0)
    _heard: float = field(init=False, default=0.0)
    _phase: str = field(init=False, default="running")
    _steps: list[StepDecision] = field(init=False, default_factory=list)
    _began: tuple[int, int] = field(init=False, default=(0, 0))
    """Requests that champion and candidate had computed when the step began."""
    _watched: float = field(init=False, default=0.0)
    """Seconds of this step that were watched, and not paused."""
    _total: float = field(init=False, default=0.0)
    _waited: float = field(init=False, default=0.0)
    _approved: bool = field(init=False, default=False)
    _orders: int = field(init=False, default=0)
    _started_at: datetime = field(init=False, default_factory=now)
    _lost: bool = field(init=False, default=False)
    """The server gave the candidate's share back: nobody had looked after it for too long."""
    _ending: Ending | None = field(init=False, default=None)
    _identity: str = field(init=False, default="")

    def run(self) -> RolloutDecision:
        """Carries the rollout to its end.

        Raises:
            RolloutError: another one is under way, or the server does not answer at the start.
        """
        self._journal = Journal(self.state_file)
        with self._journal.held():
            interrupted = self._recover()
            try:
                if self._ending is None:
                    self._ending = self._carry_out()
                verdict, reason = self._take_effect(*self._ending)
            except BaseException:
                self._give_back()
                self._save("interrupted")
                raise
            self._save(verdict)
        return self._decision(verdict, interrupted + reason)

    def _decision(self, verdict: JudgeVerdict, reason: str) -> RolloutDecision:
        return RolloutDecision(
            model=self.candidate.model,
            version=self.candidate.version,
            champion=self._champion,
            verdict=verdict,
            steps=tuple(self._steps),
            reason=reason,
            started_at=self._started_at,
            ended_at=now(),
            marks=tuple(self.marks),
        )

    @property
    def _plan(self) -> tuple[int, ...]:
        return self.config.steps if self._champion is not None else (100,)

    def _recover(self) -> str:
        """Takes up a rollout that was killed if it was this one; else gives traffic to the champion."""
        state = self._journal.read()
        under_way = state.get("phase") in UNDER_WAY
        self._champion = self.target.champion()
        if self._champion == self.candidate.version:
            if state.get("phase") != "promoting" or state["candidate"] != self.candidate.version:
                raise RolloutError(
                    f"version {self._champion} already is the champion of {self.candidate.model}"
                )
            self._champion = state["champion"]  # killed just after the promotion
        self._evidence = RolloutEvidence(self._champion, self.candidate.version, self.config)
        self._identity = self._digest()
        if under_way and state.get("identity") == self._identity and self._resume(state):
            self._mark("taken up after a kill")
            return f"taken up after a kill at {state['percent']} %; "
        if self._champion is None and self.reference is None:
            raise RolloutError("there is no champion, and no absolute limits to judge the candidate by")
        self._journal.begin()
        if self._champion is not None:
            self.target.route(None, 0, 0.0)
        if not under_way and state.get("phase") != "interrupted":
            return ""
        if state["candidate"] not in (self._champion, self.candidate.version):
            self.target.unload(state["candidate"])
        where = f"at {state['percent']} % with version {state['candidate']}"
        return f"restarted after an interruption {where}; "

    def _resume(self, state: dict[str, Any]) -> bool:
        """Restores what was saved; False if it cannot be read."""
        try:
            self._evidence.restore(state["evidence"])
            self._steps = [StepDecision.model_validate(step) for step in state["steps"]]
            self.marks = [RolloutMark.model_validate(mark) for mark in state["marks"]]
            self._started_at = datetime.fromisoformat(state["started_at"])
            self._cursor, self._orders = int(state["cursor"]), int(state["orders"])
            self._watched, self._total = float(state["watched"]), float(state["total"])
            self._waited, self._approved = float(state["waited"]), bool(state["approved"])
            self._began = (int(state["began"][0]), int(state["began"][1]))
            ending = state["ending"]
        except (KeyError, TypeError, ValueError):
            self._evidence = RolloutEvidence(self._champion, self.candidate.version, self.config)
            self._steps, self.marks, self._started_at = [], [], now()
            return False
        self._ending = (ending[0], ending[1]) if ending else None
        self._phase = "running" if state["phase"] == "waiting" else str(state["phase"])
        self.looks = self._journal.looks()
        return True

    def _digest(self) -> str:
        """Digest of what must be the same for a rollout to go on after a kill."""
        described = self.candidate.package / "package.json"
        package = described.read_bytes() if described.exists() else b""
        values = (self.candidate.model, self.candidate.version, self._champion, self.config.model_dump_json())
        return hashlib.blake2b(repr(values).encode() + package, digest_size=16).hexdigest()

    def _carry_out(self) -> Ending:
        try:
            self.target.load(self.candidate.version, self.candidate.package)
        except LoadRefused as error:
            return "rollback", f"the candidate cannot be loaded: {error}"
        if not self._cursor:
            self._cursor, _ = self.target.records(-1)
        self._heard = time.monotonic()
        self.outcomes()  # what was sent before belongs to nobody
        while True:
            number = len(self._steps)
            percent = self._plan[number]
            if self.progress is not None:
                self.progress(f"canary at {percent} %", number, len(self._plan))
            self._save(self._phase)
            try:
                mirror = self.config.mirror if self._champion is not None else 0.0
                self.target.route(self.candidate.version, percent, mirror)
            except RolloutError as error:
                return "inconclusive", f"traffic cannot be set to {percent} %: {error}"
            step = self._step(number)
            self._steps.append(step)
            if step.verdict != "proceed":
                return step.verdict, step.reason
            self._watched, self._approved = 0.0, False
            self._began = (int(self._evidence.champion.seen), int(self._evidence.candidate.seen))
            self._mark(f"{self._plan[number + 1]} %")

    def _step(self, number: int) -> StepDecision:
        """Holds one step until the judge, or a person, has decided it."""
        percent, last = self._plan[number], number == len(self._plan) - 1
        proof = last or self._plan[number + 1] == 100
        reference = self.reference if self._champion is None else None
        before = time.monotonic()
        while True:
            time.sleep(self.config.look_seconds)
            heard, aborted = self._read_records(), self._apply_commands()
            passed, before = time.monotonic() - before, time.monotonic()
            self._advance_clock(passed)
            requests, phase = int(self._evidence.candidate.seen) - self._began[1], self._phase
            due = not self.looks or self._total - self.looks[-1].seconds >= KEEP_SECONDS
            for verdict_only in (False,) if due else (True, False):
                judgements = judge(self._evidence, self.config, reference, verdict_only=verdict_only)
                verdict, reason = rollout_verdict(
                    judgements, self.config, seconds=self._watched, requests=requests, proof=proof, last=last
                )
                verdict, reason = self._hold(verdict, reason, number, heard=heard)
                if aborted is not None:
                    verdict, reason = "rollback", aborted
                if verdict_only and verdict is None and phase == self._phase:
                    break
            else:
                self._keep(JudgeSnapshot(seconds=self._total, percent=percent, judgements=judgements))
            if verdict is not None:
                return StepDecision(
                    percent=percent,
                    seconds=round(self._watched, 3),
                    champion_requests=int(self._evidence.champion.seen) - self._began[0],
                    candidate_requests=requests,
                    verdict=verdict,
                    judgements=judgements,
                    reason=reason,
                )

    def _advance_clock(self, seconds: float) -> None:
        """The clocks go on; a step's deadline does not come nearer while a person is waited for."""
        self._total += seconds
        if self._phase == "running":
            self._watched += seconds
            self._waited = 0.0
        else:
            self._waited += seconds

    def _hold(
        self, verdict: JudgeVerdict | None, reason: str, number: int, *, heard: bool
    ) -> tuple[JudgeVerdict | None, str]:
        """Whether a verdict may take effect now: silence, a pause or a missing approval hold it up."""
        if verdict == "rollback":
            return verdict, reason
        if self._lost:
            return (
                "inconclusive",
                "the server took the candidate's share back, as nobody had renewed it in time",
            )
        silent = time.monotonic() - self._heard
        if silent > min(SILENCE_SECONDS, self.config.deadline_seconds):
            return "inconclusive", f"the server's records could not be read for {silent:.0f} s"
        if verdict == "inconclusive":
            return verdict, reason
        if not heard:
            return None, reason  # what was proven may have ended with the silence
        if self._phase == "paused":
            return self._timeout("it was paused", None, reason)
        onward = verdict in ("proceed", "promote")
        if onward and not self._approved and self._needs_approval(number):
            if self._phase != "waiting":
                self._phase = "waiting"
                self._mark("waits for approval")
            return self._timeout("nobody approved", None, reason)
        self._phase = "running"
        return verdict, reason

    def _timeout(
        self, what: str, verdict: JudgeVerdict | None, reason: str
    ) -> tuple[JudgeVerdict | None, str]:
        if self._waited <= self.config.approval_seconds:
            return verdict, reason
        return "inconclusive", f"{what} for {self._waited:.0f} s"

    def _needs_approval(self, number: int) -> bool:
        if self.config.approval == "none":
            return False
        if number == len(self._plan) - 1:
            return len(self._plan) == 1
        return self.config.approval == "steps" or self._plan[number + 1] == 100

    def _apply_commands(self) -> str | None:
        """Carries out new orders; returns why the rollout is to end, if it is."""
        for order in self._journal.orders(self._started_at.isoformat(), self._orders):
            self._orders += 1
            self._mark(order.command, order.by, order.reason)
            if order.command == "abort":
                return f"aborted by {order.by}" + (f": {order.reason}" if order.reason else "")
            if order.command == "approve":
                self._approved = self._phase == "waiting"
            elif order.command == "pause":
                self._phase, self._waited = "paused", 0.0
            elif self._phase == "paused":
                self._phase = "running"
        return None

    def _read_records(self) -> bool:
        """Takes in what happened since the last look; False if the server kept silent."""
        self._evidence.add_outcomes(self.outcomes())
        try:
            self._cursor, records = self.target.records(self._cursor)
        except RolloutError:
            return False
        self._evidence.add(records)
        self._heard = time.monotonic()
        self._lost = self._champion is not None and not self._kept()
        return True

    def _kept(self) -> bool:
        """Says that somebody looks after the candidate's share; whether it still has it."""
        try:
            return self.target.renew(self.candidate.version)
        except RolloutError:
            return True  # a server that keeps silent is judged by its silence

    def _take_effect(self, verdict: JudgeVerdict, reason: str) -> Ending:
        """Makes the verdict true on the server; what cannot be made true is not a promotion."""
        self._ending = (verdict, reason)
        if verdict == "promote":
            self._save("promoting")
            try:
                self.target.load(self.candidate.version, self.candidate.package)  # free if it is there
                give = partial(self.target.promote, self.candidate.version)
                give() if self.promote is None else self.promote(self._decision(verdict, reason), give)
                return verdict, reason
            except LinnetError as error:
                verdict = "inconclusive"
                reason = f"the candidate proved itself, but could not be promoted: {error}"
                self._ending = (verdict, reason)
                if self._champion is not None:
                    with suppress(RolloutError):  # `_give_back` tells of a server that does not answer
                        self.target.promote(self._champion)
        self._save("returning")
        return verdict, reason + self._give_back()

    def _give_back(self) -> str:
        """All traffic to the champion, the candidate away; returns the trouble, if there was any."""
        try:
            if self._champion is not None:
                self.target.route(None, 0, 0.0)
                self.target.unload(self.candidate.version)
        except RolloutError as error:
            return f"; traffic could not be given back, as the server does not answer ({error})"
        return ""

    def _keep(self, look: JudgeSnapshot) -> None:
        """For the plot and for a restart."""
        self.looks.append(look)
        self._journal.note(look)
        self._save(self._phase)

    def _mark(self, what: str, by: str = "", reason: str = "") -> None:
        self.marks.append(RolloutMark(seconds=self._total, what=what, by=by, reason=reason))

    def _save(self, phase: str) -> None:
        number = min(len(self._steps), len(self._plan) - 1)
        self._journal.write(
            {
                "phase": phase,
                "model": self.candidate.model,
                "candidate": self.candidate.version,
                "champion": self._champion,
                "percent": self._plan[number],
                "identity": self._identity,
                "started_at": self._started_at.isoformat(),
                "cursor": self._cursor,
                "began": self._began,
                "watched": self._watched,
                "total": self._total,
                "waited": self._waited,
                "approved": self._approved,
                "orders": self._orders,
                "ending": self._ending,
                "steps": [step.model_dump(mode="json") for step in self._steps],
                "marks": [mark.model_dump(mode="json") for mark in self.marks],
                "evidence": self._evidence.state(),
                "at": now().isoformat(),
            }
        )
