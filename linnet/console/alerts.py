"""What would be alerted about, judged from the records that are here: a pure function, with runbooks.

The same conditions as the Prometheus rules of `linnet alerts generate` (`monitoring.rules`), for who has no
Prometheus; those that only a server's metrics know, such as dropped log lines, are not judged here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from linnet.config import RetrainingConfig, ServiceLevelsConfig
from linnet.console.slo import SloStatus
from linnet.console.sources import Canary, ServerStatus
from linnet.records import DriftReport, ModelVersion, PerformanceReport, SkewReport


@dataclass(frozen=True)
class Alert:
    """One thing that is watched."""

    name: str
    firing: bool
    severity: Literal["page", "ticket"]
    summary: str
    runbook: str
    """Its page's name."""


@dataclass(frozen=True)
class ProductionState:
    """What is known of a model's production."""

    at: datetime
    champion: ModelVersion | None
    served: ServerStatus
    promises: tuple[SloStatus, ...] = ()
    drift: DriftReport | None = None
    """Of the newest monitored window."""
    performance: PerformanceReport | None = None
    skew: SkewReport | None = None
    failures: int = 0
    """Retraining runs in a row that failed."""
    canary: Canary | None = None


def alerts(known: ProductionState, levels: ServiceLevelsConfig, retraining: RetrainingConfig) -> list[Alert]:
    """All that is watched, what fires first."""
    found = [
        *_serving(known, levels), *_model(known, levels),
        Alert(
            "Retraining breaker", known.failures >= retraining.breaker_failures, "ticket",
            f"{known.failures} retraining runs in a row failed; it stops at {retraining.breaker_failures}",
            "retraining",
        ),
    ]  # fmt: skip
    return sorted(found, key=lambda alert: (not alert.firing, alert.severity))


def _serving(known: ProductionState, levels: ServiceLevelsConfig) -> Iterator[Alert]:
    served, champion = known.served, known.champion
    down = champion is not None and bool(served.problem)
    yield Alert("Server", down, "page", served.problem or "it answers", "down")
    other = bool(champion and not served.problem and served.champion != champion.version)
    words = (
        f"the server answers with version {served.champion or 'none'}" if not served.problem else "no server"
    )
    yield Alert("Champion is served", other, "page", words, "not-serving")
    for promise in known.promises:
        severity = promise.burning(levels.min_failures)
        worst = max(promise.burns.items(), key=lambda item: item[1])
        words = (
            f"burns at most {worst[1]:.1f} times too fast (over {worst[0]})"
            if promise.total
            else "no requests yet"
        )
        kind: Literal["page", "ticket"] = "page" if severity != "ticket" else "ticket"
        yield Alert(promise.title, bool(severity), kind, words, promise.name)
    canary = known.canary
    stuck = canary is not None and (not canary.alive or canary.seconds > 60 * levels.rollout_minutes)
    words = (
        "none is under way"
        if canary is None
        else f"version {canary.version}, {canary.percent} % of the traffic"
    )
    yield Alert("Rollout is stuck", stuck, "ticket", words, "rollout")


def _model(known: ProductionState, levels: ServiceLevelsConfig) -> Iterator[Alert]:
    drift, performance, skew, champion = known.drift, known.performance, known.skew, known.champion
    unseen = "no window was monitored yet"
    words = (
        unseen if drift is None else "; ".join(drift.reasons[:2]) or f"the newest window is {drift.verdict}"
    )
    yield Alert("Input drift", bool(drift and drift.verdict == "drift"), "ticket", words, "drift")
    accuracy = performance.accuracy if performance else None
    words = (
        "no labels came yet"
        if accuracy is None
        else f"{accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f}); {levels.cohort_accuracy:g} is asked"
    )
    yield Alert(
        "Live accuracy",
        bool(accuracy and accuracy.high < levels.cohort_accuracy),
        "ticket",
        words,
        "accuracy",
    )
    words = (
        "not audited yet" if skew is None else f"{skew.differences:,} served values differ from offline ones"
    )
    yield Alert("Skew", bool(skew and skew.differences), "ticket", words, "skew")
    if champion is not None:
        days = (known.at - champion.created_at).days
        words = f"registered {days} days ago; {levels.max_model_age_days:g} are allowed"
        yield Alert("Champion's age", days > levels.max_model_age_days, "ticket", words, "stale")
    hours = (known.at - drift.window.end).total_seconds() / 3600 if drift else 0.0
    words = unseen if drift is None else f"the newest window ended {hours:.0f} h ago"
    yield Alert("Monitoring's age", hours > levels.max_window_age_hours, "ticket", words, "stale")
