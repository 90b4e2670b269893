"""Ctrl-C: not lost where Python would drop it, and held back where it would leave something behind."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_AGAIN_SECONDS = 0.02
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
"""What ends a program beside Ctrl-C: somebody, or its terminal that is closed."""


def install_interrupt_hook() -> None:
    """Has Ctrl-C raised again, a moment later, where it was raised in vain.

    An exception in a destructor, or in Python code that an extension calls without being able to fail
    (pydantic-core building a validator at import), goes to `sys.unraisablehook`, which prints it; then
    the program goes on as if nobody had pressed anything.
    """
    usual, main = sys.unraisablehook, threading.main_thread().ident or 0

    def reraise(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            usual(lost)
            return
        # Not here, where it would be lost once more; and to the thread that waits, or it would wait on.
        again = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (main, signal.SIGINT))
        again.daemon = True
        again.start()

    sys.unraisablehook = reraise


def caused_by_interrupt(error: BaseException | None) -> bool:
    """Whether an exception is Ctrl-C, or was made of it, as a class that is being defined does."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[threading.Event]:
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


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Has the first SIGTERM, or SIGHUP, do what Ctrl-C does, also where Ctrl-C itself is ignored.

    For what must undo or end something on its way out. Later ones come while it does so, and are passed over.
    What the caller has ignored (`nohup`) stays so. Only in the main thread; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = threading.Event()

    def interrupt(_number: int, frame: FrameType | None) -> None:
        if heard.is_set():
            return
        heard.set()
        usual = signal.getsignal(signal.SIGINT)
        if not callable(usual):  # a shell has what it starts with `&` ignore Ctrl-C
            raise KeyboardInterrupt
        usual(signal.SIGINT, frame)

    before = {number: signal.getsignal(number) for number in ENDINGS}
    taken = [number for number, usual in before.items() if usual is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
