"""What a rollout's journal does not understand is told, and nothing is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.deployment.evidence import LabeledOutcome
from linnet.deployment.journal import Journal
from tests.deployment.test_rollout import FAST, pair, rollout


def test_order_that_cannot_be_read_is_told_in_the_record(tmp_path: Path) -> None:
    """Such as one of another Linnet: it was passed over, and whoever gave it never heard."""
    target, looks = pair(), 0

    def outcomes() -> list[LabeledOutcome]:
        nonlocal looks
        looks += 1
        if looks in (3, 5):
            with (tmp_path / "shop.orders.jsonl").open("a") as file:
                file.write('{"command": "rewind"}\n')
        return target.outcomes()

    decision = rollout(target, tmp_path, FAST, outcomes).run()
    assert decision.verdict == "promote"
    told = [mark.what for mark in decision.marks if "order" in mark.what]
    assert told == ["an order cannot be read, and is not carried out"] * 2


def test_state_that_cannot_be_read_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, content in (("torn", "{"), ("strange", "[]")):
        (tmp_path / f"{name}.json").write_text(content)
        assert Journal(tmp_path / f"{name}.json").read() == {}
        assert f"{name}.json: " in caplog.text
    caplog.clear()
    assert Journal(tmp_path / "none.json").read() == {} and not caplog.text
