"""The incident checklist as a pure function: symptoms in; data, model or infrastructure out.

Each finding speaks for one fault with a weight, and the heaviest decides; the sum of weights decides
between equals. What makes the difference between data and model: inputs do not know which version
answers them. So a change in the inputs is the data's, and a loss without one, or one that began with a
deploy, is the model's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from linnet.config import RetrainingConfig, ServiceLevelsConfig
from linnet.monitoring.diagnose_around import around
from linnet.records import Deploy, Diagnosis, Fault, Finding, Symptoms, VersionTraffic

RECENT = timedelta(hours=24)
"""A deploy this long ago may still be the reason."""
_ENOUGH = 30
"""Requests below which a share says nothing."""
_ABOUT_INPUT = ("type", "size", "pixels", "decode", "shape")
_OVERLOADED, _INVALID = (429, 503), (400, 413, 415, 422)
_REMEDIES: dict[Fault | None, str] = {
    None: "nothing to do",
    "infrastructure": "fix the server first: docs/runbooks/down.md, availability.md, latency.md",
    "model": 'give the version before its traffic back: linnet models rollback --name {model} --reason "..."',
    "data": "find who changed the inputs: docs/runbooks/drift.md, valid-input.md; no rollback helps",
}


def diagnose(symptoms: Symptoms, levels: ServiceLevelsConfig, retraining: RetrainingConfig) -> Diagnosis:
    """Which of the three is at fault, with every finding, the deploys and the samples to look at."""
    found = [
        *_server(symptoms), *_refusals(symptoms, levels), *_traffic(symptoms, levels),
        *_accuracy(symptoms, retraining), *around(symptoms, levels),
    ]  # fmt: skip
    findings = sorted(found, key=lambda finding: -finding.weight)
    fault: Fault | None = None
    if findings and findings[0].weight > 1:
        totals: dict[Fault, tuple[int, int]] = {}
        for finding in findings:
            most, total = totals.get(finding.fault, (0, 0))
            totals[finding.fault] = (max(most, finding.weight), total + finding.weight)
        fault = max(totals.items(), key=lambda item: item[1])[0]
    unknown = tuple(_unknown(symptoms))
    return Diagnosis(
        verdict=fault or ("unknown" if unknown else "sound"),
        fault=fault,
        unknown=unknown,
        findings=tuple(findings),
        deploys=tuple(d for d in symptoms.deploys if symptoms.at - d.at <= RECENT) or symptoms.deploys[:1],
        samples=symptoms.samples,
        remedy=_REMEDIES[fault].format(model=symptoms.model)
        if fault or not unknown
        else "measure what is unknown: silence is no proof",
    )


def _unknown(symptoms: Symptoms) -> Iterator[str]:
    """What nobody measured, and what measures it: the absence of a finding says nothing about it."""
    model = symptoms.model
    if not any(one.answered + one.failed >= _ENOUGH for one in symptoms.recent):
        yield f"requests: fewer than {_ENOUGH} were answered lately, so errors and latency prove nothing"
    if not symptoms.window_checked and symptoms.unwatched:
        yield f"drift: {symptoms.unwatched}"
    elif not symptoms.window_checked:
        yield (
            "drift: no window with a verdict, closed or open; `linnet drift watch` judges each window, "
            f"`linnet drift report --name {model}` any stretch of time"
        )
    if symptoms.loss is None:
        yield "accuracy: no labels came, and no estimate holds; POST /feedback takes labels"
    if symptoms.skew_uncompared:
        yield (
            f"skew: the newest audit failed without a difference: {symptoms.skew_uncompared}; "
            f"`linnet skew audit --name {model}` looks again, serving.log_sample keeps images for it"
        )
    elif symptoms.skew_differences is None:
        yield f"skew: served values were never audited; `linnet skew audit --name {model}` does"


def recent_deploy(symptoms: Symptoms) -> Deploy | None:
    """The newest move of the champion, if it is recent enough to be the reason."""
    newest = symptoms.deploys[0] if symptoms.deploys else None
    return newest if newest is not None and symptoms.at - newest.at <= RECENT else None


def _finding(fault: Fault, weight: int, sentence: str) -> Finding:
    return Finding(fault=fault, weight=weight, sentence=sentence)


def _server(symptoms: Symptoms) -> Iterator[Finding]:
    if not symptoms.reachable:
        yield _finding("infrastructure", 4, "the server does not answer")
    elif not symptoms.ready:
        yield _finding("infrastructure", 4, "the server answers, and is not ready: no version is routed")
    elif symptoms.serving != symptoms.champion and symptoms.champion is not None:
        yield _finding(
            "infrastructure", 2,
            f"the server serves version {symptoms.serving}, the registry's champion is {symptoms.champion}",
        )  # fmt: skip
    if symptoms.disk_free < 0.02:
        yield _finding("infrastructure", 3, f"{symptoms.disk_free:.1%} of the disk is free")
    if symptoms.memory_free < 0.03:
        yield _finding("infrastructure", 2, f"{symptoms.memory_free:.1%} of memory is available")
    for sentence in symptoms.skew_libraries:
        yield _finding("infrastructure", 2, sentence)
    if symptoms.log_dropped:
        yield _finding("infrastructure", 1, f"the prediction log lost {symptoms.log_dropped} requests")


def _refusals(symptoms: Symptoms, levels: ServiceLevelsConfig) -> Iterator[Finding]:
    refused = sum(symptoms.refused.values())
    total = symptoms.computed + refused
    if total < _ENOUGH:
        return
    turned_away = sum(symptoms.refused.get(status, 0) for status in _OVERLOADED)
    if turned_away / total > 1 - levels.availability:
        yield _finding(
            "infrastructure", 3,
            f"{turned_away} of {total} requests were turned away (429, 503) since the server started; "
            f"{symptoms.queue} wait now",
        )  # fmt: skip
    invalid = sum(symptoms.refused.get(status, 0) for status in _INVALID)
    if invalid / total > 1 - levels.valid_input:
        by = ", ".join(f"{symptoms.refused[s]} x {s}" for s in _INVALID if symptoms.refused.get(s))
        reasons = sorted(symptoms.refused_for.items(), key=lambda one: -one[1])
        why = "".join(f", {count} for {name}" for name, count in reasons if name in _ABOUT_INPUT)
        yield _finding(
            "data", 3,
            f"{invalid} of {total} requests failed input validation ({by}{why}); "
            "`linnet requests refused` shows some",
        )  # fmt: skip


def _traffic(symptoms: Symptoms, levels: ServiceLevelsConfig) -> Iterator[Finding]:
    usual = {version.version: version for version in symptoms.before}
    deploy = recent_deploy(symptoms)
    for now in symptoms.recent:
        if now.answered + now.failed < _ENOUGH:
            continue
        changed = deploy is not None and deploy.version == now.version
        since = f" since it became champion at {deploy.at:%Y-%m-%d %H:%M} UTC" if changed and deploy else ""
        share = now.failed / (now.answered + now.failed)
        if share > 1 - levels.availability:
            yield _weigh_fault(
                changed, 3, f"version {now.version} failed on {share:.1%} of its requests{since}"
            )
        if now.latency_p95_ms > levels.latency_ms:
            earlier = _earlier(usual, now, deploy)
            was = f", {earlier.latency_p95_ms:.0f} ms before" if earlier else ""
            slower = f"p95 of version {now.version} is {now.latency_p95_ms:.0f} ms{was}{since}"
            yield _weigh_fault(changed and _healthy(earlier, levels), 2, slower)


def _earlier(
    usual: dict[str, VersionTraffic], now: VersionTraffic, deploy: Deploy | None
) -> VersionTraffic | None:
    """What to compare with: the version before the deploy, or this one before."""
    if deploy is not None and deploy.version == now.version and deploy.previous in usual:
        return usual[deploy.previous]
    return usual.get(now.version)


def _healthy(earlier: VersionTraffic | None, levels: ServiceLevelsConfig) -> bool:
    return earlier is None or earlier.latency_p95_ms <= levels.latency_ms


def _weigh_fault(model: bool, weight: int, sentence: str) -> Finding:
    """The model's if it came with a deploy; else the same model did well before, on this machine."""
    return _finding("model" if model else "infrastructure", weight, sentence)


