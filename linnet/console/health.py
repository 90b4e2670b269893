"""Is all well? Everything that is known of a model's production as one list, worst first. Pure.

What was not measured is `unknown`, which is neither well nor not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal

from linnet.console.production_status import REFUSED, Watched
from linnet.console.sources import Canary, ServerStatus
from linnet.labels.status import LabelStatus
from linnet.pages.numbers import percent
from linnet.records import RunRecord, now

Health = Literal["well", "unknown", "not well"]
LineState = Literal["well", "unknown", "not well", "info"]
"""`info`: a fact that is no verdict, such as labels that wait."""
_STATES: dict[str, Health] = {"firing": "not well", "unknown": "unknown", "ok": "well"}


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One thing that is known."""

    what: str
    state: LineState
    words: str
    runbook: str = ""
    """Its page's name, where there is something to do."""


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """A model's production at one moment."""

    model: str
    lines: tuple[StatusLine, ...]

    @property
    def state(self) -> Health:
        """`not well` if anything is; `unknown` if not all was measured."""
        return overall([line.state for line in self.lines])

    def values(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {"model": self.model, "state": self.state, "lines": [asdict(line) for line in self.lines]}


def overall(states: Sequence[LineState]) -> Health:
    """The worst of several states."""
    return "not well" if "not well" in states else "unknown" if "unknown" in states else "well"


def health(
    found: Watched,
    served: ServerStatus,
    canary: Canary | None,
    labels: LabelStatus | str | None,
    runs: Sequence[RunRecord],
) -> ModelHealth:
    """All lines of a model; `runs`: the model's, the newest first.

    `labels` None: nothing was ever asked; a text: why nothing is known of them.
    """
    facts = [
        _champion(found),
        _traffic(found, served, canary),
        *_levels(found),
        _labels(labels),
        _runs(runs),
        _policy(found),
        _refused(found),
        *(StatusLine("Left out, as it cannot be read", "unknown", why) for why in found.unread),
        *(StatusLine("A config is left out", "unknown", why) for why in found.broken_configs),
    ]
    watched = [
        StatusLine(alert.name, _STATES[alert.state], alert.summary, alert.runbook if alert.firing else "")
        for alert in found.alerts
    ]
    return ModelHealth(found.model, (*facts, *watched))


def _champion(found: Watched) -> StatusLine:
    champion = found.champion
    if champion is None:
        return StatusLine("Champion", "not well", "there is none yet: `linnet run CONFIG` makes one")
    days = (now() - champion.created_at).days
    accuracy = champion.metrics.get("accuracy")
    told = f", accuracy {accuracy:.4f} on its test images" if accuracy is not None else ""
    return StatusLine("Champion", "info", f"version {champion.version}, registered {days} days ago{told}")


def _traffic(found: Watched, served: ServerStatus, canary: Canary | None) -> StatusLine:
    hour = int((found.log.at > now().timestamp() - 3600).sum()) if found.log.requests else 0
    asked = f"{hour:,} requests were answered in the last hour"
    if canary is not None:
        alive = "" if canary.alive else "; its process is gone: `linnet rollout abort`"
        asked += f"; canary: version {canary.version} at {canary.percent} %, {canary.phase}{alive}"
    elif served.candidate:
        asked += f"; candidate {served.candidate} at {served.percent:g} %"
    return StatusLine("Traffic", "info", asked)


def _levels(found: Watched) -> Iterator[StatusLine]:
    for objective in found.objectives:
        kept = f"{percent(objective.kept, 3)} kept of {percent(objective.objective, 2)} promised in 30 days"
        left = f", {percent(objective.budget_left, 0)} of the error budget left"
        words = kept + left if objective.total else "no requests yet"
        spent = objective.budget_left is not None and objective.budget_left < 0
        yield StatusLine(f"{objective.title}, 30 days", "not well" if spent else "info", words)


def _labels(labels: LabelStatus | str | None) -> StatusLine:
    if isinstance(labels, str):
        return StatusLine("Labels", "unknown", labels)
    if labels is None:
        return StatusLine("Labels", "info", "nobody was asked yet")
    oldest = f", the oldest since {labels.oldest_open:%Y-%m-%d %H:%M} UTC" if labels.oldest_open else ""
    words = f"{labels.open:,} tasks wait for an answer{oldest}; {labels.queued:,} are not exported yet"
    return StatusLine("Labels", "info", words)


def _runs(runs: Sequence[RunRecord]) -> StatusLine:
    active = [run.run_id for run in runs if run.state == "running"]
    ended = next((run for run in runs if run.state != "running" and run.pipeline == "training"), None)
    words = f"under way: {', '.join(active)}" if active else "none is under way"
    if ended is not None:
        words += f"; the last training run {ended.state} ({ended.run_id})"
    return StatusLine("Runs", "info", words)


def _policy(found: Watched) -> StatusLine:
    policy = found.retraining
    if policy.problem:
        return StatusLine("Retraining policy", "unknown", policy.problem)
    if policy.newest is None:
        return StatusLine("Retraining policy", "info", "was not asked yet: `linnet retraining check` does")
    newest = policy.newest
    if newest.request:
        return StatusLine("Retraining policy", "info", f"asked for a run: {newest.reason}")
    waits = [f"{one.name}: {one.detail}" for one in newest.conditions if not one.met]
    return StatusLine(
        "Retraining policy", "info", f"no run; it waits for {'; '.join(waits) or newest.reason}"
    )


def _refused(found: Watched) -> StatusLine:
    recent = [one for one in found.refused if now() - one.at < timedelta(days=1)]
    reasons = ", ".join(sorted({one.reason for one in recent}))
    least = "at least " if len(recent) == REFUSED else ""  # older ones were not read
    words = (
        f"{least}{len(recent)} are kept of the last day ({reasons})"
        if recent
        else "none is kept of the last day"
    )
    return StatusLine("Refused requests", "info", words)
