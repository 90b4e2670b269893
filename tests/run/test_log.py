"""A task's log: the step's lines stay, what KFP's executor says of itself goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from linnet.cli import app
from linnet.records import RunRequest
from linnet.run import runs
from linnet.run.log import own_lines
from linnet.runner import task_process

STEP = """
import logging
import sys


def speaks(output_path: str) -> str:
    print("train: its settings changed")
    logging.warning("a library's warning")
    logging.info("a library's word\\nof two lines")
    print("loss 0.1", file=sys.stderr)
    return "done"
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose step was executed by KFP's own executor."""
    _, folder = runs.create("training", {"name": "tiny"}, RunRequest(cause="person", actor="ada"))
    source, log = folder / "code.py", folder / "logs" / "train.txt"
    log.parent.mkdir()
    source.write_text(STEP)
    told = {
        "inputs": {"parameterValues": {"output_path": "{\n}"}},
        "outputs": {"outputFile": str(tmp_path / "output.json")},
    }
    words = ["--function_to_execute", "speaks", "--executor_input", json.dumps(told)]
    process = task_process.start(task_process.Program(source, words, {}, log, fresh=True), ())
    import os

    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, log.read_text()
    (folder / "log.txt").write_text(f"=== train\n{log.read_text()}")
    return folder


def test_log_of_a_task_is_what_its_step_said(run: Path) -> None:
    printed = CliRunner().invoke(app, ["runs", "log", "--task", "train"])
    assert printed.exit_code == 0, printed.output
    assert sorted(printed.output.splitlines()) == [
        "a library's word", "loss 0.1", "of two lines", "train: its settings changed",
        "warning: a library's warning",
    ]  # fmt: skip


def test_log_of_a_run_is_what_its_steps_said(run: Path) -> None:
    told = CliRunner().invoke(app, ["runs", "log"]).output
    assert told.startswith("=== train\n") and "loss 0.1" in told and "executor" not in told.lower()


def test_raw_log_has_everything(run: Path) -> None:
    told = CliRunner().invoke(app, ["runs", "log", "--task", "train", "--raw"]).output
    assert "Got executor_input" in told and '"parameterValues"' in told


def test_json_that_a_step_prints_itself_stays() -> None:
    lines = ["{\n", '    "loss": 1\n', "}\n"]
    assert list(own_lines(lines)) == lines


def test_log_that_was_cut_off_inside_the_executors_json_ends_there() -> None:
    lines = ["first\n", "[KFP Executor 2026-11-27 17:08:17,248 INFO]: Got executor_input:\n", "{\n", "  1\n"]
    assert list(own_lines(lines)) == ["first\n"]
