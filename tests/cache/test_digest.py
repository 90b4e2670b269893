"""Digests tell contents apart, and a remembered one is only used while the file cannot have changed."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from linnet.cache import digest as digest_module
from linnet.cache import memo as memo_module
from linnet.cache.digest import MISSING, file_digest, text_digest, tree_digest, value_digest
from linnet.cache.key import DECLARED, Key, environment_digest, explain, key_of
from linnet.cache.memo import FLOOR, Memo
from linnet.errors import StorageError

KEY = Key("train", "c", {"l": "1"}, {"numpy": "2"}, "e", {"train": "1"}, {"samples": "2"})


def test_tree_digest_tells_names_contents_and_borders_apart(tmp_path: Path) -> None:
    digests = set()
    trees = [{"a": "xy"}, {"b": "xy"}, {"a": "x", "b": "y"}, {"a": "xyb"}, {"ab": "xy"}, {}, {"d/a": "xy"}]
    for index, files in enumerate(trees):
        folder = tmp_path / str(index)
        folder.mkdir()
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        digests.add(tree_digest(folder))
    (tmp_path / "5" / "empty").mkdir()
    (tmp_path / "file").write_text("xy")
    digests |= {tree_digest(tmp_path / "5"), tree_digest(tmp_path / "file"), tree_digest(tmp_path / "none")}
    assert len(digests) == len(trees) + 3
    assert tree_digest(tmp_path / "none") == MISSING


def test_tree_digest_sees_through_links_and_refuses_a_circle(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("a")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "elsewhere")
    before = tree_digest(tmp_path / "tree")
    (tmp_path / "elsewhere" / "file").write_text("b")
    assert tree_digest(tmp_path / "tree") != before
    (tmp_path / "tree" / "up").symlink_to(tmp_path / "tree")
    with pytest.raises(StorageError, match="contains itself"):
        tree_digest(tmp_path / "tree")


def test_value_digest_ignores_order_and_integral_floats() -> None:
    assert value_digest({"a": 1, "b": [2.0]}) == value_digest({"b": [2], "a": 1.0})
    assert value_digest({"a": 1}) != value_digest({"a": 2})
    assert value_digest({"a": 1.5}) != value_digest({"a": 1})


def at_rest(path: Path, size: int = FLOOR) -> Path:
    path.write_bytes(os.urandom(size))
    time.sleep(memo_module.REST_NS / 1e9 * 1.5)
    return path


def remembered(path: Path, memo: Memo) -> bool:
    return memo.recall(path.stat()) is not None


def test_memo_spares_reading_a_file_that_did_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, memo = at_rest(tmp_path / "file"), Memo(tmp_path / "memo")
    first = file_digest(path, memo)
    if not remembered(path, memo):
        pytest.skip("this file system is not known to be local, so nothing is remembered")
    monkeypatch.setattr(digest_module.hashlib, "file_digest", lambda *_: pytest.fail("was read again"))
    assert file_digest(path, memo) == first


def change_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))


def change_and_restore_mtime(path: Path) -> None:
    before = path.stat()
    change_in_place(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_another(path: Path) -> None:
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(os.urandom(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def change_at_another_link(path: Path) -> None:
    link = path.with_name("link")
    os.link(path, link)
    change_and_restore_mtime(link)


@pytest.mark.parametrize(
    "change", [change_in_place, change_and_restore_mtime, replace_by_another, change_at_another_link]
)
def test_memo_sees_every_change_under_an_unchanged_path_and_size(tmp_path: Path, change: object) -> None:
    path, memo = at_rest(tmp_path / "file"), Memo(tmp_path / "memo")
    before = file_digest(path, memo)
    change(path)  # type: ignore[operator]
    assert file_digest(path, memo) != before
    assert file_digest(path, memo) == file_digest(path)


def test_memo_does_not_vouch_for_a_file_that_was_just_written(tmp_path: Path) -> None:
    memo, path = Memo(tmp_path / "memo"), tmp_path / "file"
    path.write_bytes(bytes(FLOOR))
    status = path.stat()
    memo.keep(path, status, "digest", began_ns=status.st_ctime_ns + memo_module.REST_NS)
    assert not remembered(path, memo), "a write in the same tick of the clock would not be seen"
    memo.keep(path, status, "digest", began_ns=status.st_ctime_ns + memo_module.REST_NS + 1)
    assert remembered(path, memo) == memo_module.is_local(path)


def test_memo_ends_with_the_boot_and_on_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, memo = at_rest(tmp_path / "file"), Memo(tmp_path / "memo")
    with monkeypatch.context() as network:
        network.setattr(memo_module, "_file_system", lambda _: "nfs4")
        file_digest(path, memo)
        assert not remembered(path, memo)
    file_digest(path, memo)
    monkeypatch.setattr(memo_module, "boot_id", lambda: "the next one")
    assert not remembered(path, memo)


def test_carry_keeps_a_digest_over_our_own_link_and_no_other_change(tmp_path: Path) -> None:
    path, memo = at_rest(tmp_path / "file"), Memo(tmp_path / "memo")
    file_digest(path, memo)
    if not remembered(path, memo):
        pytest.skip("this file system is not known to be local, so nothing is remembered")
    before = path.stat()
    os.link(path, tmp_path / "link")
    assert not remembered(path, memo)
    memo.carry(before, path)
    assert remembered(path, memo)
    before = path.stat()
    change_in_place(path)
    memo.carry(before, path)
    assert not remembered(path, memo)


def test_environment_digest_depends_on_declared_variables_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOT_DECLARED", "1")
    before = environment_digest()
    monkeypatch.setenv("NOT_DECLARED", "2")
    assert environment_digest() == before
    monkeypatch.setenv(DECLARED, "NOT_DECLARED")
    declared = environment_digest()
    monkeypatch.setenv("NOT_DECLARED", "3")
    assert len({before, declared, environment_digest()}) == 3


def test_explain_names_what_changed() -> None:
    before = KEY.__dict__
    changed = replace(KEY, library={"l": "2", "m": "3"}, packages={"numpy": "3"}, inputs={"samples": "y"})
    assert explain(changed, before) == "changed: l, m (new), package numpy 2 -> 3, input samples"
    assert explain(KEY, None) == "never ran here before"
    assert "damaged" in explain(KEY, before)


def test_entry_of_the_version_before_is_explained_and_never_hit() -> None:
    before = {name: value for name, value in asdict(KEY).items() if name != "packages"} | {
        "library": "0" * 64
    }
    assert explain(KEY, before) == "changed: library"
    assert KEY.digest != text_digest(json.dumps(before, sort_keys=True))
    assert explain(key_of(before), before) == "changed: library"
