"""What a class may be called: one rule for folders, tables, exports and the config."""

from __future__ import annotations

import unicodedata

LONGEST = 100
"""Characters of a class name at most: it stands in tables, addresses, charts and answers."""


def normal(name: str) -> str:
    """A class name as it is compared: trimmed, in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name.strip())


def problem_of(name: str) -> str:
    """What is wrong with a class name, already normal; empty where nothing is."""
    if not name:
        return "is empty"
    bad = next((letter for letter in name if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")), "")
    if bad:
        called = {"\n": "a newline", "\t": "a tab", "\r": "a carriage return"}.get(bad, f"U+{ord(bad):04X}")
        return f"holds a control character ({called})"
    hidden = next((letter for letter in name if letter in _HIDDEN), "")
    if hidden:
        return f"holds an invisible character (U+{ord(hidden):04X})"
    return f"has {len(name)} characters, at most {LONGEST} are accepted" if len(name) > LONGEST else ""


_HIDDEN = frozenset("\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff")
"""They turn or hide what follows them, so that two names look like one."""
