"""A task's output as a person wants it: the step's own lines, without what KFP's executor says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_EXECUTOR = re.compile(r"\[KFP Executor \S+ \S+ (?P<level>[A-Z]+)\]: (?P<text>.*)", re.DOTALL)
_ITS_OWN = (
    "Looking for component ",
    "--component_module_path is not specified.",
    "Loading KFP component ",
    "Wrote executor output file to ",
    "Did not write output file.",
)
_INPUT = "Got executor_input:"
"""Followed by pages of JSON, whose last line is a lone brace."""


def own_lines(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a task's (or a whole run's) output that the steps wrote.

    What a step logs with `logging` goes through the executor's format and is kept, without that format.
    """
    skipping = False
    for line in lines:
        if skipping:
            skipping = line.rstrip("\n") != "}"
            continue
        record = _EXECUTOR.match(line)
        if record is None:
            yield line
        elif record["text"].startswith(_INPUT):
            skipping = True
        elif not record["text"].startswith(_ITS_OWN):
            level = "" if record["level"] == "INFO" else f"{record['level'].lower()}: "
            yield level + record["text"]
