"""The `linnet` command, which is also `python -m linnet`."""

import os
import signal
import sys
from typing import NoReturn

INTERRUPTED = 130
"""128 + SIGINT, as a shell says it."""


def main() -> None:
    """Entry point: Ctrl-C is understood from the first moment, while the command line is still imported."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # else a shell had it ignored, for a job in the background
        # Nothing is begun yet, and an exception in the midst of an import may come out as any other.
        signal.signal(signal.SIGINT, lambda *_: _interrupted())
    from linnet import cli
    from linnet.process import interruption

    signal.signal(signal.SIGINT, usual)
    interruption.install_interrupt_hook()
    try:
        cli.main()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _leave()
        raise
    except BaseException as error:
        if interruption.caused_by_interrupt(error) and "--debug" not in sys.argv:
            _interrupted()
        raise


def _interrupted() -> NoReturn:
    os.write(2, b"interrupted\n")
    _leave()


def _leave() -> NoReturn:
    """Ends with status 130 at once.

    Python would kill itself by SIGINT at its end if Ctrl-C once fell into code that was made at run
    time (a dataclass being defined, say), also where the interruption was handled since.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
