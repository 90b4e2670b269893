"""Rollouts without a process, where the state of one is damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from linnet.automation.abandoned_rollouts import AbandonedRollouts


def test_state_that_cannot_be_settled_hides_no_other_and_is_told_once(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Models behind it by name kept their candidate's share until the server's lease ran out."""
    (state / "rollouts").mkdir(parents=True)
    older = {"candidate": "2", "percent": 5, "phase": "running"}  # named neither model nor times
    times = dict.fromkeys(("started_at", "at"), "2026-01-01T00:00:00Z")
    whole = {**older, "model": "b", "champion": "1", **times}
    for name, values in (("a", older), ("b", whole)):
        (state / "rollouts" / f"{name}.json").write_text(json.dumps(values))
        os.utime(state / "rollouts" / f"{name}.json", (0, 0))
    part = AbandonedRollouts()
    for _ in range(2):
        part.tick()
        part._looks.be_due()
    assert "abandoned" in json.loads((state / "rollouts" / "b.json").read_text())
    assert capsys.readouterr().out.count("a.json cannot be settled") == 1


def test_ledger_that_keeps_a_rollout_from_being_settled_is_told_once(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was tried again every five seconds, for good, and nobody was told."""
    (state / "rollouts").mkdir(parents=True)
    left = {"model": "b", "champion": "1", "candidate": "2", "percent": 5, "phase": "running"}
    left |= dict.fromkeys(("started_at", "at"), "2026-01-01T00:00:00Z")
    (state / "rollouts" / "b.json").write_text(json.dumps(left))
    os.utime(state / "rollouts" / "b.json", (0, 0))
    (state / "ledger").mkdir()
    (state / "ledger" / "promotions.jsonl").write_text("this is no line of a ledger\n")
    part = AbandonedRollouts()
    for _ in range(3):
        part.tick()
        part._looks.be_due()
    said = capsys.readouterr().out
    assert said.count("b.json is not settled yet") == 1 and "promotions.jsonl" in said
