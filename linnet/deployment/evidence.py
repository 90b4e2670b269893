"""What is seen of champion and candidate during a rollout, summed up as it comes in."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite

from linnet.records import ServedRecord


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the sender of one labelled request saw. `version` and `correct` are None if no answer came."""

    version: str | None
    correct: bool | None


@dataclass(slots=True)
class Tally:
    """What is known of one version."""

    seen: int = 0
    """Requests it computed: answered ones, and those mirrored to it."""
    requests: int = 0
    """Of those, the ones whose success or failure is known."""
    failed: int = 0
    answered: int = 0
    """Labelled requests it answered."""
    correct: int = 0
    latencies: list[float] = field(default_factory=list)
    """Of successful live requests, sorted, in milliseconds."""


class Evidence:
    """Everything seen since the rollout began; it grows over all steps and is never reset."""

    def __init__(self, champion: str | None, candidate: str) -> None:
        assert champion != candidate
        self._champion, self._candidate = champion, candidate
        self.champion, self.candidate = Tally(), Tally()
        self.unanswered = 0
        self.mirrored = self.agreed = 0

    def add(self, records: Iterable[ServedRecord]) -> None:
        """Takes in what the server wrote; records of other versions are ignored."""
        for record in records:
            if record.version == self._candidate:
                tally, other = self.candidate, self.champion
            elif record.version == self._champion:
                tally, other = self.champion, self.candidate
            else:
                continue
            _count(tally, record)
            if record.agrees is not None and not record.shadow:  # a pair counts once
                other.seen += 1
                self.mirrored += 1
                self.agreed += record.agrees

    def add_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Takes in what the sender of the traffic saw."""
        for outcome in outcomes:
            if outcome.version is None:
                self.unanswered += 1
                continue
            tally = self.candidate if outcome.version == self._candidate else self.champion
            if outcome.correct is not None and outcome.version in (self._candidate, self._champion):
                tally.answered += 1
                tally.correct += outcome.correct


def _count(tally: Tally, record: ServedRecord) -> None:
    confident = record.confidence is None or isfinite(record.confidence)
    valid = record.ok and record.predicted is not None and confident and isfinite(record.latency_ms)
    tally.seen += not record.shadow  # a mirrored one was counted with the answer it is a copy of
    tally.requests += 1
    tally.failed += not valid
    if valid and not record.shadow:
        insort(tally.latencies, record.latency_ms)
