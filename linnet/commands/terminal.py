"""The terminal that commands write to: what comes from data is shown as it is."""

from __future__ import annotations

from rich.console import Console


def terminal(stderr: bool = False, soft_wrap: bool = False) -> Console:
    """A console that takes no text for markup or emoji: `scan[red].png` and `ok[/b]` are names.

    It holds for tables and titles, too. Color is given as a style or as a `Text`, never in brackets.
    """
    return Console(stderr=stderr, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)
