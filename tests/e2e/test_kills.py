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

KILLS, EACH = 50, 5
"""Kills in all, and how many of them come down on one use case."""


def victim(case: UseCase, whom: str) -> int | None:
    """The process id of the case's engine, or of its newest run's worker, if it lives."""
    try:
        file = case.state / "engine" / "engine.json" if whom == "engine" else case.runs()[-1] / "worker.json"
        pid = int(json.loads(file.read_text())["pid"])
    except (OSError, IndexError):
        return None
    return pid if pid in case.processes() else None


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
    until = time.monotonic() + 90
    while case.processes() and time.monotonic() < until:
        time.sleep(0.1)
    assert case.processes() == {}


def said(process: subprocess.Popen[str]) -> int:
    """The exit status of a command that must have spoken to a person only."""
    stdout, stderr = process.communicate(timeout=500)
    assert "Traceback" not in stdout + stderr, stdout + stderr
    return process.returncode


def kill(case: UseCase, process: subprocess.Popen[str], whom: str, after: float) -> str:
    """Kills the engine or the worker some seconds after it is seen at work; what was under way then.

    An empty text if the command, or the run, ended before.
    """
    until = time.monotonic() + 120
    while victim(case, "worker") is None or victim(case, whom) is None:
        if process.poll() is not None:
            return ""
        assert time.monotonic() < until, f"there is no {whom} to kill"
        time.sleep(0.05)
    time.sleep(after)
    pid = victim(case, whom)
    if pid is None or case.record()["state"] != "running":
        return ""
    under_way = [name for name, stage in case.stages().items() if stage["state"] == "running"]
    os.kill(pid, signal.SIGKILL)
    return f"{whom} in {', '.join(under_way) or 'no step'}"


@dataclass(frozen=True)
class Undisturbed:
    """What a run leaves that nobody kills, and the seconds it takes."""

    outcome: dict[str, Any]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    case = UseCase.of_photos(tmp_path_factory.mktemp("undisturbed"))
    finish(case)
    record = case.record(case.runs()[0])
    began, ended = (datetime.fromisoformat(record[name]) for name in ("started_at", "ended_at"))
    return Undisturbed(outcome(case), (ended - began).total_seconds())


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(KILLS // EACH))
def test_kills_at_random_points_leave_what_an_undisturbed_run_leaves(
    undisturbed: Undisturbed, tmp_path: Path, number: int
) -> None:
    chance = random.Random(20261124 + number)
    landed: list[str] = []
    for attempt in range(EACH):
        case = UseCase.of_photos(tmp_path / str(attempt))
        process = case.start("run", "photos.toml")
        while len(landed) < EACH and process.poll() != 0:
            if process.poll() is not None:
                said(process)
                process = case.start("run", "photos.toml")  # the same command
            after = chance.uniform(0, 1.6 * undisturbed.seconds / EACH)
            landed += filter(None, [kill(case, process, chance.choice(("engine", "worker")), after)])
        said(process)
        finish(case)
        assert outcome(case) == undisturbed.outcome, landed
        if len(landed) == EACH:  # else the run ended before the last kill: another use case gets the rest
            break
    print(f"kills {number}: {'; '.join(landed)}")
    assert len(landed) == EACH
