"""Prometheus rules made from the service levels: recording rules, burn-rate alerts, and the others.

Multi-window, multi-burn-rate alerts after "The Site Reliability Workbook" (Beyer et al., 2018), chapter
5: a burn of b over a long window must also show in a short one, so that the alert ends soon after the
trouble does. Docs: docs/service-levels.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from linnet.alerting.accuracy_rules import accuracy_alerts
from linnet.alerting.alert import alert_rule
from linnet.alerting.around_rules import around_alerts
from linnet.alerting.service_levels import ServiceLevel, service_levels
from linnet.config import ServiceLevelsConfig
from linnet.monitoring import metric_names as names

_SECONDS = {"5m": 300, "30m": 1800, "1h": 3600, "6h": 21600, "3d": 259200}
WINDOWS = tuple(_SECONDS)
BAD, TOTAL, BURN = "linnet:bad:rate", "linnet:total:rate", "linnet:burn:rate"
"""Recorded series, followed by a window: bad requests a second of a version, all of a model, and how many
times too fast the version burns the model's budget."""
ROLLOUT = "linnet:rollout_active"
"""Recorded series: a candidate gets traffic, or did until just now."""

TAIL = "6m"
"""A rollout still explains this long after its end what happened: the shortest window, and some scrapes."""


@dataclass(frozen=True, slots=True)
class Burn:
    """One pair of windows: alert when the budget burns `factor` times too fast in both."""

    factor: float
    long: str
    short: str
    severity: str
    rollout: str
    """`silenced` while any rollout of the model is under way, `own`: only for the candidate itself."""


PAGES = (
    Burn(14.4, "1h", "5m", "page", "own"),
    Burn(6, "6h", "30m", "page", "silenced"),
    Burn(3, "1h", "5m", "page", "silenced"),
)
TICKETS = (Burn(1, "3d", "6h", "ticket", "silenced"),)
INPUT_TICKETS = (Burn(6, "6h", "30m", "ticket", "silenced"), *TICKETS)


def rule_groups(model: str, config: ServiceLevelsConfig) -> dict[str, Any]:
    """The rule file of one model, as plain values.

    Raises:
        ConfigError: `latency_ms` is not a bucket of the server's histogram.
    """
    levels = service_levels(model, config)
    recorded = [rule for level in levels for rule in _recordings(level, model)]
    burns = [
        _burn_alert(level, burn, model, config)
        for level in levels
        for burn in ((*PAGES, *TICKETS) if level.pages else INPUT_TICKETS)
    ]
    groups = {
        "burn": [*recorded, *burns],  # one group: its rules follow one another at the same moment
        "server": [*_rollout_alerts(model, config), *_server_alerts(model, config)],
        "model": [*accuracy_alerts(model, config), *_model_alerts(model, config)],
        "around": around_alerts(model, job(model), config),
    }
    return {"groups": [{"name": f"linnet-{model}-{name}", "rules": rules} for name, rules in groups.items()]}


