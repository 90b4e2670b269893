"""Pages that were asked for and that no browser came to show: few of them are kept, and for a short time.

The framework keeps each for a minute, with all its elements (0.15 MB), so that whoever asks often, and shows
nothing, makes the process large.
"""

from __future__ import annotations

import time

from nicegui import Client, app

MOST = 100
"""Pages that may wait for their browser."""
PATIENCE_SECONDS = 3.0
"""A browser comes within this time; no page is dropped earlier, however many there are."""


def watch() -> None:
    """Looks every second while the console runs."""
    app.timer(1.0, forget_abandoned)


def forget_abandoned(now: float | None = None) -> None:
    """Drops the oldest pages that nobody came for, as far as there are more than MOST."""
    now = now or time.time()
    waiting = (page.created for page in Client.instances.values() if not page.has_socket_connection)
    newest = sorted(waiting, reverse=True)
    if len(newest) > MOST:
        Client.prune_instances(client_age_threshold=max(PATIENCE_SECONDS, now - newest[MOST]))
