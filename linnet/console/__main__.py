"""The console's process: `python -m linnet.console`, as `linnet up` starts it."""

from __future__ import annotations

import argparse
import sys

from linnet.console.process import PORT, run_console
from linnet.errors import LinnetError
from linnet.storage.files import translate_storage


def main() -> int:
    """Serves until it is told to end."""
    parser = argparse.ArgumentParser(description="The console of this machine.")
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=PORT, help="port to listen on; 0 takes a free one")
    words = parser.parse_args()
    try:
        run_console(words.bind, words.port)
    except (LinnetError, OSError) as error:
        told = translate_storage(error) if isinstance(error, OSError) else error
        print(f"error: {told}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
