"""One thing of a finished use case changes: a dry run names the steps that it reaches, and no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.test_use_case import ALWAYS, plan
from tests.e2e.use_case import UseCase

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1200)]

DOWN = {
    "ingest": {
        "ingest",
        "validate",
        "collect_labels",
        "build_features",
        "train",
        "evaluate",
        "request_labels",
        "package",
    },
    "collect_labels": {"collect_labels", "build_features", "train", "evaluate", "request_labels", "package"},
    "train": {"train", "evaluate", "request_labels", "package"},
    "evaluate": {"evaluate", "request_labels", "package"},
}
"""Each step with those that take, directly or not, what it gives."""


def expected(*first: str) -> set[str]:
    return {"record_run", *ALWAYS}.union(*(DOWN.get(name, {name}) for name in first))


def would_run(case: UseCase, *words: str) -> set[str]:
    return {name for name, what in plan(case, *words).items() if what == "run"}


@contextmanager
def flipped(file: Path) -> Iterator[None]:
    """The last byte of a file is another, under the same path, inode, size and mtime."""
    before, mode = file.stat(), file.stat().st_mode
    content = file.read_bytes()
    times = (before.st_atime_ns, before.st_mtime_ns)

    def write(text: bytes) -> None:
        file.chmod(0o644)
        with file.open("r+b") as stream:
            stream.write(text)
        os.utime(file, ns=times)
        file.chmod(mode)

    write(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        yield
    finally:
        if file.exists():  # the cache throws a damaged content away
            write(content)


@pytest.mark.parametrize(
    ("setting", "first"),
    [
        ("train.seed=5", ["train"]),
        ("gates.min_accuracy=0.59", ["evaluate"]),
        ("labels.budget=7", ["collect_labels"]),
        ("serving.max_batch=17", ["package"]),
        ("release.replay_rps=299", []),
        ("engine.max_queued_runs=9", []),
    ],
)
def test_setting_reaches_the_steps_that_take_it(finished: UseCase, setting: str, first: list[str]) -> None:
    assert would_run(finished, "--set", setting) == expected(*first)
    assert would_run(finished) == expected()


def test_byte_of_an_image_under_an_unchanged_path_reaches_all(finished: UseCase) -> None:
    with flipped(finished.folder / "photos" / "grass" / "003.png"):
        assert would_run(finished) == expected("ingest")
    assert would_run(finished) == expected()


@pytest.mark.parametrize("step", ["train", "evaluate"])
def test_stored_output_with_another_byte_is_worked_out_again(finished: UseCase, step: str) -> None:
    entries = (finished.state / "cache" / "entries" / step).glob("*.json")
    entry = max(entries, key=lambda file: file.stat().st_mtime_ns)
    outputs = json.loads(json.loads(entry.read_text())["entry"])["outputs"]
    digest = next(iter(outputs.values()))["files"][0]["digest"]
    with flipped(finished.state / "cache" / "blobs" / digest[:2] / digest):
        assert step in would_run(finished)
    assert finished.linnet("run", "photos.toml").returncode == 0
    assert would_run(finished) == expected()


def answer(case: UseCase) -> None:
    program = (
        "from datetime import UTC, datetime\n"
        "from linnet.labels.table import LabelRow, LabelTable\n"
        "moment = datetime(2026, 1, 1, tzinfo=UTC)\n"
        "row = LabelRow(sample_id='0' * 32, label='grass', annotator='ann', labelled_at=moment)\n"
        "LabelTable('photos').append([row])\n"
    )
    subprocess.run([sys.executable, "-c", program], **case.place(), check=True)


def questions_lost(case: UseCase) -> None:
    for file in (case.state / "labels" / "photos").iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("change", "first"),
    [(answer, ["collect_labels"]), (questions_lost, ["request_labels"])],
)
def test_world_reaches_the_steps_that_ask_it(
    finished: UseCase, change: Callable[[UseCase], None], first: list[str]
) -> None:
    """The last ones of the file. Without the file of the labels nothing is answered, as at first."""
    change(finished)
    assert would_run(finished) >= expected(*first)
    assert finished.linnet("run", "photos.toml").returncode == 0
    assert would_run(finished) == expected()
