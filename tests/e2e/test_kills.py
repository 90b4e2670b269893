"""kill -9 of the engine or of a worker, anywhere in the training DAG: the same command finishes the job."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.use_case import UseCase

_chance = random.Random(20261124)
POINTS = [(_chance.choice(("engine", "worker")), round(_chance.random(), 3)) for _ in range(50)]
"""Whom to kill, and when: a part of the time that the undisturbed run took."""


def engine(case: UseCase) -> int:
    """The process id of the case's engine."""
    return int(json.loads((case.state / "engine" / "engine.json").read_text())["pid"])


def worker(run: Path) -> int:
    """The process id of a run's worker."""
    return int(json.loads((run / "worker.json").read_text())["pid"])


def outcome(case: UseCase) -> dict[str, Any]:
    """What a run leaves behind that must not depend on how often it was killed."""
    (version,) = case.versions()
    digests = {name: version["tags"][name] for name in ("dataset_digest", "model_digest")}
    promotions = [line for line in case.ledger() if line["entry"]["action"] == "promote"]
    return {
        **digests,
        "version": version["version"],
        "aliases": version["aliases"],
        "accuracy": version["metrics"]["accuracy"],
        "promotions": len(promotions),
    }


def finish(case: UseCase, tries: int = 4) -> None:
    """Types the same command until it is done; nothing may be left over."""
    for _ in range(tries):
        done = case.linnet("run", "photos.toml", timeout=400)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    until = time.monotonic() + 20
    while case.processes() and time.monotonic() < until:
        time.sleep(0.1)
    assert case.processes() == {}


def killed(case: UseCase, whom: str, after: float) -> tuple[subprocess.Popen[str], str]:
    """Starts the command, and kills `whom` some seconds after the run began.

    Gives the process, and the stages that were under way; an empty text if all was over by then.
    """
    process = case.start("run", "photos.toml")
    until = time.monotonic() + 120
    while not (case.runs() and (case.runs()[-1] / "worker.json").exists()):
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.02)
    time.sleep(after)
    if process.poll() is not None or case.record()["state"] != "running":
        return process, ""
    under_way = [name for name, stage in case.stages().items() if stage["state"] == "running"]
    os.kill(engine(case) if whom == "engine" else worker(case.runs()[-1]), signal.SIGKILL)
    return process, ", ".join(under_way) or "between two steps"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_engine_is_started_again_and_the_command_follows_its_run_to_the_end(
    tmp_path: Path,
) -> None:
    case = UseCase.of_photos(tmp_path)
    process, under_way = killed(case, "engine", after=2.0)
    stdout, stderr = process.communicate(timeout=500)
    assert under_way
    assert process.returncode == 0 and "Traceback" not in stdout + stderr, stdout + stderr
    assert len(case.runs()) == 1
    assert outcome(case)["aliases"] == ["champion"] and outcome(case)["promotions"] == 1
    finish(case)
    assert outcome(case)["promotions"] == 1


@dataclass(frozen=True)
class Undisturbed:
    """What a run leaves that nobody kills, and the seconds it takes from its first step to its end."""

    outcome: dict[str, Any]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    case = UseCase.of_photos(tmp_path_factory.mktemp("undisturbed"))
    finish(case)
    record = case.record()
    began, ended = (datetime.fromisoformat(record[name]) for name in ("started_at", "ended_at"))
    return Undisturbed(outcome(case), (ended - began).total_seconds())


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("whom", "part"), POINTS)
def test_kill_at_a_random_point_leaves_what_an_undisturbed_run_leaves(
    undisturbed: Undisturbed, tmp_path: Path, whom: str, part: float
) -> None:
    for attempt in range(5):
        case = UseCase.of_photos(tmp_path / str(attempt))
        process, under_way = killed(case, whom, part * undisturbed.seconds * 0.8**attempt)
        stdout, stderr = process.communicate(timeout=500)
        if under_way:  # else the run was over before the kill: it went faster than the undisturbed one
            break
    print(f"{whom} killed in: {under_way}; the command then: exit status {process.returncode}")
    assert under_way and "Traceback" not in stdout + stderr, stdout + stderr
    finish(case)
    assert outcome(case) == undisturbed.outcome
