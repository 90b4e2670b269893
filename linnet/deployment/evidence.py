"""What is seen of champion and candidate during a rollout, summed up as it comes in.

A summary has a fixed size, whatever the traffic, and can be written down and read again (`state`,
`restore`), so that a rollout outlives its process. Its arrays may have a leading shape, so that a
simulation runs many rollouts at once through the same code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite, nan
from typing import Any

import numpy as np

from linnet.config import ReleaseConfig
from linnet.deployment.latency import BLOCK, Floats, Histogram, TailTest
from linnet.deployment.sequential import MeanEvidence
from linnet.records import ServedRecord

QUANTILES = {"median": 0.5, "p95": 0.95, "p99": 0.99}
_MOST_CLASSES = 1000
"""Classes that are told apart; further ones count as one."""


@dataclass(frozen=True, slots=True)
class LabeledOutcome:
    """What the sender of one labelled request saw. `version` and `correct` are None if no answer came."""

    version: str | None
    correct: float | None
    """The answer's score in [0, 1]: a coin's e-values hold for it, since it spreads no more than a coin."""


@dataclass(slots=True)
class VersionEvidence:
    """What is known of one version. All numbers are arrays of the shape of the evidence."""

    shape: tuple[int, ...] = ()
    seen: Any = 0
    """Requests it computed: answered ones, and those mirrored to it."""
    requests: Any = 0
    """Of those, the ones whose success or failure is known."""
    failed: Any = 0
    answers: Any = 0
    """Requests with an answer, whatever it is."""
    invalid: Any = 0
    """Of those, the ones without a prediction, or with a confidence that is no probability."""
    answered: Any = 0
    """Labelled requests it answered."""
    correct: Any = 0
    classes: Any = None
    """Valid predictions by class; shape + classes."""
    confidence: MeanEvidence = field(init=False)
    latencies: Histogram = field(init=False)
    """Of successful live requests."""

    def __post_init__(self) -> None:
        self.confidence = MeanEvidence.empty(self.shape)
        self.latencies = Histogram.empty(self.shape)
        if self.classes is None:
            self.classes = np.zeros((*self.shape, 0))


@dataclass(slots=True)
class GroupCounts:
    """Requests of one group of users, and those of them that failed, of the candidate and of the champion."""

    requests: int = 0
    failed: int = 0
    champion_requests: int = 0
    champion_failed: int = 0

    def add(self, *, candidate: bool, failed: bool) -> None:
        """Counts a request."""
        if candidate:
            self.requests += 1
            self.failed += failed
        else:
            self.champion_requests += 1
            self.champion_failed += failed


_NUMBERS = ("seen", "requests", "failed", "answers", "invalid", "answered")
_MEANS = ("n", "total", "squares", "weights", "weighted", "spent")


class RolloutEvidence:
    """Everything seen since the rollout began; it grows over all steps and is never reset."""

    def __init__(
        self,
        champion: str | None,
        candidate: str,
        config: ReleaseConfig,
        shape: tuple[int, ...] = (),
        *,
        band: bool = True,
    ) -> None:
        assert champion != candidate
        self._champion, self._candidate = champion, candidate
        self.champion, self.candidate = VersionEvidence(shape), VersionEvidence(shape)
        self.unanswered: Any = 0
        self.mirrored: Any = 0
        self.agreed: Any = 0
        self.groups: dict[str, GroupCounts] = {}
        """By `segment=value`, as requests say whom they come from."""
        self.names: list[str] = []
        self._places: dict[str, int] = {}
        floors = {"median": config.median_floor_ms}
        self.tails = {
            name: TailTest.start(
                quantile, config.max_latency_ratio, floors.get(name, config.latency_floor_ms), shape, band
            )
            for name, quantile in QUANTILES.items()
        }

    def add(self, records: Sequence[ServedRecord]) -> None:
        """Takes in what the server wrote, in its order; records of other versions are ignored."""
        known = [record for record in records if record.version in (self._champion, self._candidate)]
        for start in range(0, len(known), BLOCK):
            block = known[start : start + BLOCK]
            latencies = [self._count(block, of) for of in (self._champion, self._candidate)]
            self.add_latencies(*(np.asarray(values, float) for values in latencies))
        pairs = [r for r in known if r.agrees is not None and not r.shadow]  # a pair counts once
        self.mirrored += len(pairs)
        self.agreed += sum(record.agrees or 0.0 for record in pairs)
        for record in pairs:
            other = self.champion if record.version == self._candidate else self.candidate
            other.seen += 1

    def add_latencies(self, champion: Floats, candidate: Floats) -> None:
        """Takes in a block of latencies in ms, shape x values, NaN where there is none."""
        for tail in self.tails.values():
            tail.add(champion, candidate, self.champion.latencies)
        self.champion.latencies.add(champion)
        self.candidate.latencies.add(candidate)

    def class_counts(self) -> tuple[Floats, Floats]:
        """Valid predictions by class, the candidate's and the champion's; shape + classes."""
        ours, theirs = self.candidate.classes, self.champion.classes
        wide = max(ours.shape[-1], theirs.shape[-1])
        widened = []
        for counts in (ours, theirs):
            missing = np.zeros((*counts.shape[:-1], wide - counts.shape[-1]))
            widened.append(np.concatenate([counts, missing], axis=-1))
        return widened[0], widened[1]

    def add_outcomes(self, outcomes: Iterable[LabeledOutcome]) -> None:
        """Takes in what the sender of the traffic saw."""
        for outcome in outcomes:
            if outcome.version is None:
                self.unanswered += 1
                continue
            side = self.candidate if outcome.version == self._candidate else self.champion
            if outcome.correct is not None and outcome.version in (self._candidate, self._champion):
                side.answered += 1
                side.correct += outcome.correct

    def state(self) -> dict[str, Any]:
        """What a restart needs, as JSON values."""
        sides = {}
        for name, side in (("champion", self.champion), ("candidate", self.candidate)):
            filled = np.flatnonzero(side.latencies.counts)
            sides[name] = {
                **{key: int(getattr(side, key)) for key in _NUMBERS},
                "correct": float(side.correct),
                "classes": side.classes.tolist(),
                "confidence": {key: float(getattr(side.confidence, key)) for key in _MEANS},
                "latencies": [[int(place), int(side.latencies.counts[place])] for place in filled],
            }
        tails = {name: tail.state() for name, tail in self.tails.items()}
        counts: dict[str, Any] = {key: int(getattr(self, key)) for key in ("unanswered", "mirrored")}
        counts["groups"] = {name: asdict(group) for name, group in self.groups.items()}
        return {**counts, "agreed": float(self.agreed), "names": self.names, "tails": tails, **sides}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what `state` gave.

        Raises:
            ValueError: it is not what `state` gives (KeyError and TypeError are turned into it).
        """
        try:
            for key in ("unanswered", "mirrored"):
                setattr(self, key, int(state[key]))
            self.agreed = float(state["agreed"])
            groups = state.get("groups", {})  # a rollout that an older Linnet began has none
            self.groups = {str(name): GroupCounts(**group) for name, group in groups.items()}
            self.names = [str(name) for name in state["names"]]
            self._places = {name: place for place, name in enumerate(self.names)}
            for name, tail in self.tails.items():
                tail.restore(state["tails"][name])
            for name, side in (("champion", self.champion), ("candidate", self.candidate)):
                values = state[name]
                for key in _NUMBERS:
                    setattr(side, key, int(values[key]))
                side.correct = float(values["correct"])
                for key in _MEANS:
                    setattr(side.confidence, key, np.asarray(float(values["confidence"][key])))
                side.classes = np.asarray(values["classes"], float)
                for place, count in values["latencies"]:
                    side.latencies.counts[place] = count
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not the evidence of a rollout: {json.dumps(str(error))}") from error

    def _count(self, block: list[ServedRecord], version: str | None) -> list[float]:
        """Counts one version's records of a block; returns the latencies that may be compared."""
        side = self.candidate if version == self._candidate else self.champion
        latencies, confidences = [], []
        for record in block:
            if record.version != version:
                continue
            side.seen += not record.shadow  # a mirrored one was counted with the answer it is a copy of
            side.requests += 1
            ok = record.ok and isfinite(record.latency_ms)
            side.failed += not ok
            for name, value in record.segments.items():
                group = self.groups.setdefault(f"{name}={value}", GroupCounts())
                group.add(candidate=version == self._candidate, failed=not ok)
            if not ok:
                continue
            side.answers += 1
            valid = record.predicted is not None and _is_probability(record.confidence)
            side.invalid += not valid
            if not record.shadow:
                latencies.append(record.latency_ms)
            if valid:
                self._predicted(side, record.predicted or "")
                if record.confidence is not None:
                    confidences.append(record.confidence)
        if confidences:
            values = np.asarray(confidences)
            side.confidence.add(len(values), values.sum(), (values**2).sum())
        return latencies

    def _predicted(self, side: VersionEvidence, name: str) -> None:
        place = self._places.get(name)
        if place is None:
            if len(self.names) >= _MOST_CLASSES:
                name = self.names[-1]
                place = self._places[name]
            else:
                place = self._places[name] = len(self.names)
                self.names.append(name)
        if place >= len(side.classes):
            side.classes = np.concatenate([side.classes, np.zeros(place + 1 - len(side.classes))])
        side.classes[place] += 1


def _is_probability(value: float | None) -> bool:
    return value is None or 0.0 <= value <= 1.0 + 1e-6


def share(part: Any, whole: Any) -> float:
    """part / whole; NaN if there is nothing."""
    return float(part) / float(whole) if whole else nan
