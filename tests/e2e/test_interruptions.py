"""Ctrl-C and kill -9 while a stage is under way: nothing is left behind, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.test_kills import finish, kill, outcome, said
from tests.e2e.use_case import UseCase, interrupt

STAGES = (
    "ingest",
    "validate",
    "build_features",
    "train",
    "evaluate",
    "package",
    "register",
    "release",
)
BRIEF = ("ingest", "register")
"""May be done before the signal arrives: 150 images are read in 0.1 s."""


def interrupted(case: UseCase, stage: str, whole_group: bool) -> None:
    """Runs until `stage` is under way, presses Ctrl-C, and checks all that must hold after it."""
    seen = len(case.runs())
    process = case.start("run", "photos.toml")
    run = case.wait_for_stage(stage, process, seen)
    time.sleep(0.3 if stage not in BRIEF else 0.0)
    interrupt(process, whole_group)
    stdout, stderr = process.communicate(timeout=60)
    left = case.processes()
    assert process.returncode == 130, (stage, stdout, stderr)
    assert left == {}, stage
    assert "Traceback" not in stdout + stderr and stderr == ""
    assert stdout.count("stopping the run") == 1 and "run the same command again" in stdout
    assert case.record(run)["state"] == "interrupted", case.record(run)
    ended = case.stages(run)[stage]
    done_meanwhile = stage in BRIEF and ended["state"] == "succeeded"
    assert done_meanwhile or (ended["state"], ended["error"]) == ("failed", "interrupted"), ended


def worker_killed(case: UseCase, stage: str) -> None:
    """Kills the run's worker while `stage` is under way: the command ends, and nothing goes on without it."""
    seen = len(case.runs())
    process = case.start("run", "photos.toml")
    run = case.wait_for_stage(stage, process, seen)
    time.sleep(1.5 if stage == "release" else 0.3)  # until its server is up
    os.kill(json.loads((run / "worker.json").read_text())["pid"], signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in stdout + stderr, stdout + stderr
    assert gone(case), case.processes()
    shown = case.linnet("runs", "list", "--limit", "1").stdout
    assert run.name in shown and "interrupted" in shown


def all_in_turn(case: UseCase, stages: tuple[str, ...]) -> None:
    """Interrupts the same command in one stage after the other; then it ends with one champion."""
    for number, stage in enumerate(stages):
        interrupted(case, stage, whole_group=number % 2 == 0)
        if (case.state / "ledger").exists():
            assert {line["entry"]["action"] for line in case.ledger()} <= {"register", "challenge"}
    done = case.linnet("run", "photos.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    (version,) = case.versions()
    assert version["aliases"] == ["champion"]
    assert case.processes() == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_and_kills_in_training_and_release_and_the_same_command_ends_with_one_version(
    tmp_path: Path,
) -> None:
    case = UseCase.of_photos(tmp_path)
    for stage in ("train", "release"):
        interrupted(case, stage, whole_group=stage == "train")
        worker_killed(case, stage)
    assert {line["entry"]["action"] for line in case.ledger()} == {"register", "challenge"}
    seen = len(case.runs())
    process = case.start("run", "photos.toml")
    case.wait_for_stage("release", process, seen)
    assert kill(case, process, "engine", after=0.5) == "engine in release"
    assert said(process) == 0, "the command starts the engine again and follows its run to the end"
    assert len(case.runs()) == seen + 1
    left = outcome(case)
    assert (left["aliases"], left["promotions"]) == (["champion"], 1)
    finish(case)
    assert outcome(case) == left


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_ctrl_c_in_every_stage_in_turn_and_the_same_command_ends_with_one_version(tmp_path: Path) -> None:
    all_in_turn(UseCase.of_photos(tmp_path), STAGES)


@pytest.mark.slow
def test_ctrl_c_before_the_first_stage_is_one_word(tmp_path: Path) -> None:
    case = UseCase.of_photos(tmp_path, each=12)
    for wait in (0.0, 0.2, 0.4, 0.6):
        process = case.start("run", "photos.toml")
        wait_until_importing(process.pid)
        time.sleep(wait)
        interrupt(process, whole_group=True)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stdout + stderr
        assert "Traceback" not in stdout + stderr
        assert stderr == "interrupted\n" or (stderr == "" and "stopping the run" in stdout)
        assert case.processes() == {}


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["engine/engine.db", "runs/*/run.json"])
def test_ctrl_c_while_the_engine_starts_or_takes_the_run_leaves_nothing(tmp_path: Path, sign: str) -> None:
    case = UseCase.of_photos(tmp_path, each=12)
    process = case.start("run", "photos.toml")
    until = time.monotonic() + 60
    while not list(case.state.glob(sign)):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.001)
    interrupt(process, whole_group=False)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in stdout + stderr, stdout + stderr
    assert stderr == "interrupted\n" or (stderr == "" and "stopping the run" in stdout)
    assert case.processes() == {}
    assert all(case.record(run)["state"] == "interrupted" for run in case.runs())


def wait_until_importing(pid: int, patience: float = 30.0) -> None:
    """Waits until the command imports its libraries: before that Python itself answers to Ctrl-C."""
    until = time.monotonic() + patience
    while "pydantic_core" not in Path(f"/proc/{pid}/maps").read_text():
        assert time.monotonic() < until
        time.sleep(0.005)


def gone(case: UseCase, patience: float = 15.0) -> bool:
    """Whether all processes end within `patience` seconds: nobody asks a server whose release was killed."""
    until = time.monotonic() + patience
    while case.processes() and time.monotonic() < until:
        time.sleep(0.1)
    return not case.processes()
