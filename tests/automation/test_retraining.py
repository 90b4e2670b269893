"""The engine's part in retraining, where a ledger is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.automation.retraining import RetrainingSubmitter


def test_ledger_that_cannot_be_read_is_told_once(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was asked for was never submitted, and the engine's log said nothing of it."""
    (state / "ledger").mkdir(parents=True)
    (state / "ledger" / "retraining-tiny.jsonl").write_text("{\n")
    part = RetrainingSubmitter()
    assert not part.busy() and not part.busy()
    assert capsys.readouterr().out.count("are not submitted: ") == 1
