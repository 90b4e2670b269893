"""Cleaning up: what is old or too much goes, what is needed stays, and contents go with their last user."""

from __future__ import annotations

import math
import os
import time
from dataclasses import replace
from pathlib import Path

from linnet.cache.store import Cache
from linnet.cache.sweep import CacheEntry, cached_entries, damaged, plan, sweep
from tests.cache.test_store import KEY, blob_of, flip, outputs, stored

HOUR = 3600.0


def held(name: str, unused_hours: float, **blobs: int) -> CacheEntry:
    return CacheEntry(Path(name), "train", name, 1.0, unused_hours * HOUR, blobs)


OLD, MIDDLE, NEW = held("old", 30, a=100, b=50), held("middle", 20, b=50, c=200), held("new", 1, d=10)


def names(entries: tuple[CacheEntry, ...]) -> list[str]:
    return [entry.digest for entry in entries]


def test_plan_drops_what_was_not_used_for_long_and_counts_shared_contents_once() -> None:
    planned = plan([OLD, MIDDLE, NEW], {}, 25 * HOUR, math.inf)
    assert names(planned.drop) == ["old"]
    assert (planned.freed, planned.kept) == (100, 260), "`b` stays: another entry has it"


def test_plan_drops_the_least_recently_used_until_the_rest_fits() -> None:
    assert names(plan([OLD, MIDDLE, NEW], {}, math.inf, 260).drop) == ["old"]
    assert names(plan([OLD, MIDDLE, NEW], {}, math.inf, 259).drop) == ["old", "middle"]
    assert names(plan([OLD, MIDDLE, NEW], {}, math.inf, 0).drop) == ["old", "middle", "new"]
    assert plan([OLD, MIDDLE, NEW], {}, math.inf, 0).kept == 0
    assert plan([OLD, MIDDLE, NEW], {}, math.inf, math.inf).drop == ()


def test_plan_spares_what_is_needed_whatever_the_limits_and_says_why() -> None:
    planned = plan([OLD, MIDDLE, NEW], {"old": "registered as photos version 1"}, 0, 0)
    assert names(planned.drop) == ["middle", "new"]
    assert [(entry.digest, why) for entry, why in planned.protected] == [
        ("old", "registered as photos version 1")
    ]
    assert planned.kept == 150


def test_sweep_removes_entries_their_contents_and_what_a_kill_left(tmp_path: Path) -> None:
    cache = stored(tmp_path)
    other = replace(KEY, code="other")
    stored(tmp_path, other, b"other contents")
    left, alive = cache.root / "staging" / "99999999-dead", cache.staging()
    left.mkdir()
    os.utime(left, (1, 1))
    os.utime(cache.entry_file("train", KEY.digest), (time.time() - 50 * HOUR,) * 2)
    cache.get(other, outputs(tmp_path, "kept by a run"))
    planned = plan(cached_entries(cache), {}, 25 * HOUR, math.inf)
    assert [entry.digest for entry in planned.drop] == [KEY.digest] and planned.freed == 200_000
    sweep(cache, planned)
    assert cache.get(KEY, outputs(tmp_path)) is None
    assert cache.get(other, outputs(tmp_path)) is not None
    assert len([p for p in (cache.root / "blobs").rglob("*") if p.is_file()]) == 2
    assert alive.exists() and not left.exists()
    sweep(cache, plan(cached_entries(cache), {}, 0, 0))
    assert (tmp_path / "kept by a run" / "model" / "weights").read_bytes() == b"other contents"


def test_a_hit_makes_an_entry_the_last_to_go(tmp_path: Path) -> None:
    cache = stored(tmp_path)
    file = cache.entry_file("train", KEY.digest)
    os.utime(file, (1, 1))
    stored(tmp_path, replace(KEY, code="other"))
    assert cached_entries(cache)[0].digest == KEY.digest
    cache.get(KEY, outputs(tmp_path))
    assert cached_entries(cache)[-1].digest == KEY.digest


def test_damaged_finds_what_no_time_stamp_tells(tmp_path: Path) -> None:
    cache = stored(tmp_path)
    assert damaged(cache) == []
    cache.get(KEY, outputs(tmp_path))
    blob = blob_of(cache)
    remembered = cache.memo.recall(blob.stat())
    flip(blob)
    if remembered:  # as a disk would do it: the file looks as it did
        cache.memo.keep_as(
            f"{blob.stat().st_dev:x}-{blob.stat().st_ino:x}", _signature(cache, blob), remembered
        )
        assert cache.get(KEY, outputs(tmp_path, "believed")) is not None
    assert [entry.digest for entry in damaged(cache)] == [KEY.digest]
    assert not blob.exists()


def _signature(cache: Cache, blob: Path) -> str:
    from linnet.cache import memo

    return memo._signature(blob.stat())


def test_a_damaged_entry_is_the_first_to_go(tmp_path: Path) -> None:
    cache = stored(tmp_path)
    cache.entry_file("train", KEY.digest).write_text("{")
    planned = plan(cached_entries(cache), {}, 1e9, math.inf)
    assert len(planned.drop) == 1
    sweep(cache, planned)
    assert cache.entry_files() == [] and not [p for p in (cache.root / "blobs").rglob("*") if p.is_file()]
