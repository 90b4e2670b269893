"""Any tree of folders is understood with every file counted once, or refused in words."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.config import normal
from linnet.data.image_folder import dataset_of
from linnet.data.image_manifest import read_manifest
from linnet.data.layout import split_named, understand
from linnet.errors import LinnetError


def studio(image: str, label: str) -> dict[str, Any]:
    """A task of Label Studio with one answer."""
    return {"data": {"image": image}, "annotations": [{"result": [{"value": {"choices": [label]}}]}]}


FOLDERS = st.sampled_from(
    [
        "train",
        "Test",
        "val2017",
        "valid",
        "images",
        "labels",
        "cat",
        "Cat",
        "dog",
        "café",
        "cafe\u0301",
        "a b",
        "Annotations",
        "data",
        "0",
        "test_images",
        "__MACOSX",
        "x" * 120,
        "tab\tname",
        "[red]",
        "-",
    ]
)
FILES = st.sampled_from(
    [
        "1.png",
        "2.jpg",
        "cat_1.png",
        "dog_2.png",
        "IMG 3.JPEG",
        "1.txt",
        "notes.txt",
        "labels.csv",
        "train.csv",
        "data.yaml",
        "1.xml",
        "coco.json",
        "export.json",
        "a.tar",
        "1.cls",
        ".hidden.png",
        "metadata.jsonl",
        "m.parquet",
    ]
)
CONTENTS = st.sampled_from(
    [
        b"",
        b"\xff\xfe\x00",
        b"{",
        b"[]",
        b"0 0.5 0.5 0.1 0.1\n",
        b"cat",
        b"filename,label\n1.png,cat\n2.jpg,dog\n",
        b"1.png;cat\n2.jpg;dog\n",
        b"path\tclass\ncat_1.png\tcat\n",
        b"a,b\n1,2,3\n",
        b"names: [cat, dog]\nnc: 2\n",
        b"names: {0: cat}\ntrain: x\n",
        b"<annotation><filename>1.png</filename></annotation>",
        b"<annotation><object><name>cat</name></object></annotation>",
        b"<!DOCTYPE x><a/>",
        b'{"file_name": "1.png", "label": "cat"}\n',
        b'{"file_name": 7}\n',
        b"\x89PNG\r\n\x1a\n",
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "1.png"}, {"id": 2, "file_name": "2.jpg"}],
                "annotations": [{"image_id": 1, "category_id": 1}, {"image_id": 2, "category_id": 2}],
                "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            }
        ).encode(),
        json.dumps({"images": [{}], "annotations": [{}], "categories": []}).encode(),
        json.dumps([studio("1.png", "cat"), studio("2.jpg", "dog")]).encode(),
        json.dumps([{"data": {"image": 3}, "annotations": 4}, {"data": [], "annotations": [5]}, 6]).encode(),
    ]
)
PLAIN = st.builds(
    lambda split, label, number: f"{split}{label}/{number}.png",
    st.sampled_from(["", "train/", "Test/", "val2017/", "inner/"]),
    st.sampled_from(["cat", "dog", "Cat", "cafe\u0301", "café"]),
    st.integers(0, 5),
)
"""Images as most people have them; odd files come between them."""
PATHS = PLAIN | st.builds(
    lambda folders, name: "/".join((*folders, name)), st.lists(FOLDERS, max_size=3), FILES
)
TREES = st.dictionaries(PATHS, CONTENTS, min_size=1, max_size=14)
LAYOUTS = st.sampled_from(
    ["auto"] * 6
    + ["splits", "classes", "names", "tables", "webdataset", "coco", "voc", "yolo", "label-studio"]
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(tree=TREES, layout=LAYOUTS)
def test_every_image_is_taken_once_or_counted_and_labels_stand_somewhere(
    tree: dict[str, bytes], layout: Any
) -> None:
    check(tree, layout)


@pytest.mark.proof
@settings(max_examples=3000, deadline=None)
@given(tree=TREES, layout=LAYOUTS)
def test_thousands_of_trees_are_understood_or_refused(tree: dict[str, bytes], layout: Any) -> None:
    check(tree, layout)


def check(tree: dict[str, bytes], layout: Any) -> None:
    """Writes a tree and reads it: taken once or counted, refused in words, and no class out of nowhere."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for path, content in tree.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        try:
            found = understand(root, layout=layout)
            told = found.tree()
            raw = read_manifest(found.table) if found.table else dataset_of(found)
        except LinnetError as error:
            assert str(error).strip() and "Traceback" not in str(error)
            return
        images = [image.origin for image in found.images]
        left = [item.origin for item in found.left_out]
        assert len(set(images)) == len(images) and not set(images) & set(left), told
        if not found.table:
            files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
            counted = {*images, *left, *_used(found.notes, files)}
            lost = {
                f for f in files - counted if not any(f.startswith(one) for one in left if one.endswith("/"))
            }
            assert not {f for f in lost if f.endswith((".png", ".jpg", ".JPEG"))}, told
        _labels_stand_somewhere(found, raw, tree)


def _used(notes: list[str], files: set[str]) -> set[str]:
    return {file for file in files if any(Path(file).name in note for note in notes)}


def _labels_stand_somewhere(found: Any, raw: Any, tree: dict[str, bytes]) -> None:
    """A class is a folder above the image, or stands in a file."""
    for row in raw.rows:
        parts = [normal(part) for part in Path(row.origin).parts]
        if found.reading in ("splits", "classes") and not found.table:
            assert row.label in parts[:-1], row
            if row.split:
                assert row.split in [split_named(part) for part in parts[:-1]], row
        elif found.reading == "names":
            assert row.label in parts[-1]
        else:
            assert any(row.label.encode() in content for content in tree.values()), row
    if found.reading == "splits":
        assert not {row.label for row in raw.rows} <= {"train", "test", "validation"}
