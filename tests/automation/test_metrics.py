"""What is exposed of a registry where something cannot be read."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from linnet.automation import metrics
from linnet.errors import RegistryError
from linnet.records import LedgerEntry, ModelVersion
from tests.console.records import version


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
    assert "the newest window of fine is left out" in caplog.text and "drift.json" in caplog.text
    assert "retraining of fine is left out" in caplog.text
