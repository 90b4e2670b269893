"""What a step tells while it works."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linnet.run import live, usage


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINNET_RUN_DIR", str(tmp_path))
    monkeypatch.setattr(live, "_work", live._Work())
    return tmp_path


def test_time_left_follows_the_pace_of_this_process_and_not_what_was_done_before(run_folder: Path) -> None:
    live.progress("epoch 6/10", 50, 100)  # a training that goes on from its checkpoint
    told = json.loads((run_folder / "progress.json").read_text())
    told |= {"done": 60, "at": told["since"] + 20.0}
    (run_folder / "progress.json").write_text(json.dumps(told))
    at = told["at"]
    first, later = (live.read_progress(run_folder, clock) for clock in (at, at + 30.0))
    assert first is not None and later is not None
    assert first.seconds_left == pytest.approx(80.0)  # 2 s each, 40 to come
    assert later.seconds_left == pytest.approx(50.0)


def test_another_piece_of_work_has_a_pace_of_its_own(run_folder: Path) -> None:
    for done, total in ((1, 10), (10, 10), (1, 10), (3, 7)):
        live.progress("x", done, total)
        assert json.loads((run_folder / "progress.json").read_text())["began"] in (done, 1)
    assert json.loads((run_folder / "progress.json").read_text())["began"] == 3
    told = live.read_progress(run_folder)
    assert told is not None and told.seconds_left is None  # one look tells no pace


def test_loop_that_tells_a_thousand_times_a_second_writes_ten(run_folder: Path) -> None:
    live.progress("epoch 1", 1, 10**6)
    written = (run_folder / "progress.json").stat().st_mtime_ns
    for done in range(2, 50):
        live.progress(f"epoch 1, loss {done}", done, 10**6)  # other words each time, as a training's are
    assert (run_folder / "progress.json").stat().st_mtime_ns == written
    live.progress("over", 10**6, 10**6)
    told = live.read_progress(run_folder)
    assert told is not None and told.what == "over"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"what": "x"}', '{"what": "x", "done": null, "total": 2}'])
def test_progress_that_cannot_be_read_is_none(run_folder: Path, text: str) -> None:
    (run_folder / "progress.json").write_text(text)
    assert live.read_progress(run_folder) is None
    (run_folder / "progress.json").write_text('{"what": "x", "done": 1, "total": 2}')  # of an older Linnet
    assert live.read_progress(run_folder) == live.StepProgress("x", 1, 2)


def test_measurements_are_kept_said_and_read_again(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"epoch": 1.0, "loss": 0.51239, "images_per_second": 1234.5}, {"epoch": 2.0, "loss": 0.25}]
    for row in (rows[0], {"epoch": 2.0, "loss": 9.0}, *rows):  # ended in epoch 2, and told again
        live.measured("train", row)
    assert "epoch 1: loss 0.5124, images per second 1,234\n" in capsys.readouterr().out
    with (run_folder / "live" / "train.jsonl").open("a") as file:
        file.write('{"epoch": 3.0, "lo')  # a kill in the middle of a line
    assert live.read_rows(run_folder, "train") == rows
    assert live.read_rows(run_folder, "evaluate") == []


def test_step_outside_a_run_only_says_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LINNET_RUN_DIR", raising=False)
    monkeypatch.delenv("LINNET_RUN_ID", raising=False)
    live.measured("train", {"epoch": 1.0, "loss": 0.5})
    live.progress("x", 1, 2)
    assert capsys.readouterr().out == "epoch 1: loss 0.5\n"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux counts what a process takes")
def test_use_of_the_machine_counts_children_and_the_gpus_that_are_visible(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = run_folder / "bin" / "nvidia-smi"  # no GPU is here: a program that answers as it does
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '0, 90, 4000, 80000\\n1, 10, 500, 80000\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(usage, "_FIRST_SECONDS", 0.2)
    burn = (
        "import time\nheld = bytearray(80_000_000)\nuntil = time.time() + 20\nwhile time.time() < until: pass"
    )
    with usage.sampled("train"), subprocess.Popen([sys.executable, "-c", burn]) as child:
        until = time.monotonic() + 15
        while time.monotonic() < until and not any(one.cpus > 0.1 for one in _seen(run_folder)):
            time.sleep(0.05)
        child.kill()
    seen = usage.read_usage(run_folder, "train")
    assert max(one.cpus for one in seen) > 0.1  # this test sleeps: it is the child
    assert max(one.memory_mb for one in seen) > 80
    assert (seen[0].gpu, seen[0].gpu_memory_mb) == (0.9, 4000.0)


def _seen(folder: Path) -> list[usage.Usage]:
    return usage.read_usage(folder, "train")


def test_use_of_a_step_that_was_tried_again_is_that_of_the_last_attempt(run_folder: Path) -> None:
    for at in (2.0, 4.0, 2.0, 4.0):
        live.append(usage.usage_file(run_folder, "train"), {"at": at, "cpus": at, "memory_mb": 1.0})
    assert [one.at for one in usage.read_usage(run_folder, "train")] == [2.0, 4.0]
