"""Ctrl-C that Python would drop is heard all the same."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from linnet.process.interruption import caused_by_interrupt

DROPS = """
import time
from linnet.process import interruption
{first}

class Drops:
    def __del__(self):
        raise {error}

try:
    Drops()
    time.sleep({wait})
    print("went on")
except KeyboardInterrupt:
    print("heard")
"""


def run(first: str, error: str, wait: float) -> tuple[str, str]:
    program = DROPS.format(first=first, error=error, wait=wait)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=150, check=True
    )
    return done.stdout.strip(), done.stderr


def test_interrupt_that_a_destructor_drops_is_heard_and_nothing_is_printed() -> None:
    began = time.monotonic()
    assert run("interruption.install_interrupt_hook()", "KeyboardInterrupt", wait=120) == ("heard", "")
    assert time.monotonic() - began < 110


@pytest.mark.parametrize(
    ("first", "error"),
    [("", "KeyboardInterrupt"), ("interruption.install_interrupt_hook()", "ValueError('why')")],
)
def test_anything_else_is_told_as_ever(first: str, error: str) -> None:
    heard, told = run(first, error, wait=0.2)
    assert heard == "went on" and "Exception ignored in" in told and error.split("(")[0] in told


def test_ctrl_c_behind_another_error_is_found() -> None:
    class Descriptor:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(RuntimeError) as caught:  # Python 3.12 and later let it through
        try:
            type("Defined", (), {"field": Descriptor()})
        except KeyboardInterrupt as error:
            raise RuntimeError from error
    assert caused_by_interrupt(caught.value) and caused_by_interrupt(KeyboardInterrupt())
    assert not caused_by_interrupt(RuntimeError()) and not caused_by_interrupt(None)


TERMINABLE = """
import os, signal, sys, time
from linnet.process.interruption import terminable
if sys.argv[1] == "&":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
if sys.argv[1] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
with terminable():
    try:
        os.kill(os.getpid(), int(sys.argv[2]))
        print("went on", end="")
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        print("undone", end="")
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""


@pytest.mark.parametrize(
    ("started", "number", "said"),
    [
        ("", 15, "undone"),
        ("", 1, "undone"),
        ("&", 15, "undone"),
        ("nohup", 1, "went on"),
    ],
)
def test_signals_that_end_a_program_do_what_ctrl_c_does_once(started: str, number: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TERMINABLE, started, str(number)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == (said, 0), done.stderr
