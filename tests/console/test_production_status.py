"""Promises and alerts are pure: a log and records in, what is kept and what fires out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.config import Config, RetrainingConfig, ServiceLevelsConfig
from linnet.console.alerts import ProductionState, alerts, unmeasured
from linnet.console.context import Context
from linnet.console.prediction_log import LogSummary
from linnet.console.production_status import Example, Retraining, Watched, _windows, watched
from linnet.console.slo import objectives
from linnet.console.sources import Canary, ServerStatus
from linnet.console.views import labelling, production
from linnet.console.views.retraining import retraining
from linnet.labels.status import LabelStatus
from linnet.monitoring.history import history_folder
from linnet.records import (
    Condition,
    DriftReport,
    DriftTest,
    Interval,
    PerformanceReport,
    RetrainingDecision,
    RetrainingEntry,
    SkewReport,
    Window,
)
from linnet.records.refused import RefusedRequest
from linnet.records.restarts import Restart
from tests.console.records import BEGAN, version
from tests.console.test_views import EVIL, check

LEVELS = ServiceLevelsConfig(availability=0.99, latency=0.9, latency_ms=50)
AT = BEGAN.timestamp()


def log(ages: list[float], bad: int = 0, slow: int = 0) -> LogSummary:
    """Requests so many seconds ago; the first `bad` failed, the next `slow` took long."""
    count = len(ages)
    latencies = np.full(count, 10.0, np.float32)
    latencies[bad : bad + slow] = 80.0
    return LogSummary(
        requests=count, at=AT - np.array(ages), answered=np.arange(count) >= bad, latencies=latencies
    )


def test_budget_and_burn_follow_from_the_log() -> None:
    kept, fast = objectives(log([60.0] * 100, bad=2, slow=5), LEVELS, AT)
    assert (kept.total, kept.bad, kept.kept) == (100, 2, pytest.approx(0.98))
    assert kept.budget_left == pytest.approx(-1.0), "twice the budget of one in a hundred"
    assert kept.burns["5m"] == kept.burns["3d"] == pytest.approx(2.0)
    assert (fast.bad, fast.budget_left) == (5, pytest.approx(0.5)), "a failed request is no slow one as well"


def test_old_requests_burn_no_short_window_and_leave_the_budget_after_thirty_days() -> None:
    kept, _ = objectives(log([7200.0] * 10, bad=10), LEVELS, AT)
    assert (kept.burns["1h"], kept.burns["6h"], kept.total) == (0.0, pytest.approx(100.0), 10)
    assert objectives(log([31 * 86_400.0] * 10, bad=10), LEVELS, AT)[0].budget_left is None


@pytest.mark.parametrize(("bad", "least", "severity"), [(20, 5, "page"), (20, 50, ""), (0, 5, "")])
def test_burn_pages_where_both_windows_burn_and_enough_failed(bad: int, least: int, severity: str) -> None:
    assert objectives(log([60.0] * 100, bad=bad), LEVELS, AT)[0].burning(least) == severity


def window(**more: Any) -> Window:
    values: dict[str, Any] = {
        "model": "m", "version": "7", "start": BEGAN - timedelta(hours=2), "end": BEGAN - timedelta(hours=1),
        "rows": 100, "served": 100, "failed": 0, "late": 0, "images": 0, "latency_p50_ms": 1.0,
        "latency_p95_ms": 2.0, "enough": True,
    }  # fmt: skip
    return Window(**values | more)


def drift(verdict: Any = "drift", name: str = "brightness", **more: Any) -> DriftReport:
    test = DriftTest(
        name=name, kind="feature", test="kolmogorov-smirnov", rows=100, statistic=0.5, p_value=0.0, adjusted=0.0,
        effect=0.5, threshold=0.1, drifted=verdict == "drift",
    )  # fmt: skip
    return DriftReport(
        window=window(**more), reference_rows=1, reference_held_out=1, verdict=verdict, level=0.05, p_value=0.0,
        tests=(test,), cohorts=(), notes=(name,),
    )  # fmt: skip


def performance(value: float) -> PerformanceReport:
    found = Interval(value=value, low=value - 0.01, high=value + 0.01)
    return PerformanceReport(
        window=window(), reference_accuracy=0.9, labelled=100, delay_p50_seconds=1.0, accuracy=found, loss=None,
        estimate=found, estimate_atc=value, estimate_holds=True, doubts=(), classes=("a",), confusion=((1,),),
        confusion_drift=(),
    )  # fmt: skip


def skew(differences: int) -> SkewReport:
    return SkewReport(
        verdict="fail" if differences else "pass", rows=9, compared=9, by_store=9, by_pixels=0, unknown=0,
        differences=differences, by_name={}, examples=(), libraries=(),
    )  # fmt: skip


def known(**more: Any) -> ProductionState:
    """All is well, but for what is given."""
    values: dict[str, Any] = {
        "at": BEGAN,
        "champion": version("7", "champion").model_copy(update={"created_at": BEGAN - timedelta(days=1)}),
        "served": ServerStatus(url="http://127.0.0.1:1", champion="7"),
        "objectives": objectives(log([60.0] * 100), LEVELS, AT),
        "drift": drift("stable"),
        "labelled": performance(0.95),
        "skew": skew(0),
    }
    return ProductionState(**values | more)


def firing(found: ProductionState) -> list[tuple[str, str, str]]:
    listed = alerts(found, LEVELS, RetrainingConfig())
    return [(one.name, one.severity, one.runbook) for one in listed if one.firing]


def test_nothing_fires_where_all_is_well() -> None:
    old = Restart(at=BEGAN - timedelta(hours=2), part="server", attempt=1, total=1)
    assert firing(known(restarts=(old,))) == []
    assert firing(known()) == [] and states(known()) == {"ok"}


def states(found: ProductionState) -> set[str]:
    return {alert.state for alert in alerts(found, LEVELS, RetrainingConfig())}


NOTHING = ProductionState(
    at=BEGAN,
    champion=None,
    served=ServerStatus(problem="No server runs"),
    objectives=objectives(log([]), LEVELS, AT),
)


def test_what_was_never_measured_is_unknown_and_not_green() -> None:
    """All of it, in a folder where nothing ran; only what nothing has to be measured for is known."""
    found = alerts(NOTHING, LEVELS, RetrainingConfig())
    assert {alert.name for alert in found if alert.state == "ok"} == {
        "Rollout is stuck",
        "Retraining breaker",
    }
    assert {alert.name for alert in found if alert.firing} == set()
    markup = production.alerts(found, "m")
    assert markup.count("? not measured") == len(unmeasured(found)) == 8
    assert markup.count("chip good") == 2


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"skew": None}, "Skew"),
        ({"skew": skew(0).model_copy(update={"compared": 0})}, "Skew"),
        ({"labelled": None}, "Live accuracy"),
        ({"labelled": performance(0.95).model_copy(update={"accuracy": None})}, "Live accuracy"),
        ({"drift": drift("insufficient")}, "Input drift"),
        ({"failures": None}, "Retraining breaker"),
    ],
)
def test_each_thing_that_is_not_measured_is_unknown_alone(change: dict[str, Any], name: str) -> None:
    assert unmeasured(alerts(known(**change), LEVELS, RetrainingConfig())) == (name,)


def test_audit_that_compared_nothing_is_not_called_one_that_never_was() -> None:
    nothing = skew(0).model_copy(update={"verdict": "fail", "compared": 0, "notes": ("none was kept",)})
    (alert,) = (one for one in alerts(known(skew=nothing), LEVELS, RetrainingConfig()) if one.name == "Skew")
    assert alert.state == "unknown" and "the newest audit failed: none was kept" in alert.summary
    other = nothing.model_copy(update={"libraries": ("pillow 9 served 60 rows",)})
    (alert,) = (one for one in alerts(known(skew=other), LEVELS, RetrainingConfig()) if one.name == "Skew")
    assert alert.firing and "pillow 9" in alert.summary


def test_tiles_of_what_is_not_measured_have_their_own_color() -> None:
    nothing = Watched(
        "m", Config(name="m"), None, log([]), objectives(log([]), LEVELS, AT), (), None, Retraining()
    )
    for shown in (production.drift_tile(nothing), production.budget_tile(nothing)):
        assert 'class="tile unknown"' in shown
    few = replace(nothing, windows=((Path("/nowhere"), drift("insufficient")),))
    assert 'class="tile unknown"' in production.drift_tile(few)


CANARY = Canary("m", "8", "7", "running", True, 5, 60.0, (), ())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"served": ServerStatus(problem="No server runs")}, ("Server", "page", "down")),
        ({"served": ServerStatus(champion="6")}, ("Champion is served", "page", "not-serving")),
        (
            {"objectives": objectives(log([60.0] * 100, bad=50), LEVELS, AT)},
            ("Requests answered", "page", "availability"),
        ),
        ({"drift": drift()}, ("Input drift", "ticket", "drift")),
        ({"labelled": performance(0.7)}, ("Live accuracy", "ticket", "accuracy")),
        ({"skew": skew(3)}, ("Skew", "ticket", "skew")),
        ({"failures": 3}, ("Retraining breaker", "ticket", "retraining")),
        ({"champion": version("7").model_copy(update={"created_at": BEGAN - timedelta(days=40)})}, ("Champion's age", "ticket", "stale")),
        ({"drift": drift("stable", end=BEGAN - timedelta(days=2))}, ("Monitoring's age", "ticket", "stale")),
        ({"restarts": (Restart(at=BEGAN, part="server", attempt=1, total=9),)}, ("The server was restarted", "ticket", "down")),
        (
            {"restarts": (Restart(at=BEGAN, part="engine", attempt=2, total=9, problem="no room"),)},
            ("The engine was restarted", "page", "down"),
        ),
        ({"canary": Canary("m", "8", "7", "running", False, 5, 60.0, (), ())}, ("Rollout is stuck", "ticket", "rollout")),
    ],
)  # fmt: skip
def test_each_alert_fires_alone_and_names_its_runbook(
    change: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert firing(known(**change)) == [expected]


def test_runbook_of_every_alert_is_in_the_docs() -> None:
    docs = Path(__file__).parents[2] / "docs" / "runbooks"
    for alert in alerts(known(canary=CANARY), LEVELS, RetrainingConfig()):
        assert (docs / f"{alert.runbook}.md").is_file(), alert.runbook


HOSTILE = RefusedRequest(
    request_id=EVIL, at=BEGAN, model=EVIL, status=400, reason="decode", problem=EVIL, method="POST", path=EVIL,
    headers={"content-type": EVIL}, size=9, kept=True,
)  # fmt: skip


def test_page_escapes_what_comes_from_records() -> None:
    decision = RetrainingDecision(
        at=BEGAN, model="m", source="monitoring", request=True, cause="drift", reason=EVIL,
        conditions=(Condition(name=EVIL, met=True, detail=EVIL),),
    )  # fmt: skip
    entry = RetrainingEntry(
        at=BEGAN, model="m", kind="ended", actor=EVIL, run_id=EVIL, state="failed", reason=EVIL
    )
    report = drift(name=EVIL)
    found = Watched(
        "m", Config(name="m"), version("7"), log([60.0]), objectives(log([60.0]), LEVELS, AT), ((Path("/nowhere"), report),),
        performance(0.9), Retraining(newest=decision, entries=(entry,)),
        tuple(alerts(known(served=ServerStatus(problem=EVIL)), LEVELS, RetrainingConfig())),
    )  # fmt: skip
    for markup in (
        production.objectives(found.objectives),
        production.alerts(found.alerts, EVIL),
        production.drift(found),
        production.refused(replace(found, refused=(HOSTILE,))),
        retraining(found.retraining, "USD", 100.0),
        production.examples([Example(EVIL, EVIL, "data:,")]),
        production.budget_tile(found),
        production.drift_tile(found),
    ):
        check(markup)
    assert "✗ drift" in production.drift(found)


def test_label_queue_says_what_waits_for_people() -> None:
    status = LabelStatus(
        queued=5, open=3, done=2, lost=0, answers={"label": 2}, quarantined=0, latencies=(3600.0,), oldest_open=BEGAN,
        agreement=0.5, fleiss=None, cohen=None, annotators=[], reasons={}, rounds=(),
    )  # fmt: skip
    markup = check(labelling.queue(status))
    assert "Wait for people" in markup and "1 h 00 min" in markup
    assert "3" in check(labelling.tile_of(status)) and "nobody was asked" in check(labelling.tile_of(None))


def test_window_whose_record_cannot_be_read_is_told(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An older window stood in the place of the newest, without a word."""
    del state
    champion = version("7")
    folder = history_folder(champion.name, "7") / "20260101T000000"
    folder.mkdir(parents=True)
    (folder / "drift.json").write_text("{")
    unread: list[str] = []
    assert _windows(champion, unread) == () and "drift.json" in unread[0]
    assert "a record of a window is left out" in caplog.text and "drift.json" in caplog.text


