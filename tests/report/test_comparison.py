"""Two runs side by side: what is told of them, as figures."""

from __future__ import annotations

import pytest

from linnet.report import comparison
from tests.console.records import evaluation, evidence, run_record


def test_settings_that_differ_are_named_and_whole_numbers_are_the_same_as_floats() -> None:
    first = evidence(
        record=run_record(config={"name": "m", "train": {"epochs": 3.0, "lr": 0.1, "ema": True}})
    )
    second = evidence(record=run_record(config={"name": "m", "train": {"epochs": 3, "lr": 0.2}}))
    assert comparison.settings(first, second) == [
        ("train.ema", "True", None),
        ("train.lr", "0.1", "0.2"),
    ]


def test_metrics_say_which_way_is_better() -> None:
    found = comparison.metrics(evidence(), evidence(evaluation=evaluation(0.95)))
    assert found is not None
    told = {metric.metric.title: metric for metric in found}
    assert told["Accuracy"].change == pytest.approx(0.05) and told["Accuracy"].verdict == "better"
    assert told["Brier score"].verdict == "worse", "less is better"
    assert {metric.verdict for metric in comparison.metrics(evidence(), evidence()) or []} == {""}
    assert comparison.metrics(evidence(), evidence(evaluation=None)) is None


def test_gates_of_a_run_that_was_not_judged_are_missing_not_failed() -> None:
    judged, not_judged = evidence(passed=False), evidence(decisions=())
    for name, a, b in comparison.gates(judged, not_judged):
        assert a is not None and a.name == name and b is None
    assert [name for name, _, _ in comparison.gates(judged, not_judged)]
