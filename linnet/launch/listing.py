"""Lists of a KFP host, which gives so many at once as it likes."""

from __future__ import annotations

from typing import Any

_PAGE = 100
"""Runs that are asked for at once; a host may give fewer."""


def newest_runs(client: Any, limit: int) -> tuple[list[Any], bool]:
    """The newest runs of a host, and whether there are more: it gives so many at once, and no more."""
    runs_there: list[Any] = []
    token = ""
    while True:
        page = client.list_runs(
            page_size=min(limit - len(runs_there), _PAGE), page_token=token, sort_by="created_at desc"
        )
        runs_there += page.runs or []
        token = page.next_page_token or ""
        if not token or len(runs_there) >= limit:
            return runs_there[:limit], bool(token) or len(runs_there) > limit