def test_live_accuracy_is_that_of_the_newest_window_that_labels_came_for_and_says_which(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels come late: of the newest window alone nobody knew, though the one before was far below."""
    del state
    champion = version("7")
    for hours, labelled in ((3, True), (2, True), (1, False)):
        end = BEGAN - timedelta(hours=hours)
        about = window(model=champion.name, start=end - timedelta(hours=1), end=end)
        folder = history_folder(champion.name, "7") / f"{about.start:%Y%m%dT%H%M%S}"
        folder.mkdir(parents=True)
        drift("stable").model_copy(update={"window": about}).save(folder / "drift.json")
        told = {"window": about} | ({} if labelled else {"accuracy": None, "labelled": 0})
        performance(0.4 + hours / 100).model_copy(update=told).save(folder / "performance.json")
    context = Context()
    monkeypatch.setattr(context.sources, "champion", lambda _: champion)
    found = watched(context, champion.name)
    assert found.performance is not None and found.performance.accuracy is None
    [accuracy] = [one for one in found.alerts if one.name == "Live accuracy"]
    assert accuracy.state == "firing" and accuracy.severity == "page"
    assert "0.420 (" in accuracy.summary and "from 2026-11-24 09:00 to 10:00 UTC" in accuracy.summary
    shown = str(production.drift(found))
    assert "42.0" in shown and "in the newest window that labels came for" in shown


def test_rollout_that_another_linnet_began_is_under_way_all_the_same(state: Path) -> None:
    """Its state was passed over, and the console said that none was under way."""
    folder = state / "rollouts"
    folder.mkdir(parents=True)
    told = {"candidate": "9", "percent": 25, "phase": "running", "model": "m", "steps": [{"new": 1}]}
    (folder / "m.json").write_text(json.dumps(told))
    found = Context().sources.canary("m")
    assert found is not None and (found.version, found.phase, found.alive) == ("9", "running", False)
    assert ("Rollout is stuck", "ticket", "rollout") in firing(known(canary=found))


def test_drift_alert_counts_the_quantities_that_it_does_not_name() -> None:
    report = drift()
    tests = tuple(report.tests[0].model_copy(update={"name": f"q{k}"}) for k in range(5))
    listed = alerts(known(drift=report.model_copy(update={"tests": tests})), LEVELS, RetrainingConfig())
    (told,) = [alert.summary for alert in listed if alert.name == "Input drift"]
    assert "q1" in told and "q2" not in told and told.endswith(" and 3 more")
