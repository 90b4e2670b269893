"""What may become champion, and what a rollback goes back to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from typing import Any

from linnet.errors import RegistryError
from linnet.records import LedgerEntry, ModelVersion, RolloutDecision


def refusals(version: ModelVersion, rollout: RolloutDecision | None, blocked: str = "") -> list[str]:
    """Why `version` may not be promoted on its evidence; empty: it may.

    Gates and canary must both have said yes, the canary must have been of this very version, and nothing may
    have `blocked` it, see `rolled_back`.
    """
    reasons = [blocked] if blocked else []
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


def check(
    version: ModelVersion, rollout: RolloutDecision | None, override: str = "", blocked: str = ""
) -> str:
    """The reason for the ledger if `version` may be promoted: on its evidence, or by a person's word.

    Raises:
        RegistryError: it may not, and nobody overrides it with a reason.
    """
    reasons = refusals(version, rollout, blocked)
    if not reasons:
        assert rollout is not None
        return f"gates pass; canary: {rollout.reason}"
    if override.strip():
        return f"{override.strip()} (a person decided, although {'; '.join(reasons)})"
    raise RegistryError(
        f"{version.name} version {version.version} may not be promoted: {'; '.join(reasons)}; "
        "release it with `linnet run`, or promote it by hand with a reason"
    )


def rolled_back(entries: Sequence[LedgerEntry], versions: Sequence[ModelVersion], version: str) -> str:
    """Why a version may not come back by itself: it, or the same model, was rolled back; empty: it may.

    What a person took away, traffic did not show; so the canary that it once passed proves nothing now. A
    person lets it come back: by `linnet models allow`, or by promoting it by hand.

    Args:
        entries: the ledger of the model, oldest first.
        versions: all of its versions.
        version: the one that is to be released.
    """
    identities = {one.version: _identity(one) for one in versions}
    own = identities.get(version, set()) | {f"version {version}"}
    told = ""
    for entry in entries:
        taken = entry.previous if entry.action == "rollback" else None
        subject = taken or (entry.version if entry.action in ("allow", "promote") else None)
        if subject is None or not own & (identities.get(subject, set()) | {f"version {subject}"}):
            continue
        same = "" if subject == version else f", which is the same model as version {version},"
        told = (
            f"version {subject}{same} was rolled back on {entry.at:%Y-%m-%d %H:%M} UTC by {entry.actor} "
            f"({entry.reason}); let it come back with `linnet models allow {version} --reason ...`"
            if taken
            else ""
        )
    return told


def _identity(version: ModelVersion) -> set[str]:
    """What tells that two versions are the same model: the digests of the network and of the package."""
    digests = (version.tags.get("model_digest"), version.tags.get("package_digest"))
    return {digest for digest in digests if digest}


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


BAKE = "bake"
"""Key in the evidence of a rollback by itself: when the champion that it took away was promoted."""


def on_trial(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Promotions by a canary, each of a model's present champion and over an earlier one.

    One that a person made is not among them: it was a decision against, or without, the judge's.
    """
    newest = {entry.model: entry for entry in entries if entry.action in ("promote", "rollback")}
    return [e for e in newest.values() if e.action == "promote" and e.previous and "verdict" in e.evidence]


def rolled_back_at(entries: Sequence[LedgerEntry]) -> datetime | None:
    """When a champion was last rolled back by itself, after its canary; None: never."""
    return max((e.at for e in entries if e.action == "rollback" and BAKE in e.evidence), default=None)


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
