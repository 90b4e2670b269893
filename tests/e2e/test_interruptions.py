"""Ctrl-C and kill -9 while a stage is under way: nothing is left behind, and the same command goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ctrl_c_in_every_stage_in_turn_and_the_last_run_ends_with_one_version(tmp_path: Path) -> None:
    case = UseCase.of_photos(tmp_path)
    for number, stage in enumerate(STAGES):
        interrupted(case, stage, whole_group=number % 2 == 0)
        aliases = [version["aliases"] for version in case.versions()] if stage == "release" else []
        assert all("champion" not in names for names in aliases)
    done = case.linnet("run", "photos.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    (version,) = case.versions()
    assert version["aliases"] == ["champion"]
    assert case.processes() == {}
