"""Three Grafana dashboards as code: executive, on-call and debug. The JSON is Grafana's own model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from linnet.alerting.rules import BURN, ROLLOUT, job
from linnet.alerting.service_levels import service_levels
from linnet.config import ServiceLevelsConfig
from linnet.monitoring import metric_names as names

_SCHEMA = 39  # Grafana 11; older and newer ones migrate it
_COLUMNS = 24
_LONGEST_UID = 40
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its queries are (legend, PromQL)."""

    title: str
    about: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    height: int = 8
    red_above: float | None = None
    red_below: float | None = None


def dashboards(model: str, config: ServiceLevelsConfig) -> dict[str, dict[str, Any]]:
    """File name -> dashboard, for one model."""
    boards = {
        "executive": ("What users get", "30d", _executive(model, config)),
        "on-call": ("Is it data, model or infrastructure?", "6h", _on_call(model, config)),
        "debug": ("Why", "6h", _debug(model)),
    }
    return {
        f"{model}-{name}": _board(model, name, about, span, panels)
        for name, (about, span, panels) in boards.items()
    }


def _executive(model: str, config: ServiceLevelsConfig) -> list[Panel]:
    mine = f'{{model="{model}"}}'
    budgets = tuple(
        (
            level.title,
            f'1 - max by (slo) (avg_over_time({BURN}1h{{model="{model}",slo="{level.name}"}}[30d]))',
        )
        for level in service_levels(model, config)
    )
    everything = f'{{model="{model}",cohort="all"}}'
    return [
        Panel("Error budget left", "Share of the 30-day budget; below zero the objective is missed.", budgets,
               "percentunit", "stat", 24, 6, red_below=0.0),
        Panel("Accuracy", "On labelled feedback, with its interval; labels come late.", (
            ("accuracy {{version}}", f"{names.ACCURACY}{everything}"),
            ("low {{version}}", f"{names.ACCURACY_LOW}{everything}"),
            ("high {{version}}", f"{names.ACCURACY_HIGH}{everything}"),
            ("estimated without labels {{version}}", f"{names.ESTIMATED_ACCURACY}{mine}"),
        ), "percentunit"),
        Panel("Drift", "Largest effect size in the newest window; 1 on the second line: it violates.", (
            ("largest effect", f"max by (version) ({names.DRIFT_EFFECT}{mine})"),
            ("violates", f"max by (version) ({names.DRIFT_VIOLATION}{mine})"),
        )),
        Panel("Requests", "Answered requests a second, a version.", (
            ("{{version}}", f'sum by (version) (rate({names.REQUESTS}{{model="{model}",outcome="ok"}}[5m]))'),
        ), "reqps"),
        Panel("Age of the champion", "Days since it was registered.",
              (("version {{version}}", f"(time() - {names.CHAMPION_CREATED}{mine}) / 86400"),),
              "d", "stat", 6, red_above=config.max_model_age_days),
        Panel("Retraining cost", "Of the policy's runs in the last 30 days.",
              (("cost", f"{names.RETRAINING_COST}{mine}"),), "short", "stat", 6),
    ]  # fmt: skip


