"""Records of an incident: what was seen, and whether data, model or infrastructure is at fault."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from linnet.records.record import Interval, Record

Fault = Literal["data", "model", "infrastructure"]


class VersionTraffic(Record):
    """What one version did in a stretch of time, from the prediction log."""

    version: str
    answered: int
    failed: int
    latency_p95_ms: float


class Deploy(Record):
    """One move of the champion, from the promotion ledger."""

    at: datetime
    version: str
    previous: str | None
    action: str
    actor: str
    reason: str


class SuspectSample(Record):
    """One sample that is worth a person's look."""

    name: str
    """A request's id, or a sample's."""
    why: str


class Symptoms(Record):
    """What can be seen from outside, at one moment."""

    at: datetime
    model: str
    champion: str | None
    """As the registry says."""
    reachable: bool
    ready: bool
    serving: str | None = None
    """Champion as the server says; None: nothing is routed, or it does not answer."""
    refused: dict[int, int] = {}
    """Requests refused since the server started, by status."""
    refused_for: dict[str, int] = {}
    """The same by reason: type, size, pixels, decode, shape, key and others."""
    computed: int = 0
    """Requests that a version was chosen for since then."""
    memory_growth: str = ""
    """Which process of the server grew since it had settled, and how far; empty: none."""
    clock: str = ""
    """How far the server's clock is off; empty: it is not."""
    usual_requests: tuple[int, ...] = ()
    """How many requests came in the same minutes of the days before, where the log reaches as far."""
    queue: int = 0
    log_dropped: int = 0
    disk_free: float = 1.0
    """Share of the disk of the state folder that is free."""
    memory_free: float = 1.0
    """Share of memory that is available."""
    recent: tuple[VersionTraffic, ...] = ()
    """The last minutes."""
    before: tuple[VersionTraffic, ...] = ()
    """As long, before that, or longer: what was usual."""
    input_drift: tuple[str, ...] = ()
    """What the newest window that could be judged says of the inputs (features): a sentence per quantity
    that drifted. It is the one that is still open, where enough was asked in it."""
    output_drift: tuple[str, ...] = ()
    """The same of what the model made of them: classes, confidence, embeddings."""
    earlier_drift: tuple[str, ...] = ()
    """What drifted in the newest monitored window, where the one that is still open shows no more of it."""
    window_checked: bool = False
    """Whether a window with a verdict was found at all; else nothing is known of drift."""
    loss: Interval | None = None
    """Accuracy lost in the newest window; None: nobody can say."""
    falls: dict[str, float] = {}
    """How far accuracy is proven to lie below what it was, by cohort (`column=value`); 0: it is not."""
    drifted_cohorts: tuple[str, ...] = ()
    """Cohorts (`column=value`) whose inputs drifted in the newest window."""
    labels_stopped: str = ""
    """Why the newest window's labels are missing in earnest; empty: they are not."""
    labels_contradict: float = 0.0
    """Share of labels that contradict sure answers in nearly every class."""
    skew_by_store: int = 0
    """Of the differing values that are shown, those that the online store served."""
    skew_differences: int | None = None
    """Served values that the newest audit found to differ; None: never audited, or nothing was compared."""
    skew_libraries: tuple[str, ...] = ()
    """A sentence a library that served with another version than the package was proved with."""
    unwatched: str = ""
    """Why no window was ever judged, where that is known."""
    skew_uncompared: str = ""
    """Why the newest audit could compare nothing; empty: it could, or there was none."""
    deploys: tuple[Deploy, ...] = ()
    """Newest first."""
    samples: tuple[SuspectSample, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be seen, and why."""


class Finding(Record):
    """One thing that is not as it should be, and whose fault it speaks for."""

    fault: Fault
    weight: int
    """1 a hint, 2 likely, 3 enough by itself."""
    sentence: str


class Diagnosis(Record):
    """The answer: where to look first."""

    verdict: Fault | Literal["unknown", "sound"]
    """The fault; `unknown`: none was found, and not all was measured; `sound`: all was, and none found."""
    fault: Fault | None
    """None: nothing that was measured is wrong."""
    unknown: tuple[str, ...]
    """What was not measured, why, and how it is."""
    findings: tuple[Finding, ...]
    """The heaviest first."""
    deploys: tuple[Deploy, ...]
    """Those of the time looked at."""
    samples: tuple[SuspectSample, ...]
    remedy: str
