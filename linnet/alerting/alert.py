"""One alerting rule, as plain values."""

from __future__ import annotations

from typing import Any

from linnet.config import ServiceLevelsConfig


def alert_rule(
    name: str,
    expr: str,
    severity: str,
    model: str,
    config: ServiceLevelsConfig,
    runbook: str,
    summary: str,
    hold: str = "",
    **labels: str,
) -> dict[str, Any]:
    """The rule `name`; `runbook`: its page; `hold`: how long it must hold; `labels`: of its own."""
    rule: dict[str, Any] = {"alert": name, "expr": expr}
    if hold:
        rule["for"] = hold
    rule["labels"] = {"severity": severity, "service": "linnet", "model": model, **labels}
    rule["annotations"] = {
        "summary": summary,
        "runbook_url": f"{config.runbooks.rstrip('/')}/{runbook}.md",
    }
    people = {"owner": config.owner, "on_call": config.on_call, "escalation": config.escalation}
    rule["annotations"] |= {name: who for name, who in people.items() if who}
    return rule
