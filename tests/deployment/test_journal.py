"""What a rollout's journal does not understand is told, and nothing is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.deployment.evidence import LabeledOutcome
from linnet.deployment.journal import Journal
from linnet.records import JudgeSnapshot
from tests.deployment.test_rollout import FAST, pair, rollout
from tests.permissions import forbidden


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


STATE = {"candidate": "2", "percent": 5, "phase": "running", "started_at": "2026-01-01", "evidence": {"n": 1}}


@pytest.mark.parametrize(
    ("old", "new"), [('"percent":5', '"percent":50'), ('"n":1', '"n":9'), ("running", "paused")]
)
def test_state_edited_by_hand_is_told_and_counts_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, old: str, new: str
) -> None:
    journal = Journal(tmp_path / f"{new[-4:].strip(chr(34))}.json")
    journal.write(STATE)
    assert journal.read() == STATE
    text = journal.path.read_text()
    assert old in text
    journal.path.write_text(text.replace(old, new))
    assert journal.read() == {} and "was changed by hand" in caplog.text
    journal.path.write_text(text.rpartition(',"digest"')[0] + "}")  # of a Linnet before digests
    assert journal.read() == STATE


def test_lines_edited_by_hand_are_told_and_the_others_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "edited.json")
    journal.write(STATE)
    for command in ("pause", "resume", "abort"):
        journal.give(command, "ada")  # type: ignore[arg-type]
        journal.note(JudgeSnapshot(seconds=1.0, percent=5, judgements=()))
    orders = tmp_path / "edited.orders.jsonl"
    orders.write_text(orders.read_text().replace("resume", "abort", 1))
    assert [one.command for one in journal.orders("2026-01-01", 0)] == ["pause", "abort"]
    assert journal.unread_orders() == 1 and "was changed by hand" in caplog.text
    looks = tmp_path / "edited.looks.jsonl"
    looks.write_text(looks.read_text().replace('"percent":5', '"percent":50', 2))
    assert len(journal.looks()) == 1


def test_orders_that_may_not_be_read_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They counted as none: an abort was ignored without a word."""
    journal = Journal(tmp_path / "closed.json")
    journal.write(STATE)
    assert journal.unread_orders() == 0 and not caplog.text, "nobody ordered anything"
    journal.give("abort", "ada")
    with forbidden(tmp_path / "closed.orders.jsonl"):
        assert journal.orders("2026-01-01", 0) == [] and journal.unread_orders() == 1
    assert "closed.orders.jsonl" in caplog.text and "Permission denied" in caplog.text
    assert [one.command for one in journal.orders("2026-01-01", 0)] == ["abort"]
    assert journal.unread_orders() == 0
