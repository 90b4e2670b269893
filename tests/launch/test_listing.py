"""A host gives as many runs at once as it likes: the others are asked for, and what is left is said."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from linnet.launch.listing import newest_runs


class Host:
    """Of seven runs it gives three at once, however many are asked for."""

    def list_runs(self, page_size: int, page_token: str, sort_by: str) -> SimpleNamespace:
        assert sort_by == "created_at desc" and page_size > 0
        first = int(page_token or 0)
        last = min(first + min(page_size, 3), 7)
        return SimpleNamespace(runs=list(range(first, last)), next_page_token=str(last) if last < 7 else "")


@pytest.mark.parametrize(
    ("limit", "found", "more"), [(2, 2, True), (5, 5, True), (7, 7, False), (20, 7, False)]
)
def test_runs_of_a_host_are_asked_for_page_by_page(limit: int, found: int, more: bool) -> None:
    assert newest_runs(Host(), limit) == (list(range(found)), more)
