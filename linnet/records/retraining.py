"""Records of retraining: what the policy looks at, what it decides, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from linnet.records.record import Interval, Record
from linnet.records.run import RunRequest

RetrainingCause = Literal["drift", "labels", "staleness", "schedule"]
RetrainingSource = Literal["monitoring", "alert", "person", "labels"]


class WindowFinding(Record):
    """One monitored window, as the policy sees it."""

    start: datetime
    end: datetime
    version: str
    """Champion that served it."""
    violates: bool
    """Drift was found in it, beyond chance and large enough to matter."""
    rollout: bool = False
    """A rollout of ours was under way during the window: what moved may be our own doing."""
    reasons: tuple[str, ...] = ()
    accuracy: Interval | None = None
    """Measured on labelled feedback; None without labels."""
    labelled: int = 0
    loss: Interval | None = None
    """Reference accuracy minus accuracy, measured or estimated; None where neither holds."""


class RetrainingEvidence(Record):
    """What is known when the policy is asked."""

    model: str
    champion: str | None
    """Version that serves; None: there is none yet."""
    trained_until: datetime | None
    """Capture time of the newest sample the champion was trained on, or else when it was registered."""
    windows: tuple[WindowFinding, ...]
    """Oldest first."""
    thin_windows: int = 0
    """Windows with too few images for a verdict; they are not among `windows`."""
    unread_windows: int = 0
    """Windows whose records cannot be read; neither are they."""
    new_labels: int
    """Labelled production images that the champion was not trained on."""
    label_notes: tuple[str, ...] = ()
    """Labels beside these that cannot be trained on, counted by reason, and files that could not be read."""
    rollout_active: bool = False
    training: str = ""
    """The training run of the model that is under way, whoever asked for it; empty: none is."""
    recent_loss: Interval | None = None
    """Reference accuracy minus that on all images served since drift began whose label came, also by people
    who were asked about images drawn by chance; None: too few came."""
    recent_labelled: int = 0
    """How many these are."""
    open_questions: int = 0
    """Questions that people were asked and did not answer yet."""
    rolled_back: datetime | None = None
    """When a champion was last rolled back by itself after its promotion."""
    facts: dict[str, Any] = {}
    """Whatever else a person wants to see in the run's record, such as the drift report's path."""


class Condition(Record):
    """One condition of a decision, and what was found."""

    name: str
    met: bool
    detail: str


class RetrainingDecision(Record):
    """Whether a run is asked for, and every reason."""

    at: datetime
    model: str
    source: RetrainingSource
    request: bool
    cause: RetrainingCause | None
    reason: str
    """One sentence."""
    ask_labels: int = 0
    """So many images people are asked about now, as labels are missing; 0: nobody is asked."""
    conditions: tuple[Condition, ...]


class RetrainingEntry(Record):
    """One line of the retraining ledger."""

    at: datetime
    model: str
    kind: Literal[
        "decision", "asked", "labels-asked", "not-submitted", "submitted", "ended", "outcome", "breaker-reset"
    ]
    """`asked`: a training run; `labels-asked`: a labelling round."""
    actor: str
    key: str = ""
    """Names one asked-for run through all of its lines."""
    decision: RetrainingDecision | None = None
    request: RunRequest | None = None
    """asked: what the run is to be told; None in the lines of an older Linnet."""
    config: dict[str, Any] = {}
    """asked: the config to train with, whoever submits the run."""
    before: Interval | None = None
    """asked, outcome: accuracy of the champion on the drifted window; None: nobody knows."""
    run_id: str = ""
    state: Literal["", "succeeded", "failed", "rejected", "interrupted", "lost"] = ""
    """ended: how; rejected: a gate or the canary said no; lost: the run was never heard of."""
    version: str = ""
    """ended: the version that the run made champion."""
    cost: float | None = None
    after: Interval | None = None
    """outcome: accuracy of the new champion on the same kind of traffic."""
    helped: bool | None = None
    """outcome: None where the intervals overlap."""
    reason: str = ""
