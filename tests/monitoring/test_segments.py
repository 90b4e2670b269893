"""Groups of users in a window: each against its own past, and a fall is told though the whole looks well."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from linnet.alerting.rules import rule_groups
from linnet.automation import metrics
from linnet.commands.drift_show import show_drift
from linnet.config import MonitoringConfig, RetrainingConfig, ServiceLevelsConfig
from linnet.console.alerts import ProductionState, alerts
from linnet.console.sources import ServerStatus
from linnet.monitoring.history import earlier_performance, keep, segment_baseline
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.performance import measure_performance
from linnet.monitoring.publish import publish
from linnet.records import DriftReport, PerformanceReport, now
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Predictor
from tests.console.records import version
from tests.monitoring.conftest import names, pictures, truth, window_of

CONFIG = MonitoringConfig()
HOUR = 3600.0
Seen = tuple[DriftReport, PerformanceReport]


class Shops:
    """Three shops that send pictures; each is asked about, and its labels come."""

    def __init__(self, folder: Path, champion: Path) -> None:
        self.folder, self.champion = folder, champion
        self.predictor = Predictor.load("1", champion, 1)

    def hour(
        self, number: int, *, wrong: float = 0.0, fr: tuple[int, int] = (20, 236), count: int = 400
    ) -> Seen:
        """An hour's window: share of the labels of shop `fr` that are another class, and its gray levels."""
        home = self.folder / f"hour{number}"
        log = PredictionLog(home / "log", 1_000_000, 0.0)
        log.start()
        at, labels = time.time() - 10, []
        rng = np.random.default_rng(number)
        for shop, share, levels in (("de", 0.6, (20, 236)), ("fr", 0.3, fr), ("none", 0.1, (20, 236))):
            images = pictures(int(count * share), 10 * number + len(labels) % 7, *levels)
            for place, (image, label) in enumerate(zip(images, names(truth(images)), strict=True)):
                name = f"{number}-{shop}-{place}"
                said = self.predictor.predict(image[None], None)
                told = {"store": shop}
                log.offer(LogEntry(name, at, "tiny", "1", self.predictor.answer, 1.5, said, None, told))
                other = shop == "fr" and rng.random() < wrong
                label = next(one for one in self.predictor.classes if one != label) if other else label
                labels.append({"request_id": name, "label": label, "at": datetime.now(UTC).isoformat()})
        log.close()
        (home / "log" / "feedback.jsonl").write_text("\n".join(map(json.dumps, labels)))
        window = window_of(home / "log", home / "window")
        start = window.start.replace(year=2026, month=1, day=1, hour=number, minute=0)
        window.model_copy(update={"start": start}).save(home / "window" / "window.json")
        baseline = segment_baseline("tiny", "1", start)
        drift = measure_drift(home / "window", self.champion, CONFIG, (), home / "out", None, baseline)
        earlier = earlier_performance("tiny", start)
        found = measure_performance(
            home / "window", self.champion, home / "log", drift, CONFIG, home / "out", earlier
        )
        keep(drift.window, home / "window", home / "out")
        return drift, found


@pytest.fixture
def shops(tmp_path: Path, champion: Path, state: Path) -> Shops:
    return Shops(tmp_path, champion)


def test_fall_of_one_group_is_proven_though_the_whole_looks_well(shops: Shops) -> None:
    _, first = shops.hour(1)
    assert {(one.value, one.reference) for one in first.segments} == {
        ("de", None),
        ("fr", None),
        ("none", None),
    }
    _, quiet = shops.hour(2)
    assert {one.value for one in quiet.segments if one.reference is not None} == {"de", "fr"}, (
        "none: 40 labels"
    )
    assert max(quiet.falls.values()) < 0.01 and set(quiet.falls) >= {"all=all", "class=dark", "store=fr"}
    _, broken = shops.hour(3, wrong=0.4)
    assert broken.accuracy is not None and broken.accuracy.value > 0.85, "above the absolute floor of 0.8"
    fall = broken.falls.pop("store=fr")
    assert fall > 0.2 and broken.falls["store=de"] == 0.0
    broken.falls["store=fr"] = fall

    text = metrics.generate_latest(_Fixed(list(metrics._performance(broken, ["tiny", "1"])))).decode()
    line = next(
        row for row in text.splitlines() if row.startswith("linnet_accuracy_fall{") and 'value="fr"' in row
    )
    assert 'cohort="store"' in line and float(line.split()[-1]) == pytest.approx(fall)
    state = ProductionState(at=now(), champion=version("1"), served=ServerStatus(), labelled=broken)
    found = alerts(state, ServiceLevelsConfig(), RetrainingConfig())
    alert = next(one for one in found if one.name == "Accuracy fell")
    assert alert.firing and alert.severity == "page" and "store=fr by at least" in alert.summary
    rules = {
        r["alert"]: r
        for g in rule_groups("tiny", ServiceLevelsConfig())["groups"]
        for r in g["rules"]
        if "alert" in r
    }
    assert rules["LinnetAccuracyFell"]["expr"] == 'linnet_accuracy_fall{model="tiny"} > 0.03'


class _Fixed:
    def __init__(self, families: list[object]) -> None:
        self._families = families

    def collect(self) -> list[object]:
        return self._families


def test_what_one_group_sends_drifts_against_its_own_past(shops: Shops) -> None:
    """Shop fr always sent dark pictures: that is no drift of it, and turning bright is."""
    dark = (20, 90)
    shops.hour(1, fr=dark, count=600)
    again, _ = shops.hour(2, fr=dark, count=600)
    mine = {one.value: one for one in again.cohorts if one.cohort == "store"}
    assert mine["fr"].effects and not mine["fr"].drifted and not mine["de"].drifted
    assert mine["fr"].reference_share == pytest.approx(0.3, abs=0.01)
    bright, _ = shops.hour(3, fr=(150, 236), count=600)
    mine = {one.value: one for one in bright.cohorts if one.cohort == "store"}
    assert mine["fr"].drifted and mine["fr"].effect > 0.5 and not mine["de"].drifted


def test_page_and_terminal_show_each_group(shops: Shops, capsys: pytest.CaptureFixture[str]) -> None:
    drift, found = shops.hour(1)
    home = shops.folder / "hour1"
    publish(home / "window", shops.champion, [home / "out"], home / "page", evidently=False, kept=False)
    page = (home / "page" / "report.html").read_text()
    assert "Groups of users" in page and "<td>store<td>fr" in page
    show_drift(drift, found, home / "page" / "report.html")
    assert "accuracy on store=fr" in capsys.readouterr().out


def test_damaged_past_of_a_group_is_told_and_left_out(
    shops: Shops, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shops.hour(1)
    file = next((state / "monitoring").rglob("segments.npz"))
    file.write_bytes(b"x")
    assert not segment_baseline("tiny", "1", datetime(2027, 1, 1, tzinfo=UTC))
    assert "an earlier window is left out" in caplog.text
