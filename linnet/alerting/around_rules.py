"""Alerts on what is around a model: its process, its clock, its callers and its labels."""

from __future__ import annotations

from typing import Any

from linnet.alerting.alert import alert_rule
from linnet.config import ServiceLevelsConfig
from linnet.monitoring import metric_names as names
from linnet.monitoring.diagnose_around import CONTRADICTED
from linnet.monitoring.server_health import CLOCK_SECONDS, MEMORY_BYTES, MEMORY_RATIO, TRAFFIC_RATIO


def around_alerts(model: str, job: str, config: ServiceLevelsConfig) -> list[dict[str, Any]]:
    """Tickets, by the limits that `linnet diagnose` goes by."""
    here, mine = f'{{job="{job}"}}', f'{{model="{model}"}}'

    def ticket(name: str, expr: str, runbook: str, summary: str, hold: str = "") -> dict[str, Any]:
        return alert_rule(name, expr, "ticket", model, config, runbook, summary, hold)

    memory, settled = f"{names.MEMORY}{here}", f"{names.MEMORY_SETTLED}{here}"
    asked = f"sum by (model) (increase({names.REQUESTS}{mine}[1h]"
    usual = f"{asked} offset 1d))"
    return [
        ticket(
            "LinnetMemoryGrows",
            f"{memory} > {MEMORY_RATIO:g} * {settled} and {memory} - {settled} > {MEMORY_BYTES:.0f}",
            "memory", "a process of {{ $labels.instance }} holds {{ $value | humanize }}B and grows", "10m",
        ),
        ticket(
            "LinnetClockSkew",
            f"abs({names.SERVER_TIME}{here} - timestamp({names.SERVER_TIME}{here})) > {CLOCK_SECONDS:g}",
            "clock", "the clock of {{ $labels.instance }} is {{ $value | printf `%.0f` }} s off", "2m",
        ),
        ticket(
            "LinnetTrafficFell",
            f"{asked})) < {TRAFFIC_RATIO:g} * {usual} and {usual} > 200",
            "traffic", "{{ $value | printf `%.0f` }} requests came in an hour, far fewer than the day before",
            "10m",
        ),
        ticket(
            "LinnetLabelsStopped", f"{names.LABELS_STOPPED}{mine} == 1", "labels",
            "no labels came for the newest window, where they are usual: accuracy is not known any more",
        ),
        ticket(
            "LinnetLabelsContradict", f"{names.LABELS_CONTRADICT}{mine} > {CONTRADICTED:g}", "labels",
            "labels contradict sure answers in nearly every class, version {{ $labels.version }}",
        ),
    ]  # fmt: skip
