"""What would be alerted about, judged from the records that are here: a pure function, with runbooks.

The same conditions as the Prometheus rules of `linnet alerts generate` (`alerting.rules`), for who has no
Prometheus; those that only a server's metrics know, such as dropped log lines, are not judged here. What was
never measured is `unknown`, which is neither an alarm nor an all-clear.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from linnet.config import RetrainingConfig, ServiceLevelsConfig
from linnet.console.slo import SloStatus
from linnet.console.sources import Canary, ServerStatus
from linnet.deployment.bake_report import bake_sentence
from linnet.pages.names import first_few
from linnet.records import BakeReport, DriftReport, ModelVersion, PerformanceReport, SkewReport
from linnet.records.restarts import Restart

AlertState = Literal["firing", "ok", "unknown"]
_CRASH_LOOP = 4
"""Restarts in an hour beyond which somebody is woken."""


@dataclass(frozen=True)
class Alert:
    """One thing that is watched."""

    name: str
    state: AlertState
    severity: Literal["page", "ticket"]
    summary: str
    runbook: str
    """Its page's name."""

    @property
    def firing(self) -> bool:
        """Whether somebody has to do something."""
        return self.state == "firing"


@dataclass(frozen=True)
class ProductionState:
    """What is known of a model's production."""

    at: datetime
    champion: ModelVersion | None
    served: ServerStatus
    objectives: tuple[SloStatus, ...] = ()
    drift: DriftReport | None = None
    """Of the newest monitored window."""
    labelled: PerformanceReport | None = None
    """How well it did in the newest window that labels came for."""
    unwatched: str = ""
    """Why no window was ever judged, where that is known."""
    skew: SkewReport | None = None
    failures: int | None = 0
    """Retraining runs in a row that failed; None: the ledger cannot be read."""
    canary: Canary | None = None
    restarts: tuple[Restart, ...] = ()
    """Of this machine's engine, server and console; older ones do no harm."""
    bake: BakeReport | None = None
    """How the newest champion does since its canary."""


def alerts(known: ProductionState, levels: ServiceLevelsConfig, retraining: RetrainingConfig) -> list[Alert]:
    """All that is watched: what fires first, then what is unknown."""
    found = [
        *_serving(known, levels),
        *_restarted(known),
        *_rolled_back(known),
        *_model(known, levels),
        _breaker(known.failures, retraining),
    ]
    order = {"firing": 0, "unknown": 1, "ok": 2}
    return sorted(found, key=lambda alert: (order[alert.state], alert.severity))


def unmeasured(found: Sequence[Alert]) -> tuple[str, ...]:
    """Names of what nobody can say yet."""
    return tuple(alert.name for alert in found if alert.state == "unknown")


def _state(fires: bool | None) -> AlertState:
    """`fires` None: it was not measured."""
    return "unknown" if fires is None else "firing" if fires else "ok"


def _breaker(failures: int | None, config: RetrainingConfig) -> Alert:
    limit = config.breaker_failures
    words = (
        "the ledger of retraining cannot be read"
        if failures is None
        else f"{failures} retraining runs in a row failed; it stops at {limit}"
    )
    fires = None if failures is None else failures >= limit
    return Alert("Retraining breaker", _state(fires), "ticket", words, "retraining")


def _serving(known: ProductionState, levels: ServiceLevelsConfig) -> Iterator[Alert]:
    served, champion = known.served, known.champion
    nobody = "there is no champion yet"
    words = nobody if champion is None else served.problem or "it answers"
    yield Alert("Server", _state(None if champion is None else bool(served.problem)), "page", words, "down")
    asked = champion is not None and not served.problem
    other = served.champion != champion.version if champion is not None and asked else None
    words = f"the server answers with version {served.champion or 'none'}" if asked else "no server answers"
    yield Alert(
        "Champion is served", _state(other), "page", nobody if champion is None else words, "not-serving"
    )
    yield from (_objective(status, levels) for status in known.objectives)
    canary = known.canary
    stuck = canary is not None and (not canary.alive or canary.seconds > 60 * levels.rollout_minutes)
    words = (
        "none is under way"
        if canary is None
        else f"version {canary.version}, {canary.percent} % of the traffic"
    )
    yield Alert("Rollout is stuck", _state(stuck), "ticket", words, "rollout")


def _restarted(known: ProductionState) -> Iterator[Alert]:
    """Fires for an hour; nobody needs to be told that nothing was restarted."""
    recent = [one for one in known.restarts if known.at - one.at < timedelta(hours=1)]
    for part in dict.fromkeys(one.part for one in recent):
        mine = [one for one in recent if one.part == part]
        last = mine[-1]
        ended = f"it did not start: {last.problem}" if last.problem else "it runs again"
        words = f"{len(mine)} times in the last hour, last at {last.at:%H:%M:%S} UTC; {ended}"
        severity: Literal["page", "ticket"] = "page" if len(mine) > _CRASH_LOOP or last.problem else "ticket"
        yield Alert(f"The {part} was restarted", "firing", severity, words, "down")


