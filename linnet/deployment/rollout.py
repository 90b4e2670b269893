"""Walks a candidate through the canary steps under the judge, and always leaves traffic in safe hands.

Whatever happens, a rollout ends in one of two states: the candidate is the champion, or the old
champion has all of the traffic and the candidate is unloaded. A decision takes effect before it is
written down; an interruption (Ctrl-C, an error) first gives traffic back. After a kill, the next
rollout gives traffic back before it does anything else, and begins anew: the evidence of a period
that nobody watched to its end is not used.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from linnet.config import ReleaseConfig
from linnet.deployment.evidence import Evidence, Outcome
from linnet.deployment.judge import Reference, decide, judge
from linnet.deployment.traffic import LoadRefused, TrafficTarget
from linnet.errors import RolloutError
from linnet.files import write_text
from linnet.progress import Progress
from linnet.records import JudgeVerdict, MetricJudgement, RolloutDecision, StepDecision, now

SILENCE_SECONDS = 5.0
"""A server whose records cannot be read for this long ends the rollout."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is to be rolled out."""

    model: str
    version: str
    package: Path


@dataclass(slots=True)
class Look:
    """What the judge saw at one moment: for the plot."""

    seconds: float
    percent: int
    judgements: tuple[MetricJudgement, ...]


@dataclass(slots=True)
class Rollout:
    """One rollout; `run` carries it out."""

    target: TrafficTarget
    candidate: Candidate
    config: ReleaseConfig
    outcomes: Callable[[], list[Outcome]]
    """What the sender of the traffic saw since the last call; empty if nobody knows."""
    state_file: Path
    """Says that a rollout is under way, and survives a kill; one rollout at a time holds it."""
    reference: Reference | None = None
    """Absolute limits; needed if there is no champion."""
    progress: Progress | None = None
    looks: list[Look] = field(default_factory=list)
    _evidence: Evidence = field(init=False)
    _champion: str | None = field(init=False, default=None)
    _started: float = field(init=False, default=0.0)
    _cursor: int = field(init=False, default=0)
    _heard: float = field(init=False, default=0.0)

    def run(self) -> RolloutDecision:
        """Carries the rollout to its end.

        Raises:
            RolloutError: another one is under way, or the server does not answer at the start.
        """
        with _sole(self.state_file):
            interrupted = self._recover()
            started_at = now()
            try:
                self._save("running")
                verdict, reason, steps = self._carry_out()
                if verdict == "promote":
                    verdict, reason = self._promote(reason)
                if verdict != "promote":
                    reason += self._give_back()
            except BaseException:
                self._give_back()
                self._save("interrupted")
                raise
            self._save(verdict)
        return self._decision(verdict, interrupted + reason, steps, started_at)

    def _recover(self) -> str:
        """Gives traffic to the champion, whatever an earlier rollout left behind."""
        state = _read(self.state_file)
        self._champion = self.target.champion()
        if self._champion == self.candidate.version:
            raise RolloutError(f"version {self._champion} already is the champion of {self.candidate.model}")
        if self._champion is None and self.reference is None:
            raise RolloutError("there is no champion, and no absolute limits to judge the candidate by")
        self._evidence = Evidence(self._champion, self.candidate.version)
        if self._champion is not None:
            self.target.route(None, 0, 0.0)
        if state.get("phase") not in ("running", "interrupted"):
            return ""
        if state["candidate"] not in (self._champion, self.candidate.version):
            self.target.unload(state["candidate"])
        where = f"at {state['percent']} % with version {state['candidate']}"
        return f"begun anew after an interruption {where}; "

    def _carry_out(self) -> tuple[JudgeVerdict, str, list[StepDecision]]:
        try:
            self.target.load(self.candidate.version, self.candidate.package)
        except LoadRefused as error:
            return "rollback", f"the candidate cannot be loaded: {error}", []
        self._cursor, _ = self.target.records(-1)
        self._started = self._heard = time.monotonic()
        self.outcomes()  # what was sent before belongs to nobody
        plan = self.config.steps if self._champion is not None else (100,)
        steps: list[StepDecision] = []
        for number, percent in enumerate(plan):
            last = number == len(plan) - 1
            proof = last or plan[number + 1] == 100
            if self.progress is not None:
                self.progress(f"canary at {percent} %", number, len(plan))
            try:
                self.target.route(self.candidate.version, percent, self._mirror())
            except RolloutError as error:
                return "inconclusive", f"traffic cannot be set to {percent} %: {error}", steps
            self._save("running", percent)
            steps.append(self._step(percent, proof=proof, last=last))
            if steps[-1].verdict != "proceed":
                break
        return steps[-1].verdict, steps[-1].reason, steps

    def _mirror(self) -> float:
        return self.config.mirror if self._champion is not None else 0.0

    def _step(self, percent: int, *, proof: bool, last: bool) -> StepDecision:
        """Holds one step until the judge has decided it."""
        began = time.monotonic()
        champion, candidate = self._evidence.champion.seen, self._evidence.candidate.seen
        reference = self.reference if self._champion is None else None
        while True:
            time.sleep(self.config.look_seconds)
            heard = self._listen()
            seconds = time.monotonic() - began
            requests = self._evidence.candidate.seen - candidate
            judgements = judge(self._evidence, self.config, reference)
            self.looks.append(Look(time.monotonic() - self._started, percent, judgements))
            verdict, reason = decide(
                judgements, self.config, seconds=seconds, requests=requests, proof=proof, last=last
            )
            if not heard and verdict in ("proceed", "promote"):
                verdict = None  # what was proven may have ended with the silence
            silent = time.monotonic() - self._heard
            if verdict != "rollback" and silent > min(SILENCE_SECONDS, self.config.deadline_seconds):
                verdict, reason = "inconclusive", f"the server's records could not be read for {silent:.0f} s"
            if verdict is not None:
                return StepDecision(
                    percent=percent,
                    seconds=round(seconds, 3),
                    champion_requests=self._evidence.champion.seen - champion,
                    candidate_requests=requests,
                    verdict=verdict,
                    judgements=judgements,
                    reason=reason,
                )

    def _listen(self) -> bool:
        """Takes in what happened since the last look; False if the server kept silent."""
        self._evidence.add_outcomes(self.outcomes())
        try:
            self._cursor, records = self.target.records(self._cursor)
        except RolloutError:
            return False
        self._evidence.add(records)
        self._heard = time.monotonic()
        return True

    def _promote(self, reason: str) -> tuple[JudgeVerdict, str]:
        """Makes the verdict true on the server; what cannot be made true is not a promotion."""
        try:
            self.target.promote(self.candidate.version)
        except RolloutError as error:
            return "inconclusive", f"the candidate proved itself, but could not be promoted: {error}"
        return "promote", reason

    def _give_back(self) -> str:
        """All traffic to the champion, the candidate away; returns the trouble, if there was any."""
        try:
            if self._champion is not None:
                self.target.route(None, 0, 0.0)
                self.target.unload(self.candidate.version)
        except RolloutError as error:
            return f"; traffic could not be given back, as the server does not answer ({error})"
        return ""

    def _save(self, phase: str, percent: int = 0) -> None:
        state = {
            "phase": phase,
            "model": self.candidate.model,
            "candidate": self.candidate.version,
            "champion": self._champion,
            "percent": percent,
            "at": now().isoformat(),
        }
        write_text(self.state_file, json.dumps(state, indent=1) + "\n")

    def _decision(
        self, verdict: JudgeVerdict, reason: str, steps: list[StepDecision], started_at: datetime
    ) -> RolloutDecision:
        return RolloutDecision(
            model=self.candidate.model,
            version=self.candidate.version,
            champion=self._champion,
            verdict=verdict,
            steps=tuple(steps),
            reason=reason,
            started_at=started_at,
            ended_at=now(),
        )


@contextmanager
def _sole(state_file: Path) -> Iterator[None]:
    """Holds the lock beside the state file; the system frees it if the process dies."""
    state_file.parent.mkdir(parents=True, exist_ok=True)
    with state_file.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RolloutError(
                f"another rollout is under way ({state_file}): wait for its end, or stop that process"
            ) from error
        yield


def _read(state_file: Path) -> dict[str, Any]:
    try:
        state = json.loads(state_file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) and "candidate" in state and "percent" in state else {}
