"""The retraining policy: evidence and history in, a decision with every reason out. It acts on nothing.

A run is asked for if at least one trigger has all of its conditions and nothing forbids it. Drift alone
never asks: k of the last n windows must violate, the newest among them, and the accuracy lost must be
proven. Windows that another version served are not counted; nor those that a rollout of ours touched, unless
labels show what users lost in them: replayed traffic may look like drift, but nobody labels it. Whatever is
left out is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from linnet.config import RetrainingConfig
from linnet.records import (
    Condition,
    RetrainingCause,
    RetrainingDecision,
    RetrainingEvidence,
    RetrainingSource,
    WindowFinding,
)
from linnet.retraining.history import History
from linnet.retraining.questions import questions, still_open

DAY, MONTH = timedelta(days=1), timedelta(days=30)


def decide(
    evidence: RetrainingEvidence,
    history: History,
    config: RetrainingConfig,
    at: datetime,
    source: RetrainingSource,
) -> RetrainingDecision:
    """Whether to ask for a training run at the moment `at`."""
    triggers: dict[RetrainingCause, tuple[Condition, ...]] = {
        "drift": _drift(evidence, config),
        "labels": _labels(evidence, config),
        "staleness": _staleness(evidence, config, at),
        "schedule": _schedule(history, config, at),
    }
    guards = tuple(_guards(evidence, history, config, at))
    causes = [cause for cause, conditions in triggers.items() if all(item.met for item in conditions)]
    stopped = [guard for guard in guards if not guard.met]
    cause = causes[0] if causes else None
    if cause is None:
        reason = _waiting(triggers["drift"])
    elif stopped:
        reason = f"{cause} asks for a run, and is refused: {stopped[0].detail}"
    else:
        met = [item.detail for item in triggers[cause]]
        reason = f"{cause} asks for a run: {'; '.join(met)}"
    ask = 0 if cause is not None else questions(triggers["drift"], evidence, history, config, at)
    if ask:
        reason += f"; people are asked about {ask} images that users sent"
    return RetrainingDecision(
        at=at,
        model=evidence.model,
        source=source,
        request=cause is not None and not stopped,
        cause=cause,
        reason=reason,
        ask_labels=ask,
        conditions=(*(item for conditions in triggers.values() for item in conditions), *guards),
    )


def _waiting(drift: tuple[Condition, ...]) -> str:
    """Why nothing asks for a run; where windows do violate, all that one waits for."""
    unmet = [item.detail for item in drift if not item.met]
    if drift[0].met:
        return f"{drift[0].detail}; a run waits for this: {'; '.join(unmet)}"
    return f"nothing asks for a run: {unmet[0]}"


def counted(evidence: RetrainingEvidence, config: RetrainingConfig) -> tuple[WindowFinding, ...]:
    """The last n windows that the champion served and that say something of it, oldest first."""
    own = [w for w in evidence.windows if w.version == evidence.champion and not _disturbed(w)]
    return tuple(own[-config.windows :])


def _disturbed(window: WindowFinding) -> bool:
    """Whether a rollout of ours may be all that moved: nobody labelled what was served meanwhile."""
    return window.rollout and not window.labelled


def _left_out(evidence: RetrainingEvidence) -> str:
    """Which windows are not counted, and why; empty: all of them are."""
    own = [window for window in evidence.windows if window.version == evidence.champion]
    told = []
    if others := len(evidence.windows) - len(own):
        told.append(f"{others} were served by another version than {evidence.champion}")
    if disturbed := sum(_disturbed(window) for window in own):
        told.append(
            f"{disturbed} saw a rollout of ours and no labels (POST /feedback tells what users lost in them)"
        )
    if evidence.thin_windows:
        told.append(f"{evidence.thin_windows} had too few images for a verdict (monitoring.min_rows)")
    if evidence.unread_windows:
        told.append(f"the records of {evidence.unread_windows} cannot be read (the log says why)")
    return "; ".join(told)


def _drift(evidence: RetrainingEvidence, config: RetrainingConfig) -> tuple[Condition, ...]:
    windows = counted(evidence, config)
    violating = sum(window.violates for window in windows)
    newest = windows[-1] if windows else None
    left_out = _left_out(evidence)
    aside = f"; left out: {left_out}" if left_out else ""
    loss = (newest.loss or evidence.recent_loss) if newest else None
    if loss is None:
        came = (
            f"{newest.labelled} labels of its images came" if newest and newest.labelled else "no labels came"
        )
        lost = (
            f"the accuracy lost is unknown: {came}, and the estimate's assumptions fail"
            if newest
            else "the accuracy lost is unknown: no window counts"
        )
    else:
        lost = (
            f"accuracy lost {loss.value:.3f} (at least {loss.low:.3f}, at most {loss.high:.3f}), "
            f"tolerated {config.max_accuracy_loss:g}"
            + (
                ""
                if newest and newest.loss
                else f"; on {evidence.recent_labelled} labelled since drift began"
            )
        )
    return (
        Condition(
            name="drift.windows",
            met=violating >= config.violations,
            detail=f"{violating} of the last {len(windows)} windows violate, "
            f"{config.violations} of {config.windows} are needed{aside}",
        ),
        Condition(
            name="drift.newest",
            met=bool(newest and newest.violates),
            detail="the newest window violates" if newest and newest.violates else
            "the newest window does not violate" if newest else _no_window(evidence, left_out),
        ),
        Condition(
            name="drift.loss",
            met=loss is not None and loss.low > config.max_accuracy_loss,
            detail=lost,
        ),
        Condition(
            name="drift.labels",
            met=evidence.new_labels >= config.min_new_labels,
            detail=_labels_told(evidence, f"{config.min_new_labels} are needed")
            + _missing(config.min_new_labels - evidence.new_labels, "min_new_labels")
            + still_open(evidence),
        ),
    )  # fmt: skip


def _no_window(evidence: RetrainingEvidence, left_out: str) -> str:
    """Why there is nothing to look at, and what to do."""
    if left_out:
        return f"no window counts: {left_out}"
    if evidence.champion is None:
        return "no window was monitored: there is no champion"
    return (
        f"no window of version {evidence.champion} was monitored yet: `linnet up` and `linnet drift watch` "
        "make them as traffic comes"
    )


def _labels(evidence: RetrainingEvidence, config: RetrainingConfig) -> tuple[Condition, ...]:
    if not config.trigger_after_labels:
        return (_off("labels", "trigger_after_labels"),)
    return (
        Condition(
            name="labels.count",
            met=evidence.new_labels >= config.trigger_after_labels,
            detail=_labels_told(evidence, f"{config.trigger_after_labels} ask by themselves")
            + _missing(config.trigger_after_labels - evidence.new_labels, "trigger_after_labels"),
        ),
    )


def _labels_told(evidence: RetrainingEvidence, rule: str) -> str:
    return "; ".join([f"{evidence.new_labels} new labels, {rule}", *evidence.label_notes])


def _missing(labels: int, setting: str) -> str:
    """How many labels are missing, and what brings them; empty: none."""
    if labels <= 0:
        return ""
    return (
        f"; {labels} are missing: ask for them (`linnet labels round`) and answer (`linnet labels up`), or "
        f"send them (POST /feedback), or lower retraining.{setting}"
    )


def _staleness(evidence: RetrainingEvidence, config: RetrainingConfig, at: datetime) -> tuple[Condition, ...]:
    if not config.max_age_days:
        return (_off("staleness", "max_age_days"),)
    if evidence.trained_until is None:
        return (Condition(name="staleness.age", met=False, detail="the champion's age is unknown"),)
    days = (at - evidence.trained_until) / DAY
    return (
        Condition(
            name="staleness.age",
            met=days > config.max_age_days,
            detail=f"the champion's data is {days:.1f} days old, {config.max_age_days:g} are tolerated",
        ),
    )


def _schedule(history: History, config: RetrainingConfig, at: datetime) -> tuple[Condition, ...]:
    if not config.schedule_days:
        return (_off("schedule", "schedule_days"),)
    if history.last is None:
        return (Condition(name="schedule.due", met=True, detail="the first scheduled run is due"),)
    days = (at - history.last) / DAY
    return (
        Condition(
            name="schedule.due",
            met=days >= config.schedule_days,
            detail=f"the last run was asked for {days:.1f} days ago, due after {config.schedule_days:g}",
        ),
    )


def _off(cause: str, setting: str) -> Condition:
    return Condition(name=f"{cause}.off", met=False, detail=f"retraining.{setting} is 0")


def _active(evidence: RetrainingEvidence, history: History) -> Condition:
    told = f"{history.active or 'no'} run that was asked for is under way"
    if evidence.training:
        told = f"training run {evidence.training} is under way"
    return Condition(name="guard.active", met=not (history.active or evidence.training), detail=told)


def _guards(
    evidence: RetrainingEvidence, history: History, config: RetrainingConfig, at: datetime
) -> Iterable[Condition]:
    yield Condition(
        name="guard.enabled",
        met=config.enabled,
        detail="retraining is on" if config.enabled else "retraining.enabled is false",
    )
    yield Condition(
        name="guard.champion",
        met=evidence.champion is not None,
        detail=f"version {evidence.champion} serves" if evidence.champion else "there is no champion",
    )
    yield Condition(
        name="guard.rollout",
        met=not evidence.rollout_active,
        detail="a rollout is under way" if evidence.rollout_active else "no rollout is under way",
    )
    yield _active(evidence, history)
    yield Condition(
        name="guard.breaker",
        met=history.failures < config.breaker_failures,
        detail=f"{history.failures} runs in a row failed, the breaker opens at {config.breaker_failures}"
        + ("" if history.failures < config.breaker_failures else
           ": look at them, then `linnet retraining reset-breaker`"),
    )  # fmt: skip
    rest = timedelta(hours=config.cooldown_hours) - (at - history.last) if history.last else timedelta()
    yield Condition(
        name="guard.cooldown",
        met=rest <= timedelta(),
        detail=f"the cool-down lasts {rest / timedelta(hours=1):.1f} more hours"
        if rest > timedelta()
        else "the cool-down is over",
    )
    taken_back = evidence.rolled_back
    pause = timedelta(hours=config.cooldown_hours) - (at - taken_back) if taken_back else timedelta()
    yield Condition(
        name="guard.rolled_back",
        met=pause <= timedelta(),
        detail=f"a champion was rolled back at {taken_back:%Y-%m-%d %H:%M} UTC: the cool-down lasts "
        f"{pause / timedelta(hours=1):.1f} more hours"
        if taken_back and pause > timedelta()
        else "no champion was rolled back by itself lately",
    )
    today = history.asked_since(at - DAY)
    yield Condition(
        name="guard.daily",
        met=today < config.runs_per_day,
        detail=f"{today} of {config.runs_per_day} runs in 24 hours are used",
    )
    spent, next_cost = history.spent(at - MONTH, config), history.run_cost(config)
    yield Condition(
        name="guard.cost",
        met=spent + next_cost <= config.cost_per_month,
        detail=f"{spent:g} of {config.cost_per_month:g} spent in 30 days, a run costs about {next_cost:g}",
    )
