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
from functools import partial
from pathlib import Path
from typing import Any

from linnet.config import ReleaseConfig
from linnet.deployment.evidence import LabeledOutcome, RolloutEvidence
from linnet.deployment.first_release import FirstReleaseBaseline
from linnet.deployment.journal import UNDER_WAY, Journal
from linnet.deployment.judge import judge, rollout_verdict
from linnet.deployment.rollout_state import Ending, RolloutState
from linnet.deployment.traffic import LoadRefused, TrafficTarget
from linnet.errors import LinnetError, RolloutError
from linnet.progress import Progress
from linnet.records import JudgeSnapshot, JudgeVerdict, RolloutDecision, StepDecision, now

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
    _journal: Journal = field(init=False)
    _evidence: RolloutEvidence = field(init=False)
    _champion: str | None = field(init=False, default=None)
    _state: RolloutState = field(init=False, default_factory=RolloutState)
    _heard: float = field(init=False, default=0.0)
    _lost: bool = field(init=False, default=False)
    """The server gave the candidate's share back: nobody had looked after it for too long."""
    _identity: str = field(init=False, default="")
    _unjudged: int = field(init=False, default=0)
    """Answered requests that were told to be lost to the judge."""
    _unread: int = field(init=False, default=0)
    """Orders that could not be read; each is told once."""

    def run(self) -> RolloutDecision:
        """Carries the rollout to its end.

        Raises:
            RolloutError: another one is under way, or the server does not answer at the start.
        """
        self._journal = Journal(self.state_file)
        with self._journal.held():
            interrupted = self._recover()
            try:
                if self._state.ending is None:
                    self._state.ending = self._carry_out()
                verdict, reason = self._take_effect(*self._state.ending)
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
            steps=tuple(self._state.steps),
            reason=reason,
            started_at=self._state.started_at,
            ended_at=now(),
            marks=tuple(self._state.marks),
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
            self._state.mark("taken up after a kill")
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
            self._state = RolloutState.restored(state)
        except (KeyError, TypeError, ValueError):
            self._evidence = RolloutEvidence(self._champion, self.candidate.version, self.config)
            return False
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
        if not self._state.cursor:
            self._state.cursor, _ = self.target.records(-1)
        self._heard = time.monotonic()
        self.outcomes()  # what was sent before belongs to nobody
        while True:
            number = len(self._state.steps)
            percent = self._plan[number]
            if self.progress is not None:
                self.progress(f"canary at {percent} %", number, len(self._plan))
            self._save(self._state.phase)
            try:
                mirror = self.config.shadow_fraction if self._champion is not None else 0.0
                self.target.route(self.candidate.version, percent, mirror)
            except RolloutError as error:
                return "inconclusive", f"traffic cannot be set to {percent} %: {error}"
            step = self._step(number)
            self._state.steps.append(step)
            if step.verdict != "proceed":
                return step.verdict, step.reason
            self._state.begin_step(int(self._evidence.champion.seen), int(self._evidence.candidate.seen))
            self._state.mark(f"{self._plan[number + 1]} %")

    def _step(self, number: int) -> StepDecision:
        """Holds one step until the judge, or a person, has decided it."""
        percent, last = self._plan[number], number == len(self._plan) - 1
        proof = last or self._plan[number + 1] == 100
        reference = self.reference if self._champion is None else None
        before = time.monotonic()
        while True:
            time.sleep(self.config.check_interval_seconds)
            heard, aborted = self._read_records(), self._apply_commands()
            passed, before = time.monotonic() - before, time.monotonic()
            self._state.advance(passed)
            requests, phase = int(self._evidence.candidate.seen) - self._state.began[1], self._state.phase
            due = not self.looks or self._state.total - self.looks[-1].seconds >= KEEP_SECONDS
            for verdict_only in (False,) if due else (True, False):
                judgements = judge(self._evidence, self.config, reference, verdict_only=verdict_only)
                verdict, reason = rollout_verdict(
                    judgements,
                    self.config,
                    seconds=self._state.watched,
                    requests=requests,
                    proof=proof,
                    last=last,
                )
                verdict, reason = self._hold(verdict, reason, number, heard=heard)
                if aborted is not None:
                    verdict, reason = "rollback", aborted
                if verdict_only and verdict is None and phase == self._state.phase:
                    break
            else:
                self._keep(JudgeSnapshot(seconds=self._state.total, percent=percent, judgements=judgements))
            if verdict is not None:
                return StepDecision(
                    percent=percent,
                    seconds=round(self._state.watched, 3),
                    champion_requests=int(self._evidence.champion.seen) - self._state.began[0],
                    candidate_requests=requests,
                    verdict=verdict,
                    judgements=judgements,
                    reason=reason,
                )

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
        if self._state.phase == "paused":
            return self._timeout("it was paused", None, reason)
        onward = verdict in ("proceed", "promote")
        if onward and not self._state.approved and self._needs_approval(number):
            if self._state.phase != "waiting":
                self._state.phase = "waiting"
                self._state.mark("waits for approval")
            return self._timeout("nobody approved", None, reason)
        self._state.phase = "running"
        return verdict, reason

    def _timeout(
        self, what: str, verdict: JudgeVerdict | None, reason: str
    ) -> tuple[JudgeVerdict | None, str]:
        if self._state.waited <= self.config.approval_seconds:
            return verdict, reason
        return "inconclusive", f"{what} for {self._state.waited:.0f} s"

    def _needs_approval(self, number: int) -> bool:
        if self.config.approval == "none":
            return False
        if number == len(self._plan) - 1:
            return len(self._plan) == 1
        return self.config.approval == "steps" or self._plan[number + 1] == 100

    def _apply_commands(self) -> str | None:
        """Carries out new orders; returns why the rollout is to end, if it is."""
        state = self._state
        if (unread := self._journal.unread_orders()) > self._unread:
            self._unread = unread
            state.mark("an order cannot be read, and is not carried out")
        return state.apply(self._journal.orders(state.started_at.isoformat(), state.orders))

    def _read_records(self) -> bool:
        """Takes in what happened since the last look; False if the server kept silent."""
        self._evidence.add_outcomes(self.outcomes())
        try:
            self._state.cursor, records = self.target.records(self._state.cursor)
        except RolloutError:
            return False
        self._evidence.add(records)
        if (lost := self.target.lost - self._unjudged) > 0:
            self._unjudged += lost
            self._state.mark(
                f"{lost:,} answered requests were not judged: the server's records of them were gone"
            )
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
        self._state.ending = (verdict, reason)
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
                self._state.ending = (verdict, reason)
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
        self._save(self._state.phase)

    def _save(self, phase: str) -> None:
        number = min(len(self._state.steps), len(self._plan) - 1)
        self._journal.write(
            {
                "phase": phase,
                "model": self.candidate.model,
                "candidate": self.candidate.version,
                "champion": self._champion,
                "percent": self._plan[number],
                "identity": self._identity,
                **self._state.saved(),
                "evidence": self._evidence.state(),
                "at": now().isoformat(),
            }
        )
