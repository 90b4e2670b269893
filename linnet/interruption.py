"""Ctrl-C held back while something is begun that would be left behind if its beginning were cut short."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def held() -> Iterator[threading.Event]:
    """Notes the first Ctrl-C instead of raising it; a second one raises at once.

    Whoever asks for this looks at the event afterwards and undoes what was begun. Where Ctrl-C is not
    Python's own KeyboardInterrupt (another thread, a server), nothing changes.
    """
    pressed = threading.Event()
    own = threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield pressed
        return

    def note(*_: object) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