def _rolled_back(known: ProductionState) -> Iterator[Alert]:
    """Fires for an hour, and as long as what is proven worse cannot be taken back."""
    report = known.bake
    if report is None:
        return
    recent = report.verdict == "rollback" and known.at - report.at < timedelta(hours=1)
    fires = recent or bool(report.problem)
    yield Alert("New champion", _state(fires), "page", bake_sentence(report), "rolled-back")


def _objective(status: SloStatus, levels: ServiceLevelsConfig) -> Alert:
    severity = status.burning(levels.min_failures)
    window, burn = max(status.burns.items(), key=lambda item: item[1])
    words = f"burn rate at most {burn:.1f} (over {window})" if status.total else "no requests yet"
    kind: Literal["page", "ticket"] = "page" if severity != "ticket" else "ticket"
    return Alert(status.title, _state(bool(severity) if status.total else None), kind, words, status.name)


def _model(known: ProductionState, levels: ServiceLevelsConfig) -> Iterator[Alert]:
    drift, champion = known.drift, known.champion
    unseen = known.unwatched or "no window was monitored yet"
    words = (
        unseen
        if drift is None
        else first_few(drift.reasons, 2, "; ") or f"the newest window is {drift.verdict}"
    )
    told = drift is not None and drift.verdict != "insufficient"
    drifts = drift.verdict == "drift" if drift is not None and told else None
    yield Alert("Input drift", _state(drifts), "ticket", words, "drift")
    yield _accuracy(known.labelled, levels)
    yield from _fallen(known.labelled, levels)
    yield _skew(known.skew)
    if champion is not None:
        days = (known.at - champion.created_at).days
        words = f"registered {days} days ago; {levels.max_model_age_days:g} are allowed"
        yield Alert("Champion's age", _state(days > levels.max_model_age_days), "ticket", words, "stale")
    hours = (known.at - drift.window.end).total_seconds() / 3600 if drift else None
    words = unseen if hours is None else f"the newest window ended {hours:.0f} h ago"
    old = None if hours is None else hours > levels.max_window_age_hours
    yield Alert("Monitoring's age", _state(old), "ticket", words, "stale")


def _accuracy(labelled: PerformanceReport | None, levels: ServiceLevelsConfig) -> Alert:
    if labelled is None or (accuracy := labelled.accuracy) is None:
        return Alert("Live accuracy", "unknown", "ticket", "no labels came yet", "accuracy")
    window = labelled.window
    words = (
        f"{accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f}) on {labelled.labelled:,} labels of "
        f"the window from {window.start:%Y-%m-%d %H:%M} to {window.end:%H:%M} UTC; {levels.cohort_accuracy:g} is asked"
    )
    far = accuracy.high < levels.cohort_accuracy - levels.page_accuracy_gap
    severity: Literal["page", "ticket"] = "page" if far else "ticket"
    return Alert("Live accuracy", _state(accuracy.high < levels.cohort_accuracy), severity, words, "accuracy")


def _fallen(labelled: PerformanceReport | None, levels: ServiceLevelsConfig) -> Iterator[Alert]:
    """Cohorts whose accuracy is proven to have fallen; nothing where none did."""
    limit = levels.max_accuracy_fall
    fallen = {name: fall for name, fall in (labelled.falls if labelled else {}).items() if fall > limit}
    if not fallen:
        return
    worst = sorted(fallen, key=lambda name: -fallen[name])
    words = first_few([f"{name} by at least {fallen[name]:.3f}" for name in worst], 5, "; ")
    far = fallen[worst[0]] > limit + levels.page_accuracy_gap
    severity: Literal["page", "ticket"] = "page" if far else "ticket"
    yield Alert("Accuracy fell", "firing", severity, f"{words}; {limit:g} is tolerated", "accuracy")


def _skew(skew: SkewReport | None) -> Alert:
    if skew is None:
        return Alert("Skew", "unknown", "ticket", "not audited yet", "skew")
    if not skew.compared and not skew.differences and not skew.libraries:
        why = skew.notes[-1] if skew.notes else "no row could be compared"
        return Alert("Skew", "unknown", "ticket", f"the newest audit failed: {why}", "skew")
    words = f"{skew.differences:,} served values differ from offline ones"
    if skew.libraries:
        words += f"; {skew.libraries[0]}"
    return Alert("Skew", _state(skew.verdict == "fail"), "ticket", words, "skew")
