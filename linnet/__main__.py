"""The `linnet` command, which is also `python -m linnet`."""

import os
import sys

INTERRUPTED = 130
"""128 + SIGINT, as a shell says it."""


def main() -> None:
    """Entry point: Ctrl-C is understood from the first moment, while the command line is still imported."""
    try:
        from linnet import cli

        cli.main()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        _leave()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _leave()
        raise


def _leave() -> None:
    """Ends with status 130 at once.

    Python would kill itself by SIGINT at its end if Ctrl-C once fell into code that was made at run
    time (a dataclass being defined, say), also where the interruption was handled since.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