def _on_call(model: str, config: ServiceLevelsConfig) -> list[Panel]:
    mine, here = f'{{model="{model}"}}', f'{{job="{job(model)}"}}'
    burns = tuple(
        (f"{{{{slo}}}} {{{{version}}}} over {window}", f"{BURN}{window}{mine}")
        for window in ("5m", "1h", "6h")
    )

    def quantile(share: float) -> str:
        return (
            f"histogram_quantile({share:g}, sum by (le, version) "
            f'(rate({names.REQUEST_SECONDS}_bucket{{model="{model}"}}[5m])))'
        )

    return [
        Panel("Burning", "Pages above 3; see the runbook that the alert links to.", burns,
              width=24, red_above=3.0),
        Panel("Latency p95 and p99", f"Objective: within {config.latency_ms:g} ms.",
              (("p95 {{version}}", quantile(0.95)), ("p99 {{version}}", quantile(0.99))), "s",
              red_above=config.latency_ms / 1000),
        Panel("Answers", "By version and outcome: failed is the model's fault, rejected the request's.",
              (("{{version}} {{outcome}}", f"sum by (version, outcome) (rate({names.REQUESTS}{mine}[5m]))"),),
              "reqps"),
        Panel("Refused", "By status and reason: 400, 413, 415 and 422 are bad input; 429 and 503 a server "
              "without room or champion.",
              (("{{status}} {{reason}}",
                f"sum by (status, reason) (rate({names.VALIDATION_FAILURES}{mine}[5m]))"),), "reqps"),
        Panel("Deploys", "Which versions are loaded, in which role; a candidate means a rollout.", (
            ("{{version}} {{role}}", f"max by (version, role) ({names.LOADED}{mine})"),
            ("rollout of {{version}}", f"{ROLLOUT}{mine}"),
            ("promoted {{version}}, hours ago", f"(time() - {names.CHAMPION_PROMOTED}{mine}) / 3600 < 24"),
        )),
        Panel("Up", "Servers that answer Prometheus.", (("{{instance}}", f"up{here}"),), kind="stat", width=6,
              red_below=1.0),
        Panel("Cores in use", "CPU seconds a second, a server; an accelerator has its own exporter.",
              (("{{instance}}", f"rate({names.CPU_SECONDS}{here}[5m])"),), width=6),
        Panel("Drift now", "1: the newest window violates.",
              (("version {{version}}", f"{names.DRIFT_VIOLATION}{mine}"),), kind="stat", width=6,
              red_above=1.0),
        Panel("Skew", "Values that differ between serving and training's join.",
              (("version {{version}}", f"{names.SKEW_DIFFERENCES}{mine}"),), kind="stat", width=6,
              red_above=1.0),
    ]  # fmt: skip


def _debug(model: str) -> list[Panel]:
    mine, here = f'{{model="{model}"}}', f'{{job="{job(model)}"}}'
    return [
        Panel("Confusion", "Labelled requests of the newest labelled window, by version.",
              (("{{version}}: {{actual}} -> {{predicted}}", f"{names.CONFUSION}{mine}"),), kind="table",
              height=10),
        Panel("Drift by feature", "The 20 largest effect sizes in the newest window.",
              (("{{feature}}", f"topk(20, {names.DRIFT_EFFECT}{mine})"),), kind="bargauge", height=10),
        Panel("Predicted classes", "Share in the newest window, beside the reference.",
              (("{{of}} {{predicted}}", f"{names.PREDICTED_SHARE}{mine}"),), "percentunit", "bargauge",
              height=10),
        Panel("Accuracy by cohort", "Upper bounds below the level of the objective's alert.",
              (("{{version}} {{cohort}}={{value}}", f"{names.ACCURACY}{mine}"),), "percentunit",
              "table", height=10),
        Panel("Groups of users", "Requests a second by what they say of their users (serving.segments).",
              (("{{segment}}={{value}} {{outcome}}", "sum by (segment, value, outcome) "
                f"(rate({names.SEGMENT_REQUESTS}{mine}[5m]))"),), "reqps"),
        Panel("Fall by group", "How far accuracy is proven to lie below what the group had.",
              (("{{version}} {{cohort}}={{value}}", f"{names.ACCURACY_FALL}{mine}"),), "percentunit",
              "bargauge"),
        Panel("Trial after promotion", "Hours since a promotion, and since one was proven worse.", (
            ("promoted {{version}}", f"(time() - {names.CHAMPION_PROMOTED}{mine}) / 3600"),
            ("proven worse {{version}}", f"(time() - ({names.BAKE_REGRESSED}{mine} > 0)) / 3600"),
        ), "h"),
        Panel("Labels", "1: labels stopped; and the share that contradicts sure answers.", (
            ("stopped", f"{names.LABELS_STOPPED}{mine}"),
            ("contradict {{version}}", f"{names.LABELS_CONTRADICT}{mine}"),
        )),
        Panel("Queue", "Requests being answered, and waiting.", (
            ("in flight {{instance}}", f"{names.IN_FLIGHT}{here}"),
            ("queue {{instance}}", f"{names.QUEUE}{here}"),
            ("log queue {{instance}}", f"{names.LOG_QUEUE}{here}"),
            ("log dropped {{instance}}", f"rate({names.LOG_DROPPED}{here}[5m])"),
        )),
        Panel("Where time goes", "Median in the model, and from body to answer; the rest is the queue.", (
            ("model {{version}}", _median(names.PREDICTION_SECONDS, model)),
            ("whole {{version}}", _median(names.REQUEST_SECONDS, model)),
        ), "s"),
        Panel("Mirrored", "Whether the other version agreed.",
              (("{{version}} {{outcome}}", f"sum by (version, outcome) (rate({names.MIRRORED}{mine}[5m]))"),),
              "reqps"),
        Panel("Memory", "Resident bytes a worker, and what it had settled at.", (
            ("{{instance}} {{worker}}", f"{names.MEMORY}{here}"),
            ("settled {{instance}} {{worker}}", f"{names.MEMORY_SETTLED}{here}"),
        ), "bytes"),
        Panel("Retraining", "Decisions an hour, active runs, and the breaker.", (
            ("{{decision}}", f"increase({names.RETRAINING_DECISIONS}{mine}[1h])"),
            ("active", f"{names.RETRAINING_ACTIVE}{mine}"),
            ("breaker open", f"{names.RETRAINING_BREAKER}{mine}"),
        )),
    ]  # fmt: skip