def _recordings(level: ServiceLevel, model: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    for window in WINDOWS:
        slo = f'{{model="{model}",slo="{level.name}"}}'
        for record, expr in (
            (BAD, level.bad(window)),
            (TOTAL, level.total(window)),
            (BURN, f"{BAD}{window}{slo} / on (model) group_left {TOTAL}{window}{slo} / {level.budget:g}"),
        ):
            rules.append({"record": record + window, "expr": expr, "labels": {"slo": level.name}})
    return rules


def _burn_alert(level: ServiceLevel, burn: Burn, model: str, config: ServiceLevelsConfig) -> dict[str, Any]:
    slo = f'{{model="{model}",slo="{level.name}"}}'
    parts = [f"{BURN}{burn.long}{slo} > {burn.factor:g}", f"{BURN}{burn.short}{slo} > {burn.factor:g}"]
    if burn.short != "5m" and burn.severity == "page":  # it ends within five minutes, as the others do
        parts.append(f"{BURN}5m{slo} > 1")
    parts.append(f"{_SECONDS[burn.long]} * {BAD}{burn.long}{slo} >= {config.min_failures}")
    name = "".join(word.capitalize() for word in level.name.split("_"))
    return alert_rule(
        f"Linnet{name}Burn{burn.factor:g}x".replace(".", "_"),
        " and ".join(parts),
        severity=burn.severity,
        model=model,
        config=config,
        runbook=level.name.replace("_", "-"),
        summary=f"{level.title}: error budget of {model} version {{{{ $labels.version }}}}: burn rate "
        f"{{{{ $value | printf `%.1f` }}}} over {burn.long} (objective {level.objective:.10g})",
        rollout=burn.rollout,
        burn=f"{burn.factor:g}",
    )


def _server_alerts(model: str, config: ServiceLevelsConfig) -> list[dict[str, Any]]:
    up = f'up{{job="{job(model)}"}}'

    def alert(name: str, expr: str, severity: str, runbook: str, summary: str, **more: str) -> dict[str, Any]:
        return alert_rule(name, expr, severity, model, config, runbook, summary, **more)

    return [
        alert(
            "LinnetDown", f"sum by (job) ({up}) == 0", "page", "down",
            f"no server of {model} answers", hold="30s",
        ),
        alert(
            "LinnetAbsent", f"absent({up})", "page", "down",
            f"Prometheus knows no server of {model} at all", hold="1m",
        ),
        alert(
            "LinnetReplicaDown", f"{up} == 0", "ticket", "down",
            "the server {{ $labels.instance }} does not answer", hold="5m",
        ),
        alert(
            "LinnetNotServing",
            f"sum by (job) ({up}) > 0 unless on (job) "
            f'{names.LOADED}{{model="{model}",role=~"champion|asleep",job="{job(model)}"}}',
            "page", "not-serving", f"servers of {model} are up, and no champion is loaded", hold="30s",
        ),
        alert(
            "LinnetRestarted", f"sum by (process) (increase({names.RESTARTS}[15m])) > 0", "ticket", "down",
            "the {{ $labels.process }} ended though nobody stopped it, and was started again",
        ),
        alert(
            "LinnetCrashLoop", f"sum by (process) (increase({names.RESTARTS}[15m])) > 4", "page", "down",
            "the {{ $labels.process }} ended {{ $value | printf `%.0f` }} times in 15 minutes",
        ),
        alert(
            "LinnetLogDropping",  # those of a model, and those that a killed worker had not written
            f'sum by (job, instance) (rate({names.LOG_DROPPED}{{job="{job(model)}"}}[10m])) > 0', "ticket",
            "log-dropping", "predictions of {{ $labels.instance }} are missing from the log", hold="5m",
        ),
    ]  # fmt: skip


def _rollout_alerts(model: str, config: ServiceLevelsConfig) -> list[dict[str, Any]]:
    def alert(name: str, expr: str, severity: str, summary: str, **more: str) -> dict[str, Any]:
        return alert_rule(name, expr, severity, model, config, "rollout", summary, **more)

    role = f'{names.LOADED}{{model="{model}",role='
    rolling_out = {
        "record": ROLLOUT,
        "expr": f'max by (model, version) (max_over_time({role}"candidate"}}[{TAIL}])) '
        f'unless on (model, version) {role}"champion"}}',
    }
    return [
        rolling_out,
        alert(
            "LinnetRollout", f'{ROLLOUT}{{model="{model}"}} unless {_stuck(model, config)}', "none",
            "version {{ $labels.version }} is being rolled out: transients are silenced",
        ),
        alert(
            "LinnetRolloutLapsed", f'increase({names.LAPSED}{{model="{model}"}}[30m]) > 0', "ticket",
            "the judge of a rollout is gone: all traffic of {{ $labels.model }} went back to the champion",
        ),
        alert(
            "LinnetRolloutStuck",
            f'{names.LOADED}{{model="{model}",role="candidate"}} and on (model, version) '
            f"({_stuck(model, config)})", "ticket",
            "version {{ $labels.version }} has been a candidate for more than "
            f"{config.rollout_minutes:g} minutes: alerts are no longer silenced", hold="1m",
        ),
    ]  # fmt: skip


def _stuck(model: str, config: ServiceLevelsConfig) -> str:
    """A candidate at every moment of the longest time that a rollout may take."""
    seconds = max(round(config.rollout_minutes * 60), 1)
    selector = f'{ROLLOUT}{{model="{model}"}}'
    return f"({selector} offset {seconds}s and {selector})"


def _model_alerts(model: str, config: ServiceLevelsConfig) -> list[dict[str, Any]]:
    mine = f'{{model="{model}"}}'

    def ticket(name: str, expr: str, runbook: str, summary: str, **more: str) -> dict[str, Any]:
        return alert_rule(name, expr, "ticket", model, config, runbook, summary, **more)

    return [
        alert_rule(
            "LinnetRolledBack", f"time() - {names.BAKE_REGRESSED}{mine} < 3600", "page", model, config,
            "rolled-back",
            "version {{ $labels.version }} was proven worse than the last champion after its promotion: it "
            "is rolled back, or cannot be",
        ),
        ticket(
            "LinnetDrift", f"{names.DRIFT_VIOLATION}{mine} == 1", "drift",
            "the newest window differs from what version {{ $labels.version }} was trained on",
            retraining="consider", rollout="silenced",
        ),
        ticket(
            "LinnetSkew", f"{names.SKEW_DIFFERENCES}{mine} > 0", "skew",
            "{{ $value }} served value(s) or libraries differ from what training computes with",
        ),
        ticket(
            "LinnetModelStale",
            f"(time() - {names.CHAMPION_CREATED}{mine}) / 86400 > {config.max_model_age_days:g}", "stale",
            "the champion, version {{ $labels.version }}, is {{ $value | printf `%.0f` }} days old",
            retraining="consider",
        ),
        ticket(
            "LinnetMonitoringStale",
            f"(time() - {names.WINDOW_END}{mine}) / 3600 > {config.max_window_age_hours:g}", "stale",
            "the newest monitored window ended {{ $value | printf `%.0f` }} hours ago",
        ),
        ticket(
            "LinnetUnmonitored",
            f"(time() - {names.CHAMPION_CREATED}{mine}) / 3600 > {config.max_window_age_hours:g} "
            f"unless on (model) {names.WINDOW_END}{mine}", "stale",
            "no window of {{ $labels.model }} was ever monitored: nobody can say whether it drifts",
        ),
        ticket(
            "LinnetRetrainingBreaker", f"{names.RETRAINING_BREAKER}{mine} == 1", "retraining",
            "retraining stopped itself after failures in a row, until a person looks",
        ),
    ]  # fmt: skip


def job(model: str) -> str:
    """Prometheus' name for the servers of a model."""
    return f"linnet-{model}"
