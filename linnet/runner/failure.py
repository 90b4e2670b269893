"""Why a task's program ended badly, in a line that a person can act on."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from linnet.run.log import own_lines

_TAIL_BYTES = 1 << 18
"""How much of a log's end is read: more than the executor itself says of its input."""
_LONGEST = 500
_NOTHING = re.compile(r"[\s\[\](){},;:|^~=*#.-]*")
_TRACEBACK = "Traceback (most recent call last):"
_SHOWN_AFTER = 25
"""Lines of an exception's own text up to which its first one is taken for the reason."""
_HINTS = {
    "SIGKILL": "somebody ended it, or the system did for want of memory",
    "SIGTERM": "somebody ended it",
    "SIGSEGV": "native code broke: see its log",
    "SIGBUS": "native code broke, or a file that it had mapped was cut",
    "SIGABRT": "native code gave up: see its log",
    "SIGILL": "a library was built for another processor",
    "SIGXCPU": "it used up its CPU time (ulimit -t)",
    "SIGXFSZ": "it wrote a file longer than it may (ulimit -f)",
}


def failure(log: Path, start: int, code: int, out_of_memory: bool = False) -> str:
    """The reason of a program that did not end with 0.

    Args:
        log: its output.
        start: where in it this attempt's output begins.
        code: its exit status; -N: signal N ended it.
        out_of_memory: whether the kernel ended a process for want of memory while it ran.
    """
    said = last_words(_tail(log, start))
    if code >= 0:
        return f"{said} (exit status {code})" if said else f"exit status {code}, without a word"
    how = _signal(-code, out_of_memory)
    return f"{how}; its last line: {said}" if said else how


def last_words(lines: Sequence[str]) -> str:
    """The line of a program's output that says most of its end.

    That is the exception of a traceback that stands at the end, or else the last line that says something.
    What KFP's executor says of itself, and lines of brackets alone, say nothing.
    """
    own = [line.rstrip() for line in own_lines(lines)]
    traces = [number for number, line in enumerate(own) if line.strip() == _TRACEBACK]
    if traces and (raised := _raised(own[traces[-1] + 1 :])):
        return raised
    words = (line.strip() for line in reversed(own) if not _NOTHING.fullmatch(line))
    return next(words, "")[:_LONGEST]


def oom_kills() -> int:
    """How many processes the kernel has ended for want of memory since the machine started (proc_vmstat)."""
    try:
        fields = Path("/proc/vmstat").read_text("ascii").split()
        return int(fields[fields.index("oom_kill") + 1])
    except (OSError, ValueError):
        return 0


def _raised(after: Sequence[str]) -> str:
    """The first line of the exception that ends a traceback; nothing where much was said after it."""
    for number, line in enumerate(after):
        if line and not line[0].isspace():
            return line[:_LONGEST] if len(after) - number <= _SHOWN_AFTER else ""
    return ""


def _signal(number: int, out_of_memory: bool) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "another signal"
    hint = "the machine ran out of memory" if name == "SIGKILL" and out_of_memory else _HINTS.get(name, "")
    return f"ended by {name} (signal {number})" + (f": {hint}" if hint else "")


def _tail(log: Path, start: int) -> list[str]:
    try:
        with log.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(start, end - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