def _first_five(sentences: Sequence[str]) -> list[str]:
    """A finding each; the last says how many are left out."""
    shown, left = list(sentences[:5]), len(sentences) - 5
    return [*shown[:-1], f"{shown[-1]}, and {left} more"] if left > 0 else shown


def _accuracy(symptoms: Symptoms, retraining: RetrainingConfig) -> Iterator[Finding]:
    lost = symptoms.loss is not None and symptoms.loss.low > retraining.max_accuracy_loss
    deploy = recent_deploy(symptoms)
    for sentence in _first_five(symptoms.input_drift):
        yield _finding("data", 3 if lost else 2, f"inputs drifted: {sentence}")
    for sentence in _first_five(symptoms.output_drift):
        if symptoms.input_drift:
            yield _finding("data", 1, f"predictions moved with the inputs: {sentence}")
        else:
            yield _finding("model", 2 if deploy else 1, f"predictions moved, inputs did not: {sentence}")
    for sentence in _first_five(symptoms.earlier_drift):
        yield _finding(
            "data", 1, f"inputs or answers drifted in the last full window, and no more: {sentence}"
        )
    if symptoms.skew_differences:
        yield _finding(
            "model", 3, f"{symptoms.skew_differences} served values differ from what training would compute"
        )
    if lost and symptoms.loss is not None and symptoms.window_checked and not symptoms.input_drift:
        since = (
            f"; version {deploy.version} became champion at {deploy.at:%Y-%m-%d %H:%M} UTC" if deploy else ""
        )
        yield _finding(
            "model", 3,
            f"accuracy fell by {symptoms.loss.value:.3f} (at least {symptoms.loss.low:.3f}) "
            f"while the inputs stayed as they were{since}",
        )  # fmt: skip
