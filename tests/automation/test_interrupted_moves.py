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
        part._looks.be_due()
    assert settled == [move, move]
    assert capsys.readouterr().out.count("a.intent.json") == 1


def test_move_of_a_version_that_no_registry_has_is_told_once_and_asked_for_ever_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The registry was asked for it every five seconds for ever, and nobody was told."""
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    (tmp_path / "registry").mkdir()
    move = LedgerEntry(
        at=now(), actor="ada", action="promote", model="tiny", version="2", previous="1", reason="why"
    )
    move.save(tmp_path / "registry" / "tiny.intent.json")
    clock, asked = [100.0], []
    monkeypatch.setattr(interrupted_moves.time, "monotonic", lambda: clock[0])
    plain = interrupted_moves.settle
    monkeypatch.setattr(interrupted_moves, "settle", lambda one: (asked.append(clock[0]), plain(one)))
    part = InterruptedMoves()
    while clock[0] < 100.0 + 86_400:
        part.tick()
        part._looks.be_due()
        clock[0] += 6 * interrupted_moves.LOOK_SECONDS
    assert asked[:4] == [100.0, 130.0, 190.0, 310.0] and len(asked) < 35
    told = capsys.readouterr().out
    assert (
        told.count("no registry that is known here has tiny version 2") == 1 and "tiny*.intent.json" in told
    )
    assert (tmp_path / "registry" / "tiny.intent.json").exists(), "another registry may have it"
