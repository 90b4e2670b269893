"""kill -9 of the engine or of a worker, anywhere in the training DAG: the same command finishes the job."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.use_case import UseCase

KILLS = 50
_LONGEST_SECONDS = 25.0
"""About how long a run of this use case takes on a machine that does nothing else."""


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


def killed(case: UseCase, whom: str, after: float) -> subprocess.Popen[str]:
    """Starts the command, and kills `whom` some seconds after the run began."""
    process = case.start("run", "photos.toml")
    until = time.monotonic() + 120
    while not (case.runs() and (case.runs()[-1] / "worker.json").exists()):
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.02)
    time.sleep(after)
    if process.poll() is None:
        os.kill(engine(case) if whom == "engine" else worker(case.runs()[-1]), signal.SIGKILL)
    return process


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_engine_is_started_again_and_the_command_follows_its_run_to_the_end(
    tmp_path: Path,
) -> None:
    case = UseCase.of_photos(tmp_path)
    process = killed(case, "engine", after=2.0)
    stdout, stderr = process.communicate(timeout=500)
    assert process.returncode == 0 and "Traceback" not in stdout + stderr, stdout + stderr
    assert len(case.runs()) == 1
    assert outcome(case)["aliases"] == ["champion"] and outcome(case)["promotions"] == 1
    finish(case)
    assert outcome(case)["promotions"] == 1


@pytest.mark.proof
@pytest.mark.timeout(3 * 3600)
def test_fifty_kills_at_random_points_leave_what_an_undisturbed_run_leaves(tmp_path: Path) -> None:
    undisturbed = UseCase.of_photos(tmp_path / "undisturbed")
    finish(undisturbed)
    expected = outcome(undisturbed)
    chance = random.Random(20261124)
    for number in range(KILLS):
        case = UseCase.of_photos(tmp_path / f"{number:02}")
        whom, after = chance.choice(("engine", "worker")), chance.uniform(0, _LONGEST_SECONDS)
        killed(case, whom, after).communicate(timeout=500)
        finish(case)
        assert outcome(case) == expected, (number, whom, after)
