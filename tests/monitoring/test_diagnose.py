"""Planted incidents of each kind: the diagnosis names the right one, with its evidence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from linnet.config import RetrainingConfig, ServiceLevelsConfig
from linnet.monitoring.diagnose import diagnose
from linnet.records import Deploy, Diagnosis, Interval, Symptoms, VersionTraffic

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
LOST = Interval(value=0.1, low=0.07, high=0.13)
KEPT = Interval(value=0.01, low=-0.01, high=0.03)


def deploy(hours_ago: float, version: str = "2") -> Deploy:
    return Deploy(
        at=AT - timedelta(hours=hours_ago), version=version, previous="1", action="promote",
        actor="ada", reason="better",
    )  # fmt: skip


NEW, BRIGHT = (deploy(1),), ("brightness, effect 0.4",)


def traffic(version: str = "2", failed: int = 0, p95: float = 8.0, answered: int = 1000) -> VersionTraffic:
    return VersionTraffic(version=version, answered=answered, failed=failed, latency_p95_ms=p95)


def diagnosed(**changes: Any) -> Diagnosis:
    values: dict[str, Any] = {
        "at": AT, "model": "tiny", "champion": "2", "reachable": True, "ready": True, "serving": "2",
        "computed": 10_000, "recent": (traffic(),), "before": (traffic(),), "window_checked": True,
        "loss": KEPT, "deploys": (deploy(100),), "skew_differences": 0,
    }  # fmt: skip
    return diagnose(Symptoms(**(values | changes)), ServiceLevelsConfig(), RetrainingConfig())


def test_healthy_service_blames_nobody() -> None:
    found = diagnosed()
    assert found.verdict == "sound" and found.fault is None and found.findings == () and not found.unknown


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"recent": ()}, "requests: fewer than 30"),
        ({"recent": (traffic(answered=29),)}, "requests: fewer than 30"),
        ({"window_checked": False}, "linnet drift report --name tiny"),
        ({"loss": None}, "accuracy: no labels came"),
        ({"skew_differences": None}, "linnet skew audit --name tiny"),
        (
            {"skew_differences": None, "skew_uncompared": "no row could be compared"},
            "the newest audit failed without a difference: no row could be compared",
        ),
    ],
)
def test_what_nobody_measured_is_never_called_sound(changes: dict[str, Any], says: str) -> None:
    """Issue 20: an idle server with nothing monitored was "nothing is wrong", exit status 0."""
    found = diagnosed(**changes)
    assert found.verdict == "unknown" and found.fault is None
    assert len(found.unknown) == 1 and says in found.unknown[0]
    assert "no proof" in found.remedy


def test_fault_is_named_although_other_things_are_unknown() -> None:
    found = diagnosed(reachable=False, loss=None, skew_differences=None)
    assert found.verdict == "infrastructure" and len(found.unknown) == 2


def test_drift_that_ended_is_a_hint() -> None:
    found = diagnosed(earlier_drift=BRIGHT)
    assert found.verdict == "sound" and "and no more: brightness" in found.findings[0].sentence


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"reachable": False, "ready": False}, "does not answer"),
        ({"ready": False, "serving": None}, "not ready"),
        ({"skew_libraries": ("pillow 9 served 60 rows",)}, "pillow 9 served 60 rows"),
        ({"disk_free": 0.01, "log_dropped": 40}, "1.0% of the disk"),
        ({"refused": {429: 300}, "queue": 200}, "300 of 10300 requests were turned away"),
        ({"recent": (traffic(failed=100),)}, "version 2 failed on 9.1% of its requests"),
        ({"recent": (traffic(p95=400.0),)}, "p95 of version 2 is 400 ms, 8 ms before"),
        # slow before the deploy too: the new model is not the reason
        (
            {"recent": (traffic(p95=400.0),), "before": (traffic("1", p95=390.0),), "deploys": NEW},
            "400 ms",
        ),
    ],
)
def test_planted_trouble_of_the_infrastructure(changes: dict[str, Any], sentence: str) -> None:
    found = diagnosed(**changes)
    assert found.fault == "infrastructure"
    assert any(sentence in finding.sentence for finding in found.findings)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"recent": (traffic(failed=100),), "deploys": NEW}, "champion at 2026-11-24 11:00"),
        ({"recent": (traffic(p95=400.0),), "before": (traffic("1"),), "deploys": NEW}, "8 ms before"),
        ({"loss": LOST}, "accuracy fell by 0.100 (at least 0.070) while the inputs stayed"),
        ({"loss": LOST, "deploys": NEW, "output_drift": ("classes, effect 0.3",)}, "inputs did not"),
        ({"output_drift": ("classes, effect 0.3",), "deploys": NEW}, "inputs did not"),
        ({"skew_differences": 3}, "3 served values differ"),
    ],
)  # fmt: skip
def test_planted_trouble_of_the_model(changes: dict[str, Any], sentence: str) -> None:
    found = diagnosed(**changes)
    assert found.fault == "model" and "rollback" in found.remedy
    assert any(sentence in finding.sentence for finding in found.findings)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"refused": {415: 400, 400: 10}}, "410 of 10410 requests failed input val"),
        ({"input_drift": BRIGHT}, "inputs drifted: brightness"),
        ({"input_drift": BRIGHT, "loss": LOST, "output_drift": ("classes",)}, "with the inputs"),
        # a deploy beside a drift of the inputs: the inputs do not know of it
        ({"input_drift": BRIGHT, "loss": LOST, "deploys": NEW}, "inputs drifted"),
    ],
)  # fmt: skip
def test_planted_trouble_of_the_data(changes: dict[str, Any], sentence: str) -> None:
    found = diagnosed(**changes)
    assert found.fault == "data"
    assert any(sentence in finding.sentence for finding in found.findings)


def test_server_that_is_down_outweighs_an_older_drift() -> None:
    found = diagnosed(reachable=False, input_drift=("a", "b", "c", "d"), loss=LOST)
    assert found.fault == "infrastructure"
    assert {finding.fault for finding in found.findings} == {"infrastructure", "data"}


def test_few_requests_prove_nothing() -> None:
    assert diagnosed(recent=(traffic(answered=3, failed=3),), refused={415: 9}, computed=3).fault is None


def test_hint_alone_blames_nobody_but_is_shown() -> None:
    found = diagnosed(log_dropped=1)
    assert found.fault is None and len(found.findings) == 1


def test_quantities_that_drifted_beyond_the_first_five_are_counted() -> None:
    sentences = tuple(f"feature {k}" for k in range(9))
    for changes in ({"input_drift": sentences}, {"output_drift": sentences}, {"earlier_drift": sentences}):
        said = [one.sentence for one in diagnosed(**changes).findings if "feature" in one.sentence]
        assert len(said) == 5 and said[-1].count("feature 4, and 4 more") == 1, said
    said = [one.sentence for one in diagnosed(input_drift=sentences[:5]).findings]
    assert not any("more" in sentence.partition("feature")[2] for sentence in said[:5])


def test_deploys_of_the_last_day_are_listed_or_at_least_the_newest() -> None:
    assert [d.version for d in diagnosed(deploys=(deploy(1, "3"), deploy(2), deploy(30, "1"))).deploys] == [
        "3",
        "2",
    ]
    assert len(diagnosed().deploys) == 1
