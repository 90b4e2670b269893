"""What is exposed of a registry where something cannot be read."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from linnet.automation import metrics
from linnet.errors import RegistryError
from linnet.monitoring.history import history_folder
from linnet.records import Interval, LedgerEntry, ModelVersion, PerformanceReport, SkewReport, Window
from tests.console.records import version
from tests.permissions import forbidden


class Registry:
    """One model's champion cannot be read, nor can the ledger."""

    store = SimpleNamespace(models=lambda: ["broken", "fine"])

    def champion(self, model: str) -> ModelVersion:
        if model == "broken":
            raise RegistryError("its champion's tags are damaged")
        return version("7").model_copy(update={"name": model})

    @property
    def ledger(self) -> SimpleNamespace:
        def entries() -> list[LedgerEntry]:
            raise RegistryError("a line was changed")

        return SimpleNamespace(entries=entries)


def test_champion_that_cannot_be_read_hides_no_other_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics, "connect", lambda _: Registry())
    with caplog.at_level(logging.WARNING):
        text = metrics.exposition([]).decode()
    assert 'linnet_champion_created_seconds{model="fine",version="7"}' in text
    assert 'model="broken"' not in text
    assert "broken is left out: its champion's tags are damaged" in caplog.text
    assert "a line was changed" in caplog.text


def test_window_and_ledger_that_cannot_be_read_are_logged(
    state: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Their series went, and so did every alert on them, without a word."""
    monkeypatch.setattr(metrics, "connect", lambda _: Registry())
    for name in ("monitoring/fine/7/20260101T000000/drift.json", "ledger/retraining-fine.jsonl"):
        (state / name).parent.mkdir(parents=True)
        (state / name).write_text("{\n")
    metrics.exposition([])
    assert "a window of fine is left out" in caplog.text and "drift.json" in caplog.text
    assert "retraining of fine is left out" in caplog.text


def test_estimate_is_of_the_newest_window_and_a_damaged_record_hides_no_other(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where labels never came, the estimate of the oldest window was shown as that of now."""
    monkeypatch.setattr(metrics, "connect", lambda _: Registry())
    for day, estimate, labels in ((1, 0.9, 0.8), (2, 0.7, None), (3, 0.5, None)):
        folder = history_folder("fine", "7") / f"2026010{day}T000000"
        folder.mkdir(parents=True)
        (folder / "drift.json").write_text("{")
        (folder / "skew.json").write_text("{")
        performance(estimate, labels).save(folder / "performance.json")
    text = metrics.exposition([]).decode()
    assert 'linnet_estimated_accuracy{model="fine",version="7"} 0.5' in text
    assert 'linnet_live_accuracy{cohort="all",model="fine",value="all",version="7"} 0.8' in text


@pytest.mark.parametrize("hidden", ["20260101T000000", ""])
def test_windows_that_may_not_be_looked_at_hide_no_other_model_and_are_told(
    state: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hidden: str
) -> None:
    """All series of all models went."""
    both = Registry()
    both.store = SimpleNamespace(models=lambda: ["fine", "other"])
    monkeypatch.setattr(metrics, "connect", lambda _: both)
    for model in ("fine", "other"):
        folder = history_folder(model, "7") / "20260101T000000"
        folder.mkdir(parents=True)
        (folder / "drift.json").write_text("{")
        performance(0.5, None).save(folder / "performance.json")
    with forbidden(history_folder("fine", "7") / hidden):
        text = metrics.exposition([]).decode()
    assert 'linnet_estimated_accuracy{model="other",version="7"} 0.5' in text
    assert 'linnet_retraining_breaker_open{model="fine"}' in text and "of fine " in caplog.text
    assert 'linnet_estimated_accuracy{model="fine"' not in text and "Permission denied" in caplog.text


def test_audit_that_compared_nothing_is_no_zero(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "connect", lambda _: Registry())
    folder = history_folder("fine", "7") / "20260101T000000"
    folder.mkdir(parents=True)
    (folder / "drift.json").write_text("{")
    counts = dict.fromkeys(("rows", "unknown"), 9) | dict.fromkeys(
        ("by_store", "by_pixels", "differences"), 0
    )
    audit = SkewReport(verdict="fail", compared=0, by_name={}, examples=(), libraries=(), **counts)
    audit.save(folder / "skew.json")
    assert "linnet_skew_differences{" not in metrics.exposition([]).decode()
    audit.model_copy(update={"compared": 9}).save(folder / "skew.json")
    assert 'linnet_skew_differences{model="fine",version="7"} 0.0' in metrics.exposition([]).decode()


def performance(estimate: float, accuracy: float | None) -> PerformanceReport:
    """Of a window without rows."""
    moment, nan = datetime(2026, 1, 1, tzinfo=UTC), float("nan")
    window = Window(
        model="fine", version="7", start=moment, end=moment, rows=0, served=0, failed=0, late=0, images=0,
        latency_p50_ms=nan, latency_p95_ms=nan, enough=False,
    )  # fmt: skip
    return PerformanceReport(
        window=window, reference_accuracy=0.9, labelled=0, delay_p50_seconds=None,
        accuracy=None if accuracy is None else Interval(value=accuracy, low=accuracy, high=accuracy),
        loss=None, estimate=Interval(value=estimate, low=0.0, high=1.0), estimate_atc=nan,
        estimate_holds=False, doubts=(), classes=(), confusion=(), confusion_drift=(),
    )  # fmt: skip
