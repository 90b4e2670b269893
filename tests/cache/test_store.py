"""The content cache: a hit is the same bytes for the same reasons, and anything else is a miss."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linnet.cache import blobs
from linnet.cache.key import Key
from linnet.cache.store import Cache, StepResult
from linnet.errors import StorageError

KEY = Key("train", "c", {"l": "1"}, {"numpy": "2"}, "e", {"train": "1"}, {"samples": "2"})
RESULT = StepResult(values={"accuracy": 0.9}, seconds=12.5, cpu_seconds=20.0)
LARGE = random.Random(7).randbytes(200_000)
"""Large enough for its digest to be remembered."""


def stored(root: Path, key: Key = KEY, content: bytes = LARGE) -> Cache:
    cache = Cache(root / "cache")
    staged = cache.staging()
    (staged / "model" / "nothing").mkdir(parents=True)
    (staged / "model" / "weights").write_bytes(content)
    (staged / "model" / "copy").write_bytes(content)
    (staged / "card").write_bytes(b"a file, no folder")
    cache.put(key, staged, ["model", "card"], RESULT)
    return cache


def outputs(tmp_path: Path, name: str = "out") -> dict[str, Path]:
    return {"model": tmp_path / name / "model", "card": tmp_path / name / "card"}


def blob_of(cache: Cache, content: bytes = LARGE) -> Path:
    (found,) = [
        path for path in (cache.root / "blobs").rglob("*") if path.is_file() and path.read_bytes() == content
    ]
    return found


def flip(path: Path, keep_times: bool = True) -> None:
    """Changes one byte in place; size and mtime stay, as far as a program can have its way."""
    before = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)
        file.seek(before.st_size // 2)
        file.write(bytes([byte[0] ^ 1]))
    if keep_times:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def test_get_after_put_is_the_same_files_folders_values_and_cost(tmp_path: Path) -> None:
    out = outputs(tmp_path)
    assert stored(tmp_path).get(KEY, out) == RESULT
    assert (out["model"] / "weights").read_bytes() == (out["model"] / "copy").read_bytes() == LARGE
    assert (out["model"] / "nothing").is_dir() and not list((out["model"] / "nothing").iterdir())
    assert out["card"].read_bytes() == b"a file, no folder"
    assert stat.S_IMODE((out["model"] / "weights").stat().st_mode) == 0o444


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, code="x"),
        replace(KEY, library={"l": "2"}),
        replace(KEY, packages={"numpy": "3"}),
        replace(KEY, environment="x"),
        replace(KEY, parameters={"train": "x"}),
        replace(KEY, inputs={"samples": "x"}),
        replace(KEY, task="x"),
    ],
)
def test_get_with_any_part_changed_is_a_miss(tmp_path: Path, other: Key) -> None:
    assert stored(tmp_path).get(other, outputs(tmp_path)) is None


def test_equal_files_are_kept_once(tmp_path: Path) -> None:
    cache = stored(tmp_path)
    stored(tmp_path, replace(KEY, code="other"))
    assert blob_of(cache).stat().st_nlink == 1
    assert len([path for path in (cache.root / "blobs").rglob("*") if path.is_file()]) == 2


@pytest.mark.parametrize("warm", [False, True])
def test_get_after_a_stored_byte_flipped_is_a_miss_that_heals(tmp_path: Path, warm: bool) -> None:
    cache = stored(tmp_path)
    if warm:  # its digest is remembered
        assert cache.get(KEY, outputs(tmp_path, "first"))
    flip(blob_of(cache))
    assert cache.get(KEY, outputs(tmp_path)) is None
    assert not (tmp_path / "out").exists()
    assert stored(tmp_path).get(KEY, outputs(tmp_path)) == RESULT
    assert (tmp_path / "out" / "model" / "weights").read_bytes() == LARGE


def test_get_after_a_stored_file_vanished_is_a_miss(tmp_path: Path) -> None:
    cache = stored(tmp_path)
    blob_of(cache).unlink()
    assert cache.get(KEY, outputs(tmp_path)) is None


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "binary", "other"])
def test_get_of_a_damaged_entry_is_a_miss(tmp_path: Path, damage: str) -> None:
    cache = stored(tmp_path)
    file = cache.entry_file("train", KEY.digest)
    text = file.read_text()
    other = stored(tmp_path, replace(KEY, code="other"), b"x").entry_file(
        "train", replace(KEY, code="other").digest
    )
    damaged = {
        "flip": text.replace("0.9", "0.8"), "cut": text[:-20], "empty": "", "other": other.read_text()
    }  # fmt: skip
    file.write_bytes(b"\xff\xfe" if damage == "binary" else damaged[damage].encode())
    assert cache.get(KEY, outputs(tmp_path)) is None


def test_get_into_other_outputs_is_a_miss(tmp_path: Path) -> None:
    assert stored(tmp_path).get(KEY, {"model": tmp_path / "model"}) is None


def test_put_of_a_missing_output_is_refused(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(StorageError, match="did not write its output model"):
        cache.put(KEY, cache.staging(), ["model"], RESULT)


def test_put_of_a_broken_link_is_refused(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    staged = cache.staging()
    (staged / "model").mkdir()
    (staged / "model" / "weights").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="model/weights is a broken link"):
        cache.put(KEY, staged, ["model"], RESULT)


def test_put_of_links_leaves_what_they_show_where_and_as_it_was(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "folder").mkdir(parents=True)
    (mine / "folder" / "file").write_bytes(b"mine")
    (mine / "file").write_bytes(b"mine too")
    cache = Cache(tmp_path / "cache")
    staged = cache.staging()
    (staged / "model").mkdir()
    (staged / "model" / "folder").symlink_to(mine / "folder")
    (staged / "model" / "soft").symlink_to(mine / "file")
    os.link(mine / "file", staged / "model" / "hard")
    cache.put(KEY, staged, ["model"], RESULT)
    assert cache.get(KEY, {"model": tmp_path / "out"})
    assert (tmp_path / "out" / "folder" / "file").read_bytes() == b"mine"
    assert (tmp_path / "out" / "hard").read_bytes() == (tmp_path / "out" / "soft").read_bytes() == b"mine too"
    (mine / "file").write_bytes(b"edited")  # it is mine, writable, and no part of the store
    (mine / "folder" / "file").write_bytes(b"edited")
    assert cache.get(KEY, {"model": tmp_path / "again"})


@pytest.mark.parametrize("keep_times", [True, False])
def test_output_edited_in_place_is_never_served(tmp_path: Path, keep_times: bool) -> None:
    cache = stored(tmp_path)
    for name in ("first", "second"):  # by now the digest is remembered
        assert cache.get(KEY, outputs(tmp_path, name))
    edited = tmp_path / "first" / "model" / "weights"
    flip(edited, keep_times)
    found = cache.get(KEY, outputs(tmp_path, "third"))
    # A hard link shares its bytes with the store (a miss); a clone or a copy does not (a hit).
    shared = edited.stat().st_nlink > 1
    assert (found is None) == shared
    if found is not None:
        assert (tmp_path / "third" / "model" / "weights").read_bytes() == LARGE


def test_hits_take_no_space_where_files_can_be_linked(tmp_path: Path) -> None:
    cache = stored(tmp_path)
    cache.get(KEY, outputs(tmp_path))
    blob = blob_of(cache)
    cloned = blob.stat().st_dev not in blobs._cannot_clone
    assert cloned or (tmp_path / "out" / "model" / "weights").samefile(blob)


def test_place_copies_where_it_cannot_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "another device")

    cache = stored(tmp_path)
    monkeypatch.setattr(os, "link", refuse)
    assert cache.get(KEY, outputs(tmp_path))
    assert (tmp_path / "out" / "model" / "weights").read_bytes() == LARGE


def test_place_replaces_what_was_there(tmp_path: Path) -> None:
    out = outputs(tmp_path)
    out["model"].mkdir(parents=True)
    (out["model"] / "old").write_text("old")
    out["card"].symlink_to(tmp_path)
    assert stored(tmp_path).get(KEY, out)
    assert sorted(path.name for path in out["model"].iterdir()) == ["copy", "nothing", "weights"]
    assert out["card"].is_file() and tmp_path.is_dir()


def _put_often(root: Path) -> None:
    for _ in range(20):
        stored(root)


def _get_often(root: Path, name: str) -> None:
    cache = Cache(root / "cache")
    for number in range(60):
        if cache.get(KEY, outputs(root, f"{name}-{number}")):
            assert (root / f"{name}-{number}" / "model" / "weights").read_bytes() == LARGE


def test_many_processes_put_and_get_one_key_and_all_hits_are_whole(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    puts = [context.Process(target=_put_often, args=(tmp_path,)) for _ in range(2)]
    gets = [context.Process(target=_get_often, args=(tmp_path, f"get{n}")) for n in range(2)]
    for process in puts + gets:
        process.start()
    for process in puts + gets:
        process.join(60)
    assert [process.exitcode for process in puts + gets] == [0, 0, 0, 0]
    assert Cache(tmp_path / "cache").get(KEY, outputs(tmp_path)) == RESULT


_KILLED = """
import sys, os
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.cache.test_store import stored, outputs, KEY
root = Path({folder!r})
print("go", flush=True)
while True:
    cache = stored(root)
    cache.get(KEY, outputs(root, "out"))
    for blob in (root / "cache" / "blobs").rglob("*"):
        if blob.is_file(): blob.unlink()
