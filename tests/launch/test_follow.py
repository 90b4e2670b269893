"""Following a run: one that somebody else started, and what a command that is ended says of its run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linnet.records import RunRequest, StageRecord, now
from linnet.run import ending, runs


@pytest.fixture
def run() -> Path:
    """A run that is under way: this process holds its lock."""
    _, folder = runs.create("training", {"name": "tiny"}, RunRequest(cause="person", actor="ada"))
    return folder


def stage(folder: Path, task: str, state: str = "succeeded", **more: object) -> None:
    values = {"task": task, "state": state, "started_at": now(), "seconds": 1.0, **more}
    StageRecord.model_validate(values).save(folder / "stages" / f"{task}.json")


def follow(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "linnet", "runs", "follow", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_run_of_another_terminal_is_followed_to_its_end(run: Path) -> None:
    lock = runs.hold(run)
    stage(run, "ingest", values={"samples": 400})
    with follow(run.name[:-2]) as process:
        assert line_of(process).split()[0] == "ingest"
        stage(run, "train", values={"epochs": 3})
        assert "epochs 3" in line_of(process)
        stage(run, "evaluate", "failed", error="a metric is not a number", exit_code=1)
        ending.finish(run, worked=False)
        os.close(lock)
        rest, _ = process.communicate(timeout=150)
    assert "a metric is not a number" in rest and process.returncode == 1


def test_ctrl_c_stops_following_and_not_the_run(run: Path) -> None:
    lock = runs.hold(run)
    stage(run, "ingest")
    with follow(run.name) as process:
        line_of(process)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=150)
    assert f"the run goes on: `linnet runs follow {run.name}`" in rest and process.returncode == 130
    assert runs.alive(run) and runs.load(run).state == "running"
    os.close(lock)


def test_run_whose_process_is_gone_is_not_followed_for_ever(run: Path) -> None:
    process = follow(run.name)
    told, _ = process.communicate(timeout=150)
    assert "interrupted" in told and process.returncode == 130


FOLLOWER = """
import sys
from types import SimpleNamespace
from rich.console import Console
from linnet.launch.client import Host
from linnet.launch.follow import follow, follow_remote
from linnet.launch.submit import Submitted

class Client:
    def get_run(self, run_id):
        return SimpleNamespace(state="RUNNING", run_details=None)

run_id, host = sys.argv[1:]
run = Submitted(Host(host or "http://127.0.0.1:1"), Client(), run_id)
print("following", flush=True)
import linnet.launch.follow as module
module.running_engine = lambda: object()  # no engine is to be started here
(follow_remote if host else follow)(run, Console())
"""


@pytest.mark.parametrize("host", ["", "https://kfp.example.org"])
def test_command_that_is_terminated_says_what_becomes_of_its_run(run: Path, host: str) -> None:
    lock = runs.hold(run)
    command = [sys.executable, "-c", FOLLOWER, run.name, host]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line_of(process)
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=150)
    where = f" --host {host}" if host else ""
    assert process.returncode == 143
    assert f"the run goes on: `linnet runs follow {run.name}{where}` shows it" in told
    assert f"`linnet runs terminate {run.name}{where}` ends it" in told
    assert runs.alive(run)
    os.close(lock)


SUBMITTER = """
import sys, time
from types import SimpleNamespace
from rich.console import Console
from linnet.commands import training
from linnet.launch.client import Host
from linnet.launch.submit import Submitted

def submit():
    print("submitting", flush=True)
    if sys.argv[1] == "slow":
        time.sleep(2)
        return Submitted(where, None, "shop-1")
    time.sleep(60)

where = Host("https://kfp.example.org")
training.submit_to_end(submit, where, Console())
"""


@pytest.mark.parametrize(("answer", "signals", "says"), [
    ("slow", 1, "the run goes on: `linnet runs follow shop-1 --host https://kfp.example.org` shows it"),
    ("never", 2, "whether the run was taken is not known: `linnet runs list --host https://kfp.example.org`"),
])  # fmt: skip
def test_command_that_is_terminated_while_it_submits_names_the_run_that_was_taken(
    answer: str, signals: int, says: str
) -> None:
    command = [sys.executable, "-c", SUBMITTER, answer]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line_of(process)
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        _, told = process.communicate(timeout=150)
    assert process.returncode == 143 and says in told
