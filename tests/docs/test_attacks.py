"""The table of attacks in docs/security.md: every row names a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)")


def test_every_attack_of_the_table_is_held_by_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|") and "::" in line]
    for row in rows:
        found = NAMED.search(row)
        assert found is not None, f"no test is named: {row}"
        path, name = ROOT / found[1], found[2]
        assert path.is_file() and f"def {name}(" in path.read_text("utf-8"), f"no such test: {row}"
    assert len(rows) >= 150
