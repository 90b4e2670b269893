"""Work of the engine that is done every so many seconds, in a thread if it takes longer than a tick may."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Periodic:
    """When work is due, and the thread that does it: never two at once."""

    def __init__(self, name: str, seconds: float) -> None:
        """`seconds`: from the begin of one look to that of the next, at least."""
        self._name, self._seconds = name, seconds
        self._next = 0.0
        self._thread: threading.Thread | None = None

    def due(self) -> bool:
        """Whether it is time, and the work before has ended; if so, the next time is that much later."""
        if self.is_working() or time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._seconds
        return True

    def is_working(self) -> bool:
        """Whether the work that was begun goes on."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, work: Callable[..., None], *given: object) -> None:
        """Begins the work; the engine's end does not wait for it."""
        self._thread = threading.Thread(target=work, args=given, name=self._name, daemon=True)
        self._thread.start()

    def be_due(self) -> None:
        """Ends the wait: once the work under way is done, it is time to look."""
        if self._thread is not None:
            self._thread.join()
        self._next = 0.0
