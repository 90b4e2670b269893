"""Findings about what is around a model: process, clock, callers, labels, feature store, groups of users."""

from __future__ import annotations

from collections.abc import Iterator

from linnet.config import ServiceLevelsConfig
from linnet.monitoring.server_health import traffic_fell
from linnet.records import Finding, Symptoms

CONTRADICTED = 0.08
"""Share of contradicting labels that is more than careless: their accuracy proves nothing of the model."""


def around(symptoms: Symptoms, levels: ServiceLevelsConfig) -> Iterator[Finding]:
    """What is wrong beside the model and its inputs; the heavier ones explain what the others see."""
    for sentence in filter(None, (symptoms.memory_growth, symptoms.clock)):
        yield Finding(fault="infrastructure", weight=3, sentence=sentence)
    recent = sum(one.answered + one.failed for one in symptoms.recent)
    if traffic_fell(recent, symptoms.usual_requests):
        usual = min(symptoms.usual_requests)
        yield Finding(
            fault="infrastructure", weight=2,
            sentence=f"{recent} requests came, at least {usual} at this time of the days before: "
            "callers are missing",
        )  # fmt: skip
    if symptoms.labels_stopped:
        yield Finding(fault="data", weight=2, sentence=f"labels stopped coming: {symptoms.labels_stopped}")
    if symptoms.labels_contradict > CONTRADICTED:
        yield Finding(
            fault="data", weight=4,
            sentence=f"labels are noisy: at least {symptoms.labels_contradict:.0%} of them contradict sure "
            "answers in nearly every class, so what they say of the accuracy proves nothing",
        )  # fmt: skip
    if symptoms.skew_by_store:
        yield Finding(
            fault="infrastructure", weight=4,
            sentence=f"the online feature store is stale or wrong: {symptoms.skew_by_store} of the served "
            "values that the newest audit shows differ from the offline store's",
        )  # fmt: skip
    yield from _cohorts(symptoms, levels)


def _cohorts(symptoms: Symptoms, levels: ServiceLevelsConfig) -> Iterator[Finding]:
    """Groups that fell, whatever the whole did: the data's fault where their inputs drifted."""
    fell = {name: fall for name, fall in symptoms.falls.items() if fall > levels.max_accuracy_fall}
    whole = symptoms.falls.get("all=all", 0.0)
    if symptoms.labels_contradict > CONTRADICTED:
        return
    for name, fall in sorted(fell.items(), key=lambda one: -one[1]):
        if name == "all=all":
            continue
        drifted = name in symptoms.drifted_cohorts
        while_ = "and its inputs drifted" if drifted else "while its inputs stayed as they were"
        yield Finding(
            fault="data" if drifted else "model", weight=4 if fall > 2.0 * whole else 2,
            sentence=f"accuracy on {name} fell by at least {fall:.3f}, {while_}",
        )  # fmt: skip
