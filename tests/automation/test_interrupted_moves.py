"""Moves that were cut short, where one of their files is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.automation import interrupted_moves
from linnet.automation.interrupted_moves import InterruptedMoves
from linnet.records import LedgerEntry, now


def test_damaged_intent_hides_no_other_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    folder = tmp_path / "registry"
    folder.mkdir()
    (folder / "a.intent.json").write_text("{")
    move = LedgerEntry(
        at=now(), actor="ada", action="promote", model="tiny", version="2", previous="1", reason="why"
    )
    move.save(folder / "tiny.intent.json")
    settled: list[LedgerEntry] = []
    monkeypatch.setattr(interrupted_moves, "settle", settled.append)
    part = InterruptedMoves()
    for _ in range(2):
        part.tick()
        if part._thread is not None:
            part._thread.join(10)
        part._next = 0.0
    assert settled == [move, move]
    assert capsys.readouterr().out.count("a.intent.json") == 1
