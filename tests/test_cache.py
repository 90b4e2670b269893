"""The content cache: a hit is the same bytes for the same reasons, and anything else is a miss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from linnet.cache import Cache, Key, explain, place, tree_digest, value_digest
from linnet.errors import StorageError

KEY = Key("train", "c", "l", "e", {"train": "1"}, {"samples": "2"})


def stored(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache")
    staged = cache.staging()
    (staged / "model").mkdir()
    (staged / "model" / "weights").write_bytes(b"weights")
    cache.put(KEY, staged, ["model"], {"accuracy": 0.9}, 12.5)
    return cache


def test_get_after_put_is_the_same_bytes(tmp_path: Path) -> None:
    hit = stored(tmp_path).get(KEY, {"model": tmp_path / "out"})
    assert hit is not None and hit.values == {"accuracy": 0.9} and hit.seconds == 12.5
    assert (tmp_path / "out" / "weights").read_bytes() == b"weights"


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, code="x"),
        replace(KEY, library="x"),
        replace(KEY, environment="x"),
        replace(KEY, parameters={"train": "x"}),
        replace(KEY, inputs={"samples": "x"}),
        replace(KEY, task="x"),
    ],
)
def test_get_with_any_part_changed_is_a_miss(tmp_path: Path, other: Key) -> None:
    assert stored(tmp_path).get(other, {"model": tmp_path / "out"}) is None


def test_get_after_a_stored_byte_flipped_is_a_miss_that_heals(tmp_path: Path) -> None:
    cache = stored(tmp_path)
    kept = tmp_path / "cache" / "entries" / KEY.digest / "model" / "weights"
    kept.chmod(0o644)
    kept.write_bytes(b"Weights")
    assert cache.get(KEY, {"model": tmp_path / "out"}) is None
    assert not kept.exists()
    assert not (tmp_path / "out").exists()


def test_get_after_a_stored_file_vanished_is_a_miss(tmp_path: Path) -> None:
    cache = stored(tmp_path)
    (tmp_path / "cache" / "entries" / KEY.digest / "model" / "weights").unlink()
    assert cache.get(KEY, {"model": tmp_path / "out"}) is None


def test_put_of_a_missing_output_is_refused(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(StorageError, match="did not write its output model"):
        cache.put(KEY, cache.staging(), ["model"], {}, 0.0)


def test_put_twice_keeps_one_whole_entry(tmp_path: Path) -> None:
    cache = stored(tmp_path)
    stored(tmp_path)
    assert len(list((tmp_path / "cache" / "entries").iterdir())) == 1
    assert cache.get(KEY, {"model": tmp_path / "out"}) is not None


def test_output_written_through_does_not_change_the_store_unnoticed(tmp_path: Path) -> None:
    cache = stored(tmp_path)
    cache.get(KEY, {"model": tmp_path / "out"})
    linked = tmp_path / "out" / "weights"
    linked.chmod(0o644)
    linked.write_bytes(b"scribble")
    assert cache.get(KEY, {"model": tmp_path / "again"}) is None


def test_tree_digest_tells_names_contents_and_borders_apart(tmp_path: Path) -> None:
    digests = set()
    for index, files in enumerate(
        [{"a": "xy"}, {"b": "xy"}, {"a": "x", "b": "y"}, {"a": "xyb"}, {"ab": "xy"}, {}]
    ):
        folder = tmp_path / str(index)
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        digests.add(tree_digest(folder))
    assert len(digests) == 6
    assert tree_digest(tmp_path / "none") == "missing"


def test_value_digest_ignores_order_and_integral_floats() -> None:
    assert value_digest({"a": 1, "b": [2.0]}) == value_digest({"b": [2], "a": 1.0})
    assert value_digest({"a": 1}) != value_digest({"a": 2})
    assert value_digest({"a": 1.5}) != value_digest({"a": 1})


def test_explain_names_what_changed(tmp_path: Path) -> None:
    latest = stored(tmp_path).latest("train")
    assert (
        explain(replace(KEY, library="x", inputs={"samples": "y"}), latest)
        == "changed: library, input samples"
    )
    assert explain(KEY, None) == "never ran here before"
    assert "damaged" in explain(KEY, latest)


def test_place_replaces_what_was_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "new").write_text("new")
    target.mkdir()
    (target / "old").write_text("old")
    place(source, target)
    assert [path.name for path in target.iterdir()] == ["new"]
