"""Which image a reference means: its own, however it is spelled, and never one of another folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.data.image_folder import dataset_of
from linnet.data.image_index import ImageIndex
from linnet.data.image_manifest import manifest_rows
from linnet.data.layout import understand
from linnet.errors import DataError
from tests.data.layouts import coco, text, touch

ROOT = Path("/data")
TREE = ["train/cat/1.png", "train/dog/1.png", "train/dog/2.png", "val/cat/3.png", "val/dog/4.png"]


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("train/cat/1.png", "train/cat/1.png"),
        ("cat/1.png", "train/cat/1.png"),
        ("cat/1", "train/cat/1.png"),
        ("2.png", "train/dog/2.png"),
        ("../train/dog/2.png", "train/dog/2.png"),
        ("/home/ann/set/train/dog/2.png", "train/dog/2.png"),
        (r"C:\\set\\train\\dog\\2.png", "train/dog/2.png"),
        ("https://photos.example/set/train/dog/2.png?size=1", "train/dog/2.png"),
        ("/data/upload/7/2.png", "train/dog/2.png"),
        ("https://labels.example/data/upload/7/2.png", "train/dog/2.png"),
        ("1.png", None),  # two have the name
        ("cat/2.png", None),  # the file is missing: that of the dogs is another image
        ("train/cat/2.png", None),
        ("val/dog/2.png", None),
        ("/home/ann/set/train/cat/2.png", None),
        ("s3://bucket/cat/2.png", None),
        ("bird/2.png", None),
        ("5.png", None),
        ("", None),
        ("..", None),
    ],
)
def test_reference_means_the_image_in_the_folder_that_it_names(reference: str, found: str | None) -> None:
    index = ImageIndex(ROOT, [ROOT / path for path in TREE])
    assert index.find(reference.replace("\\\\", "\\")) == (None if found is None else ROOT / found)


def test_folder_around_all_images_may_be_called_otherwise() -> None:
    index = ImageIndex(ROOT, [ROOT / "photos" / path for path in TREE])
    assert index.find("images/train/cat/1.png") == ROOT / "photos/train/cat/1.png"
    assert index.find("images/val/cat/1.png") is None


def test_image_beside_its_table_is_preferred_and_needs_no_folder() -> None:
    index = ImageIndex(ROOT, [ROOT / path for path in ("train/1.png", "val/1.png", "val/2.png")])
    assert index.find("1.png", ROOT / "val") == ROOT / "val/1.png"
    assert index.find("images/2.png", ROOT / "val") == ROOT / "val/2.png"
    assert index.find("train/2.png") is None


def test_row_whose_file_is_missing_does_not_take_that_of_another_class(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.png", "dog/1.png", "dog/2.png", "dog/3.png")
    text(tmp_path, "m.csv", "path,label\ncat/1.png,cat\ncat/2.png,cat\ndog/1.png,dog\nDOG/3.png,dog\n")
    with pytest.raises(DataError) as caught:
        manifest_rows(tmp_path / "m.csv")
    told = str(caught.value)
    assert "2 row(s) are wrong" in told
    assert "line 3: cat/2.png does not exist; dog/2.png has its name" in told
    assert "line 5: DOG/3.png does not exist; dog/3.png has its name" in told


def test_export_whose_image_is_missing_counts_it_and_takes_no_other(tmp_path: Path) -> None:
    touch(tmp_path, "a/0.png", "a/1.png", "b/0.png", "b/2.png")
    listed = ["a/0.png", "a/1.png", "b/0.png", "a/2.png"]
    text(tmp_path, "annotations.json", coco(listed, ["cat", "dog", "cat", "dog"]))
    found = understand(tmp_path, layout="coco")
    assert len(dataset_of(found).rows) == 3
    reasons = {item.origin: item.reason for item in found.left_out}
    assert reasons["a/2.png"] == "named by the COCO export, and not there"
    assert reasons["b/2.png"] == "without a label in the COCO export"
