"""Two runs side by side: what is told of them, as figures."""

from __future__ import annotations

import pytest

from linnet.report import comparison
from linnet.report.evidence import champion_metrics
from linnet.report.render import markdown
from tests.console.records import evaluation, evidence, run_record


def test_settings_that_differ_are_named_and_whole_numbers_are_the_same_as_floats() -> None:
    first = evidence(
        record=run_record(config={"name": "m", "train": {"epochs": 3.0, "lr": 0.1, "ema": True}})
    )
    second = evidence(record=run_record(config={"name": "m", "train": {"epochs": 3, "lr": 0.2}}))
    assert comparison.settings(first, second) == [
        ("train.ema", ["True", None]),
        ("train.lr", ["0.1", "0.2"]),
    ]


def test_metrics_say_which_way_is_better() -> None:
    found = comparison.metrics(evidence(), evidence(evaluation=evaluation(0.95)))
    assert found is not None
    told = {metric.metric.title: metric for metric in found}
    assert told["Accuracy"].change == pytest.approx(0.05) and told["Accuracy"].verdict == "better"
    assert told["Brier score"].verdict == "worse", "less is better"
    assert {metric.verdict for metric in comparison.metrics(evidence(), evidence()) or []} == {""}
    assert comparison.metrics(evidence(), evidence(evaluation=None)) is None


def test_nothing_is_told_of_two_models_on_two_test_sets() -> None:
    other = evaluation(0.95).model_copy(update={"test_digest": "b"})
    mine = evaluation().model_copy(update={"test_digest": "a"})
    found = comparison.metrics(evidence(evaluation=mine), evidence(evaluation=other))
    assert found and {(metric.words, metric.verdict) for metric in found} == {("other test samples", "")}
    same = comparison.metrics(evidence(evaluation=other), evidence(evaluation=other))
    assert same and {metric.words for metric in same} == {"0.0000"}


def test_report_takes_the_champion_from_the_same_samples_alone() -> None:
    """The registry's numbers of it are of its own test split: +0.0077 here and -0.28 points there."""
    assert champion_metrics(evidence()) == {}, "an older report does not tell"
    told = evaluation()
    assert told.comparison is not None
    measured = told.comparison.model_copy(update={"metrics": {"accuracy": 0.88}})
    found = evidence(evaluation=told.model_copy(update={"comparison": measured}))
    assert champion_metrics(found) == {"accuracy": 0.88}
    text = markdown(found, champion_metrics(found))
    assert "| 0.8800 | +0.0200 🟢 |" in text and "by **+2.00 points**" in text


def test_gates_of_a_run_that_was_not_judged_are_missing_not_failed() -> None:
    judged, not_judged = evidence(passed=False), evidence(decisions=())
    for name, (a, b) in comparison.gates(judged, not_judged):
        assert a is not None and a.name == name and b is None
    assert [name for name, _ in comparison.gates(judged, not_judged)]
