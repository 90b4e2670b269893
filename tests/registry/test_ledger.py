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
    """A kill in the middle of a line: what says how many lines there are is written after it."""
    ledger.path.with_suffix(".head").unlink()
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


@pytest.mark.parametrize("kept", [0, 1, 2, 2.5])
def test_ledger_that_was_cut_off_at_its_end_is_named(ledger: Ledger, kept: float) -> None:
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[: int(kept)]) + (lines[2][:40] if kept % 1 else b""))
    for act in (ledger.verify, ledger.entries, lambda: ledger.append(entry("4"))):
        with pytest.raises(RegistryError, match=rf"with line {int(kept)}, and promotions.head knows of 3"):
            act()
    ledger.path.unlink()
    with pytest.raises(RegistryError, match="ends with line 0"):
        ledger.verify()
    ledger.path.with_suffix(".head").unlink()
    assert ledger.verify() == 0, "both set aside: a new one"


def test_ledger_whose_last_line_another_one_replaced_is_named(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger(tmp_path / "other.jsonl")
    for version in ("1", "2", "9"):
        other.append(entry(version))
    ledger.path.write_bytes(other.path.read_bytes())
    with pytest.raises(RegistryError, match="cut off"):
        ledger.verify()


def test_ledger_of_a_linnet_without_heads_is_read_and_gets_one(ledger: Ledger) -> None:
    head = ledger.path.with_suffix(".head")
    head.unlink()
    assert ledger.verify() == 3
    ledger.append(entry("4"))
    assert '"sequence": 4' in head.read_text()
    head.write_text("{")
    with pytest.raises(RegistryError, match=r"promotions\.head: cannot be read"):
        ledger.verify()
