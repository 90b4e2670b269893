"""What run_step puts around a step: the cache, the record, the timeout, the dry run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from linnet.cache import key as cache_key
from linnet.errors import DataError, DatasetUnavailable, RunError, StorageError
from linnet.records import StageRecord
from linnet.run.live import read_progress
from linnet.run.runs import DRY_RUN
from linnet.run.step import DryRunStop, preparing, progress, run_step, work_dir


@dataclass
class Artifact:
    path: str
    metadata: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINNET_RUN_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


def step(tmp_path: Path, work: Any = None, **changed: Any) -> dict[str, Any]:
    def write(out: Any) -> dict[str, Any]:
        out["out"].mkdir()
        (out["out"] / "text").write_text("text")
        return {"n": 1}

    source = tmp_path / "in"
    if not source.exists():
        source.write_text("input")
    arguments: dict[str, Any] = {
        "code": __file__,
        "parameters": {"p": 1},
        "inputs": {"in": source},
        "outputs": {"out": Artifact(str(tmp_path / "target"))},
    }
    return run_step("demo", work or write, **{**arguments, **changed})


def record(run_folder: Path) -> StageRecord:
    return StageRecord.load(run_folder / "stages" / "demo.json")


def test_run_step_again_comes_from_the_cache(tmp_path: Path, run_folder: Path) -> None:
    assert step(tmp_path) == {"n": 1}
    assert not record(run_folder).cached
    assert step(tmp_path, work=lambda out: pytest.fail("worked again")) == {"n": 1}
    assert record(run_folder).cached
    assert (tmp_path / "target" / "text").read_text() == "text"


def test_run_step_input_changed_under_its_path_works_again(tmp_path: Path, run_folder: Path) -> None:
    step(tmp_path)
    (tmp_path / "in").write_text("other")
    step(tmp_path)
    assert not record(run_folder).cached


@pytest.mark.parametrize(
    "changed", [{"cached": False}, {"side_effects": True}, {"still_valid": lambda values: values != {"n": 1}}]
)
def test_run_step_not_cacheable_works_each_time(
    tmp_path: Path, run_folder: Path, changed: dict[str, Any]
) -> None:
    step(tmp_path)
    step(tmp_path, **changed)
    assert not record(run_folder).cached


def test_run_step_in_another_world_works_again_and_keeps_nothing_of_a_world_that_changed_meanwhile(
    tmp_path: Path, run_folder: Path
) -> None:
    world = {"answers": 1}

    def work(out: Any) -> dict[str, Any]:
        (out["out"]).write_text("text")
        world["answers"] += later
        return {"n": world["answers"]}

    later = 0
    assert step(tmp_path, work, extra_inputs=lambda: world) == {"n": 1}
    assert step(tmp_path, work, extra_inputs=lambda: world) == {"n": 1} and record(run_folder).cached
    world["answers"], later = 2, 5
    assert step(tmp_path, work, extra_inputs=lambda: world) == {"n": 7} and not record(run_folder).cached
    later = 0
    assert step(tmp_path, work, extra_inputs=lambda: world) == {"n": 7} and not record(run_folder).cached
    world["answers"] = 2
    assert step(tmp_path, work, extra_inputs=lambda: world) == {"n": 2} and not record(run_folder).cached


def test_run_step_failure_is_recorded_and_keeps_what_was_written(tmp_path: Path, run_folder: Path) -> None:
    def fail(out: Any) -> None:
        out["out"].mkdir()
        (out["out"] / "report").write_text("rows")
        raise DataError("shard 3", "is broken")

    with pytest.raises(DataError):
        step(tmp_path, work=fail)
    assert record(run_folder).state == "failed"
    assert record(run_folder).error == "shard 3: is broken"
    assert (tmp_path / "target" / "report").read_text() == "rows"


def test_run_step_retry_of_a_final_failure_does_not_work_again(tmp_path: Path, run_folder: Path) -> None:
    def fail(out: Any) -> None:
        raise DataError("shard 3", "is broken")

    with pytest.raises(DataError):
        step(tmp_path, work=fail)
    with pytest.raises(RunError, match="shard 3: is broken"):
        step(tmp_path)


def test_run_step_input_that_appears_is_worked_with(tmp_path: Path, run_folder: Path) -> None:
    step(tmp_path, inputs={"champion": None})
    step(tmp_path, inputs={"champion": None}, work=lambda out: pytest.fail("worked again"))
    (tmp_path / "champion").write_text("model")
    step(tmp_path, inputs={"champion": tmp_path / "champion"})
    assert not record(run_folder).cached


def test_run_step_retry_of_a_passing_failure_works_again(tmp_path: Path, run_folder: Path) -> None:
    def fail(out: Any) -> None:
        raise DatasetUnavailable("data.dvc", {"mirror": "no network"}, "connect to a network")

    with pytest.raises(DatasetUnavailable):
        step(tmp_path, work=fail)
    assert step(tmp_path) == {"n": 1}


def test_run_step_full_disk_is_one_message(tmp_path: Path, run_folder: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(StorageError, match="disk is full"):
        step(tmp_path, work=lambda out: full.write_text("x" * 100_000))


def test_run_step_dry_run_says_why_and_does_nothing(
    tmp_path: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DRY_RUN, "1")
    with pytest.raises(DryRunStop, match="never ran"):
        step(tmp_path, work=lambda out: pytest.fail("worked"))
    assert record(run_folder).state == "skipped"
    with pytest.raises(DryRunStop, match="always"):
        step(tmp_path, work=lambda out: pytest.fail("worked"), side_effects=True)


def test_run_step_dry_run_passes_through_hits(
    tmp_path: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step(tmp_path)
    monkeypatch.setenv(DRY_RUN, "1")
    assert step(tmp_path) == {"n": 1}


def test_run_step_over_its_time_is_ended(tmp_path: Path, run_folder: Path) -> None:
    script = (
        "import time; from linnet.run.step import run_step\n"
        f"run_step('demo', lambda out: time.sleep(60), code={__file__!r},"
        " parameters={}, inputs={}, outputs={})"
    )
    environment = {**os.environ, "LINNET_TIMEOUT": "0.3"}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, timeout=150, check=False)
    assert ended.returncode == 124
    assert "took longer than its 0.3 seconds" in record(run_folder).error


def test_run_step_killed_leaves_no_half_entry(tmp_path: Path, run_folder: Path, state: Path) -> None:
    script = (
        "import os, signal; from pathlib import Path; from linnet.run.step import run_step\n"
        "class A: path = 'target'; metadata = {}\n"
        "def work(out):\n"
        "    out['out'].mkdir(); (out['out'] / 'x').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)\n"
        f"run_step('demo', work, code={__file__!r}, parameters={{}}, inputs={{}}, outputs={{'out': A}})"
    )
    subprocess.run([sys.executable, "-c", script], timeout=150, check=False, cwd=tmp_path)
    assert not list((state / "cache").glob("entries/*/*"))
    assert record(run_folder).state == "running"


def test_progress_is_readable_at_any_time(run_folder: Path) -> None:
    progress("training", 10, 10)
    told = read_progress(run_folder)
    assert told is not None and (told.what, told.done, told.total) == ("training", 10, 10)


def test_run_step_begins_without_the_progress_of_the_step_before(tmp_path: Path, run_folder: Path) -> None:
    progress("decode", 10, 10)
    step(tmp_path)
    assert not (run_folder / "progress.json").exists()


def test_preparing_records_an_error_as_the_steps_own_and_does_not_ask_again(run_folder: Path) -> None:
    for message in ("the folder is gone", "not asked again"):
        with pytest.raises((DataError, RunError), match="the folder is gone"), preparing("demo"):
            raise DataError("photos", message)
    assert (record(run_folder).state, record(run_folder).final) == ("failed", True)
    assert record(run_folder).error == "photos: the folder is gone"


def test_step_that_nobody_needs_lets_a_dry_run_go_on(
    tmp_path: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DRY_RUN, "1")
    assert step(tmp_path, side_effects=True, required=False) == {}
    assert (record(run_folder).state, record(run_folder).exit_code) == ("skipped", 0)
    with pytest.raises(DryRunStop):
        step(tmp_path, side_effects=True)
    assert record(run_folder).exit_code == 1


def test_work_dir_is_another_after_what_the_code_reaches_changed(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, code = tmp_path / "linnet", tmp_path / "train.py"
    library.mkdir()
    (library / "loop.py").write_text("A = 1\n")
    (library / "theme.py").write_text("B = 1\n")
    code.write_text("from linnet.loop import A\n")
    monkeypatch.setattr(cache_key, "LIBRARY", library)

    def folder(epochs: int = 3) -> Path:
        return work_dir("train", {"epochs": epochs}, code=str(code))

    before = folder()
    (library / "theme.py").write_text("B = 2\n")
    assert folder() == before
    assert folder(4) != before
    (library / "loop.py").write_text("A = 2\n")
    assert folder() != before, "a checkpoint of other code is not this run's"