def _median(metric: str, model: str) -> str:
    return f'histogram_quantile(0.5, sum by (le, version) (rate({metric}_bucket{{model="{model}"}}[5m])))'


def _uid(name: str) -> str:
    """A board's id of 40 characters at most, which is what Grafana takes; another for each name."""
    if len(name) <= _LONGEST_UID:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{name[: _LONGEST_UID - len(digest) - 1]}-{digest}"


def _board(model: str, name: str, about: str, span: str, panels: list[Panel]) -> dict[str, Any]:
    return {
        "uid": _uid(f"linnet-{model}-{name}"),
        "title": f"Linnet {model}: {name}",
        "description": about,
        "tags": ["linnet", model],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": f"now-{span}", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
            ]
        },
        "annotations": {"list": [_annotation(model)]},
        "links": [
            {"title": "other boards", "type": "dashboards", "tags": ["linnet", model], "asDropdown": True}
        ],
        "panels": [_panel(number, *placed) for number, placed in enumerate(_placed(panels), 1)],
    }


def _annotation(model: str) -> dict[str, Any]:
    """Marks on every time axis: rollouts, so that nobody has to ask whether there was a deploy."""
    return {
        "name": "rollouts",
        "enable": True,
        "datasource": _DATASOURCE,
        "expr": f'{ROLLOUT}{{model="{model}"}}',
        "titleFormat": "rollout of version {{version}}",
        "iconColor": "blue",
    }


def _placed(panels: list[Panel]) -> Iterator[tuple[Panel, int, int]]:
    """Panels from left to right, a new row where the next does not fit."""
    x = y = row = 0
    for panel in panels:
        if x + panel.width > _COLUMNS:
            x, y, row = 0, y + row, 0
        yield panel, x, y
        x, row = x + panel.width, max(row, panel.height)


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    instant = panel.kind in ("table", "bargauge")
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": _DATASOURCE,
            "expr": expr,
            "legendFormat": legend,
            "instant": instant,
            "range": not instant,
        }
        for index, (legend, expr) in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": _thresholds(panel)}
    if panel.kind == "timeseries" and (panel.red_above is not None or panel.red_below is not None):
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if not instant else {},
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_above is not None:
        steps.append({"color": "red", "value": panel.red_above})
    elif panel.red_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.red_below}]
    return {"mode": "absolute", "steps": steps}
