"""The reason of a failed task: the line that a person needs, and not the last bracket."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.runner.failure import failure, last_words

EXECUTOR = """\
[KFP Executor 2026-11-27 20:29:05,182 INFO]: Looking for component `b` in --component_module_path `/x.py`
[KFP Executor 2026-11-27 20:29:05,182 INFO]: Loading KFP component "b" from /x.py
[KFP Executor 2026-11-27 20:29:05,184 INFO]: Got executor_input:
{
    "inputs": {
        "parameterValues": {}
    }
}
"""
RAISED = """\
Traceback (most recent call last):
  File "/x.py", line 3, in <module>
    f()
pydantic_core._pydantic_core.ValidationError: 1 validation error for X
a
  Input should be a valid integer
    For further information visit https://errors.pydantic.dev/2/v/int_type
"""
CHAINED = """\
Traceback (most recent call last):
  File "/x.py", line 1, in g
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/x.py", line 3, in f
    raise ValueError("no a")
ValueError: no a
"""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (EXECUTOR, ""),
        (EXECUTOR + "epoch 3 of 5\n}\n  ]\n\n", "epoch 3 of 5"),
        (EXECUTOR + RAISED, "pydantic_core._pydantic_core.ValidationError: 1 validation error for X"),
        (CHAINED, "ValueError: no a"),
        (CHAINED + "handled\n" * 60 + "the disk broke\n", "the disk broke"),
        ("[KFP Executor 2026-11-27 20:29:05,182 ERROR]: no such column\n", "error: no such column"),
        ("=====\n-----\n", ""),
    ],
)
def test_last_words_are_the_line_that_says_most(said: str, words: str) -> None:
    assert last_words(said.splitlines()) == words


@pytest.mark.parametrize(
    ("code", "memory", "reason"),
    [
        (-9, False, "ended by SIGKILL (signal 9): somebody ended it, or the system did for want of memory; "
                    "its last line: epoch 3"),
        (-9, True, "ended by SIGKILL (signal 9): the machine ran out of memory; its last line: epoch 3"),
        (-11, True, "ended by SIGSEGV (signal 11): native code broke: see its log; its last line: epoch 3"),
        (-64, False, "ended by SIGRTMAX (signal 64); its last line: epoch 3"),
        (3, False, "epoch 3 (exit status 3)"),
    ],
)  # fmt: skip
def test_reason_names_the_signal_and_what_it_may_mean(
    tmp_path: Path, code: int, memory: bool, reason: str
) -> None:
    log = tmp_path / "log.txt"
    log.write_text("an earlier attempt\nValueError: earlier\n")
    start = log.stat().st_size
    assert "earlier" not in failure(log, start, code, memory)
    with log.open("a") as file:
        file.write(EXECUTOR + "epoch 3\n}\n")
    assert failure(log, start, code, memory) == reason
