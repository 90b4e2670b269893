from __future__ import annotations

import os
from pathlib import Path

import pytest

from linnet.data.image_folder import read_image_folder
from linnet.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_read_image_folder_class_is_the_first_sub_folder(tmp_path: Path) -> None:
    names = (
        "dog/2.png",
        "dog/deep/1.png",
        "cat/1.jpg",
        "README.md",
        ".git/x.png",
        "cat/.DS_Store",
        "cat/.thumbs/1.png",
    )
    raw = read_image_folder(touch(tmp_path, *names))
    assert raw.classes == ("cat", "dog")
    found = [(row.origin, row.label, row.split) for row in raw.rows]
    assert found == [("cat/1.jpg", "cat", ""), ("dog/2.png", "dog", ""), ("dog/deep/1.png", "dog", "")]


def test_read_image_folder_train_and_test_are_official_splits(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png", "val/a/5.png")
    raw = read_image_folder(tmp_path)
    splits = ["train", "train", "validation", "test", "test"]
    assert [row.split for row in raw.rows] == splits
    assert raw.classes == ("a", "b")
    assert raw.rows[0].origin == "train/a/1.png"


def test_read_image_folder_classes_called_train_and_test_are_classes_where_the_config_says_so(
    tmp_path: Path,
) -> None:
    raw = read_image_folder(touch(tmp_path, "train/1.png", "test/2.png"), ("test", "train"))
    assert raw.classes == ("test", "train")
    assert {row.split for row in raw.rows} == {""}


def test_read_image_folder_configured_classes_give_the_order(tmp_path: Path) -> None:
    assert read_image_folder(touch(tmp_path, "a/1.png", "b/1.png"), ("b", "a")).classes == ("b", "a")


def test_read_image_folder_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).mkdir()
    with pytest.raises(DataError, match="not UTF-8; rename it"):
        read_image_folder(touch(tmp_path, "a/1.png", "b/1.png"))


def test_read_image_folder_odd_file_name_is_escaped_in_origin(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/1.png")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/\xff.png")).write_bytes(b"x")
    assert read_image_folder(tmp_path).rows[1].origin == "a/\\xff.png"


@pytest.mark.parametrize(
    ("names", "classes", "message"),
    [
        ((), (), "has no sub-folders; put the images in one sub-folder a class"),
        (("a/1.png",), (), "at least 2 classes are needed, and there is only 'a'"),
        (("a/1.png", "b/.keep"), (), r"without an image:\n  - b\nAdd some or remove"),
        (("train/a/1.png", "train/b/.keep", "test/a/2.png"), (), r"without an image:\n  - b"),
        (("a/1.png", "b/1.png", "1.png"), (), r"1 image.s. stand outside of every class:\n  - 1\.png"),
        (("a/1.png", "b/1.png", "c/1.png"), ("a", "b"), r"data\.classes does not name:\n  - c"),
        (("a/1.png", "b/1.png"), ("a", "b", "c"), "no image of class 'c'"),
        (("val/a/1.png", "validation/b/1.png"), (), "both `val` and `validation`"),
    ],
)
def test_read_image_folder_bad_folder_is_one_clear_error(
    tmp_path: Path, names: tuple[str, ...], classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_image_folder(touch(tmp_path, *names), classes)


def test_read_image_folder_missing_or_file_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: no such folder"):
        read_image_folder(tmp_path / "none")
    with pytest.raises(DataError, match="is a file, not a folder"):
        read_image_folder(touch(tmp_path, "file") / "file")