"""


def test_kill_amid_put_and_get_serves_nothing_corrupt(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    for number in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", _KILLED.format(root=root, folder=str(tmp_path))], stdout=subprocess.PIPE
        )
        assert child.stdout is not None and child.stdout.readline() == b"go\n"
        time.sleep(0.01 + 0.017 * number)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        cache = Cache(tmp_path / "cache")
        if cache.get(KEY, outputs(tmp_path, "after")):
            assert (tmp_path / "after" / "model" / "weights").read_bytes() == LARGE
            assert (tmp_path / "after" / "card").read_bytes() == b"a file, no folder"
    assert stored(tmp_path).get(KEY, outputs(tmp_path, "last")) == RESULT


def test_full_disk_amid_put_leaves_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk, pytest.raises(OSError, match="No space left"):
        disk.setattr(Path, "write_text", full)
        stored(tmp_path)
    cache = Cache(tmp_path / "cache")
    assert cache.entry_files() == [] and cache.get(KEY, outputs(tmp_path)) is None
    assert stored(tmp_path).get(KEY, outputs(tmp_path)) == RESULT


def test_latest_is_the_key_of_the_newest_entry_of_the_task(tmp_path: Path) -> None:
    cache = stored(tmp_path)
    newer = replace(KEY, code="newer")
    os.utime(cache.entry_file("train", KEY.digest), (1, 1))
    stored(tmp_path, newer)
    latest = cache.latest("train")
    assert latest is not None and latest["code"] == "newer"
    assert cache.latest("package") is None
    cache.entry_file("train", newer.digest).write_text(json.dumps({"sha256": "", "entry": ""}))
    latest = cache.latest("train")
    assert latest is not None and latest["code"] == "c", "a damaged entry is passed over"
