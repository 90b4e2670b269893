"""The ledger: what it keeps, a torn last line, and every kind of change."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.errors import RegistryError
from linnet.records import LedgerEntry, now
from linnet.registry.ledger import Ledger


def entry(version: str) -> LedgerEntry:
    return LedgerEntry(
        at=now(), actor="ada@lab", action="promote", model="tiny", version=version, previous=None,
        reason="good", evidence={"margin": 0.01},
    )  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "deep" / "promotions.jsonl")
    for version in ("1", "2", "3"):
        made.append(entry(version))
    return made


def test_ledger_gives_back_what_was_appended(tmp_path: Path) -> None:
    ledger, first = Ledger(tmp_path / "promotions.jsonl"), entry("1")
    assert ledger.entries() == [] and ledger.verify() == 0
    ledger.append(first)
    assert ledger.entries("tiny") == [first] and ledger.entries("other") == []


def test_ledger_torn_at_any_byte_loses_only_the_last_line(ledger: Ledger) -> None:
    whole = ledger.path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for length in range(start, len(whole)):
        ledger.path.write_bytes(whole[:length])
        assert [e.version for e in ledger.entries()] == ["1", "2"]
    ledger.append(entry("4"))
    assert [e.version for e in ledger.entries()] == ["1", "2", "4"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"ada", b"eve"), lines[2]], 2),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], lines[2], lines[1]], 2),
        (lambda lines: [*lines, lines[2]], 4),
        (lambda lines: [lines[0], b"not json\n", lines[2]], 2),
        (lambda lines: [lines[0], lines[1], b"[1]\n"], 3),
    ],
)
def test_ledger_that_was_changed_names_the_line(ledger: Ledger, change: object, line: int) -> None:
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(change(lines)))  # type: ignore[operator]
    with pytest.raises(RegistryError, match=f"line {line} is not what Linnet wrote"):
        ledger.verify()
    with pytest.raises(RegistryError):
        ledger.append(entry("4"))
