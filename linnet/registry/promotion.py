"""What may become champion, and what a rollback goes back to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from linnet.errors import RegistryError
from linnet.records import LedgerEntry, ModelVersion, RolloutDecision


def refusals(version: ModelVersion, rollout: RolloutDecision | None) -> list[str]:
    """Why `version` may not be promoted on its evidence; empty: it may.

    Gates and canary must both have said yes, and the canary must have been of this very version.
    """
    reasons = []
    verdict = version.tags.get("gate_verdict", "unknown")
    if verdict != "pass":
        reasons.append(f"the gates say {verdict}")
    if rollout is None:
        reasons.append("it went through no canary")
    elif (rollout.model, rollout.version) != (version.name, version.version):
        reasons.append(f"the canary was of {rollout.model} version {rollout.version}")
    elif rollout.verdict != "promote":
        reasons.append(f"the canary says {rollout.verdict}: {rollout.reason}")
    return reasons


def check(version: ModelVersion, rollout: RolloutDecision | None, override: str = "") -> str:
    """The reason for the ledger if `version` may be promoted: on its evidence, or by a person's word.

    Raises:
        RegistryError: it may not, and nobody overrides it with a reason.
    """
    reasons = refusals(version, rollout)
    if not reasons:
        assert rollout is not None
        return f"gates pass; canary: {rollout.reason}"
    if override.strip():
        return f"{override.strip()} (a person decided, although {'; '.join(reasons)})"
    raise RegistryError(
        f"{version.name} version {version.version} may not be promoted: {'; '.join(reasons)}; "
        "release it with `linnet run`, or promote it by hand with a reason"
    )


def canary_lines(decision: RolloutDecision) -> list[tuple[str, dict[str, Any]]]:
    """Reason and evidence of every decision of a rollout, in order, for the ledger.

    No line if the version was the champion already: no canary took place.
    """
    if decision.version == decision.champion:
        return []
    lines = [
        (
            step.reason,
            {
                "verdict": step.verdict,
                "percent": step.percent,
                "seconds": step.seconds,
                "champion_requests": step.champion_requests,
                "candidate_requests": step.candidate_requests,
                "metrics": {
                    item.metric: {
                        "verdict": item.verdict,
                        **{key: _finite(getattr(item, key)) for key in _NUMBERS},
                    }
                    for item in step.judgements
                },
            },
        )
        for step in decision.steps
    ]
    if not decision.steps or decision.steps[-1].verdict != decision.verdict:
        lines.append((decision.reason, {"verdict": decision.verdict, "percent": 0}))
    return lines


_NUMBERS = ("champion", "candidate", "low", "high", "margin")


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return round(value, 6) if isfinite(value) else None


def champions(entries: Sequence[LedgerEntry]) -> list[str]:
    """The line of champions of one model, the present one last; a rolled-back one is no longer in it."""
    line: list[str] = []
    for entry in entries:
        if entry.action == "promote":
            line.append(entry.version)
        elif entry.action == "rollback":
            while line and line[-1] != entry.version:
                line.pop()
            if not line:
                line.append(entry.version)
    return line
