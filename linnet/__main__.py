"""The `linnet` command, which is also `python -m linnet`."""

import sys


def main() -> None:
    """Entry point: Ctrl-C is understood from the first moment, while the command line is still imported."""
    try:
        from linnet import cli
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
