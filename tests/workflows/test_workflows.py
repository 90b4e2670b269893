"""The workflows: pinned, without rights they do not need, and sound to the tools that check them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPTS = sorted((ROOT / "scripts" / "ci").glob("*.sh"))


def read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)  # `on` is no boolean
    return loaded


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{path.name}:{name}", job) for path in WORKFLOWS for name, job in read(path)["jobs"].items()]


def test_there_are_four_workflows() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "nightly", "retrain", "train-on-merge"]


def test_actions_are_pinned_by_digest_and_say_which_version_that_is() -> None:
    used = [line for path in WORKFLOWS for line in path.read_text("utf-8").splitlines() if "uses:" in line]
    assert len(used) >= 8
    for line in used:
        assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_every_job_has_a_time_limit_and_only_the_rights_it_names() -> None:
    for path in WORKFLOWS:
        assert read(path)["permissions"] == {}, path.name
        assert "concurrency" in read(path), path.name
    for name, job in jobs():
        assert int(job["timeout-minutes"]) <= 350, name
        rights = {"contents": "read"}
        if "environment" in job:
            rights["id-token"] = "write"
        assert job["permissions"] == rights, name


def test_no_secret_reaches_a_fork_and_training_needs_the_environment() -> None:
    for path in WORKFLOWS:
        text = path.read_text("utf-8")
        assert "secrets." not in text and "pull_request_target" not in text, path.name
    for name, job in jobs():
        assert ("environment" in job) == (not name.startswith(("ci.yml", "nightly.yml"))), name


def test_a_hundred_random_dags_are_tried_every_night() -> None:
    nightly = read(ROOT / ".github" / "workflows" / "nightly.yml")
    minute, hour, *days = nightly["on"]["schedule"][0]["cron"].split()
    assert minute.isdigit() and hour.isdigit() and days == ["*", "*", "*"]
    assert "make dags" in [step.get("run") for step in nightly["jobs"]["dags"]["steps"]]
    command = re.search(r"^dags:.*\n\t@(.*)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert command is not None
    words = [sys.executable, "-m", "pytest", *shlex.split(command[1])[3:], "--collect-only", "-q"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert "test_hundred_random_dags_in_workers" in listed and "test_two_thousand_random_dags" in listed
    assert "2/5 tests collected" in listed, listed


def test_runs_of_one_champion_wait_for_each_other() -> None:
    groups = {path.stem: read(path)["concurrency"] for path in WORKFLOWS}
    assert (
        groups["retrain"] == groups["train-on-merge"] == {"group": "training", "cancel-in-progress": "false"}
    )


def test_shell_parts_are_scripts_or_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for name, job in jobs():
        for step in job["steps"]:
            words = step.get("run", "").split()
            if words[:1] == ["make"]:
                assert words[1] in targets, name
            elif words:
                assert (ROOT / words[0]).exists(), f"{name}: {step['run']}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_shell_that_parses_and_stop_at_the_first_error(script: Path) -> None:
    assert "set -euo pipefail" in script.read_text("utf-8")
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_checking_tools_find_nothing_and_would_find_something(tmp_path: Path) -> None:
    for tool in ("npm", "zizmor"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    copy = tmp_path / "copy"
    for part in (".github", "scripts"):
        shutil.copytree(ROOT / part, copy / part)
    tools = ROOT / ".linnet" / "tools"

    def lint() -> subprocess.CompletedProcess[str]:
        command = [str(copy / "scripts" / "ci" / "lint-workflows.sh")]
        environment = {**os.environ, "LINNET_TOOLS": str(tools)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    sound = lint()
    if "npm" in sound.stderr and "ENOTFOUND" in sound.stderr:
        pytest.skip("npm cannot be reached")
    assert sound.returncode == 0, sound.stdout + sound.stderr
    broken = copy / ".github" / "workflows" / "ci.yml"
    text = broken.read_text("utf-8")
    broken.write_text(text.replace("github.event.before", "githup.event.before"))
    assert "githup" in lint().stderr
    broken.write_text(text.replace(re.findall(r"checkout@(\w{40})", text)[0], "v5"))
    found = lint()
    assert found.returncode != 0 and "unpinned" in found.stdout + found.stderr
