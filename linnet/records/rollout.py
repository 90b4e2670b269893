"""Records of a release: what was served, and what the judge made of it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from linnet.records.model import Gate
from linnet.records.record import JudgeVerdict, Record


class ServedRecord(Record):
    """One answered request, as a judge sees it."""

    at: float
    """Seconds since the epoch."""
    model: str = ""
    """Empty: by a server of an older Linnet, which had one."""
    version: str
    ok: bool
    latency_ms: float
    predicted: str | None
    confidence: float | None
    agrees: float | None
    """How far the other version's answer to the same image agrees, 0 to 1; None if not mirrored."""
    segments: dict[str, str] = {}
    """Which groups of users it comes from, as its sender says."""
    shadow: bool = False
    """Whether the answer went to nobody: the request was mirrored to this version to compare."""


class MetricJudgement(Record):
    """What the judge thinks of one metric at one look."""

    metric: str
    champion: float
    candidate: float
    low: float
    high: float
    """Anytime-valid bounds on the difference or ratio, candidate against champion."""
    margin: float
    verdict: Literal["good", "bad", "unknown"]
    evidence: str


class StepDecision(Record):
    """The end of one canary step."""

    percent: int
    seconds: float
    champion_requests: int
    candidate_requests: int
    verdict: JudgeVerdict
    judgements: tuple[MetricJudgement, ...]
    reason: str


class JudgeSnapshot(Record):
    """What the judge saw at one moment: for the plot."""

    seconds: float
    """Of watching, since the rollout began."""
    percent: int
    judgements: tuple[MetricJudgement, ...]


class RolloutMark(Record):
    """Something that happened in a rollout: a step began, a person gave an order, it was resumed."""

    seconds: float
    what: str
    by: str = ""
    reason: str = ""


class RolloutDecision(Record):
    """How a release ended: `rollout.json`."""

    model: str
    version: str
    champion: str | None
    verdict: JudgeVerdict
    steps: tuple[StepDecision, ...]
    reason: str
    started_at: datetime
    ended_at: datetime
    marks: tuple[RolloutMark, ...] = ()
    gates: tuple[Gate, ...] = ()
    """The gates against the champion, where they were judged again as another was champion by then."""


class BakeReport(Record):
    """How a champion does since its canary promoted it, against the last one: `bake/MODEL.json`."""

    model: str
    version: str
    last: str
    """The champion before it, which a rollback goes back to."""
    promoted_at: datetime
    ends_at: datetime
    """What is served before this moment is judged."""
    labels_until: datetime
    """Labels that come later do not count."""
    at: datetime
    """When the judge looked last."""
    verdict: Literal["baking", "kept", "rollback", "superseded"]
    """`rollback`: proven worse; `superseded`: somebody moved the champion meanwhile."""
    reason: str
    problem: str = ""
    """Why a champion that is proven worse could not be rolled back yet."""
    images: int = 0
    labelled: int = 0
    same_images: int = 0
    """Labelled images that the last champion was asked about too."""
    notes: tuple[str, ...] = ()
    """What is not in these figures, and why."""
    judgements: tuple[MetricJudgement, ...] = ()
