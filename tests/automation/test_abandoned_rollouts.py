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
        part._next = 0.0
    assert "abandoned" in json.loads((state / "rollouts" / "b.json").read_text())
    assert capsys.readouterr().out.count("a.json cannot be settled") == 1
