"""Folders as people have them: each is found as its line says, or refused in words."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from linnet.config import Layout
from linnet.data import exports
from linnet.data.image_folder import dataset_of
from linnet.data.image_manifest import manifest_rows, read_manifest
from linnet.data.layout import understand
from linnet.data.table_look import task_of_table
from linnet.errors import DataError
from linnet.tasks.target import target_of
from tests.data.layouts import (
    Write,
    annotators_apart,
    coco,
    coco_2017,
    coco_beside_classes,
    coco_of_several,
    fill,
    json_lines,
    kaggle,
    label_studio,
    label_studio_apart,
    label_studio_rows_apart,
    label_studio_tasks_apart,
    names,
    parquet,
    roboflow_coco,
    splits,
    table,
    table_that_agrees,
    table_that_disagrees,
    tables_by_split,
    tar_shards,
    text,
    tiny_imagenet,
    touch,
    voc,
    voc_with_lists,
    webdataset,
    with_file,
    yolo,
    yolo_background,
)

Found = dict[tuple[str, str], int]
"""Images by split (empty: none) and class."""


def read(root: Path, layout: Layout = "auto") -> Found:
    """As `init` and `ingest` read it: rows by split and label."""
    found = understand(root, layout=layout)
    raw = read_manifest(found.table) if found.table else dataset_of(found)
    assert "images in" in found.tree() or "stand in" in found.tree()
    target = target_of(found.task)
    return dict(Counter((row.split, "|".join(target.classes(row.label))) for row in raw.rows))


FLAT: Found = {("", "cat"): 4, ("", "dog"): 4}
TRAIN_TEST: Found = {(split, name): 2 for split in ("train", "test") for name in ("cat", "dog")}
TRAIN_VAL: Found = {(split, name): 2 for split in ("train", "validation") for name in ("cat", "dog")}


WNIDS: Found = {(s, w): 2 for s in ("train", "validation") for w in ("n01443537", "n01629819")}
FOUND: dict[str, tuple[Write, Layout, Found]] = {
    "csv": (table(), "auto", FLAT),
    "csv with other columns": (table(header="Image,Class"), "auto", FLAT),
    "csv of spaced column names": (table(header="File Name,Category Name"), "auto", FLAT),
    "csv without a header": (table(header=""), "auto", FLAT),
    "csv of Windows lines": (table(end="\r\n"), "auto", FLAT),
    "tsv": (table("labels.tsv", separator="\t"), "auto", FLAT),
    "semicolons": (table(separator=";"), "auto", FLAT),
    "bars": (table(separator="|"), "auto", FLAT),
    "csv with a byte order mark": (table(encoding="utf-8-sig"), "auto", FLAT),
    "csv in UTF-16": (table(encoding="utf-16"), "auto", FLAT),
    "csv beside a folder of images": (table(folder="images/"), "auto", FLAT),
    "csv in a folder around": (table("data/labels.csv", folder="data/"), "auto", FLAT),
    "parquet": (parquet, "auto", FLAT),
    "json lines of Hugging Face imagefolder": (json_lines, "auto", TRAIN_TEST),
    "one table per split": (tables_by_split, "auto", TRAIN_TEST),
    "kaggle": (kaggle, "auto", {("train", "cat"): 4, ("train", "dog"): 4}),
    "train and val": (splits("train", "val"), "auto", TRAIN_VAL),
    "Train_Set and TEST-set": (splits("Train_Set", "TEST-set"), "auto", TRAIN_TEST),
    "train2024 and test2024": (splits("train2024", "test2024"), "auto", TRAIN_TEST),
    "seg_train and seg_pred, told": (
        splits("seg_train", "seg_pred"),
        "classes",
        {("", "seg_train"): 4, ("", "seg_pred"): 4},
    ),
    "splits in a folder around": (splits("inner/train", "inner/dev"), "auto", TRAIN_VAL),
    "train_images and test_images": (splits("train_images", "test_images"), "auto", TRAIN_TEST),
    "COCO 2017": (coco_2017, "auto", TRAIN_VAL),
    "COCO of Roboflow": (roboflow_coco, "auto", TRAIN_VAL),
    "COCO beside class folders, by the export": (coco_beside_classes, "coco", FLAT),
    "COCO beside class folders, by the folders": (
        coco_beside_classes,
        "classes",
        {("", "a"): 4, ("", "b"): 4},
    ),
    "Pascal VOC": (voc, "auto", FLAT),
    "Pascal VOC with its lists": (voc_with_lists, "auto", TRAIN_TEST),
    "COCO of several classes an image": (
        coco_of_several,
        "auto",
        {("", "cat|dog"): 1, ("", "cat"): 2, ("", "dog"): 1},
    ),
    "YOLO of two classes": (yolo, "auto", TRAIN_VAL),
    "YOLO with names by number": (lambda root: yolo(root, "{0: cat, 1: dog}"), "auto", TRAIN_VAL),
    "YOLO of Roboflow": (lambda root: yolo(root, roboflow=True), "auto", TRAIN_VAL),
    "YOLO with background": (yolo_background, "auto", {**TRAIN_VAL, ("train", "dog"): 1, ("train", ""): 1}),
    "Label Studio": (label_studio, "auto", FLAT),
    "Label Studio, minimal JSON": (lambda root: label_studio(root, minimal=True), "auto", FLAT),
    "WebDataset, unpacked": (webdataset, "auto", FLAT),
    "Kaggle's cat.0.jpg, told": (
        lambda root: names(root, "train/{}.{}.jpg"),
        "names",
        {("train", "cat"): 4, ("train", "dog"): 4},
    ),
    "cat_0.jpg, told": (lambda root: names(root, "{}_{}.jpg"), "names", FLAT),
    "0 cat.jpg, told": (lambda root: names(root, "{1} {0}.jpg"), "names", FLAT),
    "Tiny ImageNet": (tiny_imagenet, "auto", WNIDS),
    "a table that says what the folders say": (table_that_agrees, "auto", FLAT),
    "a table that says something else, by the folders": (table_that_disagrees, "classes", FLAT),
}


@pytest.mark.parametrize("name", FOUND)
def test_layout_is_found_as_it_is_meant(tmp_path: Path, name: str) -> None:
    write, layout, expected = FOUND[name]
    write(tmp_path)
    assert read(tmp_path, layout) == expected
    found = understand(tmp_path, layout=layout)
    assert found.table or understand(tmp_path, layout=found.reading).images == found.images  # type: ignore[arg-type]


def one_class(root: Path) -> None:
    fill(root, "cat", 4)


def several_tables(root: Path) -> None:
    table()(root)
    table("more.csv")(root)


REFUSED: dict[str, tuple[Write, str]] = {
    "YOLO of one class": (
        lambda r: yolo(r, "[cat]"),
        r"looks like a YOLO export with boxes of 1 class: cat; .*at least 2 classes",
    ),
    "COCO beside class folders": (
        coco_beside_classes,
        r"holds a COCO export .* may be classes: a, b; .*--layout coco",
    ),
    "VOC of one class": (lambda r: voc(r, ("cat",)), "Pascal VOC export with boxes of 1 class: cat"),
    "Label Studio, annotators apart": (
        label_studio_apart,
        r"Label Studio export, and 1 image\(s\) have labels of several",
    ),
    "Label Studio, minimal JSON, annotators apart": (
        label_studio_rows_apart,
        r"Label Studio export, and 2 image\(s\) have labels of several",
    ),
    "Label Studio, tasks of one image apart": (
        label_studio_tasks_apart,
        r"Label Studio export, and 1 image\(s\) have labels of several",
    ),
    "names of files": (
        lambda r: names(r, "{}_{}.jpg"),
        r"names of the files may be classes: cat 4, dog 4; .*--layout names",
    ),
    "camera names": (
        lambda r: touch(r, *(f"{k}_{n:04}.jpg" for k in ("IMG", "DSC") for n in range(5))),
        "may be classes: DSC 5, IMG 5",
    ),
    "flat": (lambda r: touch(r, "sunset.jpg", "beach.jpg"), r"2 image\(s\) stand outside of every class"),
    "one class": (one_class, "at least 2 classes are needed, and there is only 'cat'"),
    "tar shards": (tar_shards, r"2 packed file\(s\) such as train-000000.tar; unpack them first"),
    "several tables": (several_tables, "several tables name images and labels: labels.csv, more.csv"),
    "a table that disagrees": (
        table_that_disagrees,
        r"1 image\(s\) have another label here than their folder says",
    ),
    "a table that gives an image two labels, one of them its folder's": (
        with_file(table_that_disagrees, "all.csv", "path,label\ncat/000.png,dog\ncat/000.png,cat\n"),
        r"cat/000.png: 'cat' by its folder, 'dog\|cat' in the table",
    ),
    "nothing": (lambda r: None, "has no sub-folders"),
    "an unknown number in YOLO": (
        with_file(yolo, "labels/val/004.txt", "7 0 0 1 1"),
        "line 1 names the class '7'; data.yaml has no such class",
    ),
    "a COCO file in which two images have one id": (
        with_file(
            coco_of_several,
            "annotations.json",
            coco([f"{n:03}.png" for n in range(4)], ["cat", "dog"] * 2).replace(
                '"id": 1, "file', '"id": 0, "file'
            ),
        ),
        "image 0 is both 000.png and 001.png",
    ),
    "a COCO file in which two classes have one id": (
        with_file(
            coco_of_several,
            "annotations.json",
            coco([f"{n:03}.png" for n in range(4)], ["cat", "dog"] * 2).replace(
                '"id": 2, "name', '"id": 1, "name'
            ),
        ),
        "category 1 is both cat and dog",
    ),
    "two YOLO datasets that number their classes otherwise": (
        with_file(yolo, "more/data.yaml", "train: images\nnames: [dog, cat]\n"),
        "more/data.yaml: numbers the classes otherwise than data.yaml",
    ),
    "a damaged COCO file": (
        with_file(splits("train", "val"), "annotations/instances.json", "{"),
        "should be annotations, and cannot be read",
    ),
    "splits of an own spelling": (
        splits("seg_train", "seg_pred"),
        "'seg_pred', 'seg_train' hold the same sub-folders 'cat', 'dog': they may be splits",
    ),
    "two kinds of export": (
        with_file(voc, "instances.json", coco(["000.jpg"], ["cat"])),
        "holds the exports COCO and Pascal VOC; say which one counts: --layout coco or --layout voc",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_layout_with_two_readings_or_none_is_refused_in_words(tmp_path: Path, name: str) -> None:
    write, words = REFUSED[name]
    write(tmp_path)
    with pytest.raises(DataError, match=f"(?s){words}"):
        read(tmp_path)


APART = {
    "one task, two answers": (label_studio_apart, 1),
    "minimal JSON, one row per answer": (label_studio_rows_apart, 2),
    "two tasks of one image": (label_studio_tasks_apart, 1),
}


@pytest.mark.parametrize("name", APART)
def test_what_people_disagree_about_is_no_truth_of_several_classes(tmp_path: Path, name: str) -> None:
    write, count = APART[name]
    write(tmp_path)
    with pytest.raises(DataError, match=rf"people labelled {count} image\(s\) differently"):
        understand(tmp_path, task="multilabel")


def test_table_whose_annotators_are_apart_is_no_table_of_several_classes(tmp_path: Path) -> None:
    annotators_apart(tmp_path)
    assert task_of_table(tmp_path / "labels.csv") == ("classification", "")
    words = r"(?s)2 image\(s\) have different answers of several people.*1.png: cat by ann, dog by bob"
    with pytest.raises(DataError, match=words):
        manifest_rows(tmp_path / "labels.csv", task="multilabel")


def test_answers_of_several_people_that_agree_are_one(tmp_path: Path) -> None:
    rows = [f"{n}.png,{label},{who}" for n, label in enumerate("abab") for who in ("ann", "bob")]
    touch(tmp_path, *(f"{n}.png" for n in range(4)))
    text(tmp_path, "t.csv", "path,label,annotator\n" + "\n".join(rows) + "\n")
    assert [row.label for row in manifest_rows(tmp_path / "t.csv", task="multilabel")] == list("abab")
    assert task_of_table(tmp_path / "t.csv") == ("classification", "")


def test_classes_that_one_person_gives_an_image_in_rows_are_all_its_own(tmp_path: Path) -> None:
    rows = [f"{n}.png,{label},ann" for n in range(4) for label in ("a", "b")]
    touch(tmp_path, *(f"{n}.png" for n in range(4)))
    text(tmp_path, "t.csv", "path,label,annotator\n" + "\n".join(rows) + "\n")
    assert {row.label for row in manifest_rows(tmp_path / "t.csv", task="multilabel")} == {"a|b"}
    assert task_of_table(tmp_path / "t.csv")[0] == "multilabel"


BAD_NAMES = {
    "a\nb": "holds a control character (a newline)",
    "a\x07": "holds a control character (U+0007)",
    "a\u202eb": "holds an invisible character (U+202E)",
    "x" * 101: "has 101 characters, at most 100 are accepted",
}


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_class_name_that_breaks_tables_or_pages_is_refused_by_name(tmp_path: Path, bad: str) -> None:
    touch(tmp_path, f"f/{bad}/1.png", "f/dog/2.png", "t/1.png", "t/2.png")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "f")
    assert BAD_NAMES[bad] in str(caught.value) and repr(bad[:60]) in str(caught.value)
    rows = [{"path": "1.png", "label": bad}, {"path": "2.png", "label": "dog"}]
    text(tmp_path, "t/labels.jsonl", "\n".join(json.dumps(row) for row in rows))
    with pytest.raises(DataError) as caught:
        read(tmp_path / "t")
    assert BAD_NAMES[bad] in str(caught.value)


def test_label_cells_are_trimmed_and_composed_as_folders_are(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png", "3.png")
    apart = unicodedata.normalize("NFD", "café")
    text(tmp_path, "labels.csv", f"path,label\n1.png, café \n2.png,{apart}\n3.png,thé\n")
    assert read(tmp_path) == {("", "café"): 2, ("", "thé"): 1}


def test_what_an_export_or_a_table_does_not_name_is_counted(tmp_path: Path) -> None:
    yolo_background(tmp_path / "y")
    found = understand(tmp_path / "y", task="classification")
    reasons = {item.origin: item.reason for item in found.left_out}
    assert reasons["images/train/000.png"] == "without a label in the YOLO export"
    kaggle(tmp_path / "k")
    left = Counter(item.reason for item in understand(tmp_path / "k").left_out)
    assert left["not named in a table"] == 3
    label_studio(tmp_path / "s")
    (tmp_path / "s" / "media" / "003.png").unlink()
    gone = [item.origin for item in understand(tmp_path / "s").left_out if "not there" in item.reason]
    assert gone == ["/data/upload/1/003.png"]


def test_image_in_several_lists_of_splits_is_told(tmp_path: Path) -> None:
    """It got another split than any of the lists said, without a word."""
    with_file(voc_with_lists, "ImageSets/Main/val.txt", "001\n002\n")(tmp_path)
    told = understand(tmp_path).tree()
    assert "2 image(s) stand in several lists of ImageSets (such as 001 in train and val)" in told


def test_image_in_the_files_of_two_splits_is_a_leak_and_told(tmp_path: Path) -> None:
    """It stood where the first file by name said: in training, and the test lacked it, without a word."""
    names = fill(tmp_path, "images", 6)
    for split, part in (("train", names[:4]), ("val", names[2:])):
        text(tmp_path, f"annotations/instances_{split}.json", coco(part, ["cat", "dog"] * 2))
    found = understand(tmp_path)
    assert [i.split for i in found.images if i.origin == "images/002.png"] == ["train", "validation"]
    assert len(found.images) == 8


def test_test_folder_without_classes_of_training_is_left_out_and_told(tmp_path: Path) -> None:
    tiny_imagenet(tmp_path)
    found = understand(tmp_path)
    assert [i.origin for i in found.left_out if i.reason == "image without a class"] == [
        "test/images/009.JPEG",
        "test/images/010.JPEG",
    ]
    assert "the test split has no class of the training images, only images: left out" in found.tree()


def test_export_that_is_too_large_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coco_2017(tmp_path)
    monkeypatch.setattr(exports, "_LARGEST", 100)
    with pytest.raises(DataError, match=r"cannot be read: it has more than 100 bytes"):
        understand(tmp_path)


def test_file_that_may_hold_the_labels_and_is_not_read_is_told_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was passed over without a word, unless its name was that of an export."""
    coco_2017(tmp_path / "photos")
    for file in (tmp_path / "photos" / "annotations").iterdir():
        file.rename(tmp_path / "photos" / file.name.replace("instances_", "dump-"))
    (tmp_path / "photos" / "annotations").rmdir()
    (tmp_path / "photos" / "notes.json").write_text("{")
    (tmp_path / "photos" / "list.xml").write_text("<annotation>")
    monkeypatch.setattr(exports, "_LARGEST", 100)
    with pytest.raises(DataError) as refused:
        understand(tmp_path / "photos")
    told = str(refused.value)
    assert "2 file(s) that may be annotations were not read (it has more than 100 bytes): dump-" in told
    assert "2 file(s) that may be annotations were not read (damaged): " in told
    assert "list.xml" in told and "notes.json" in told


def test_folders_are_read_beside_json_files_that_are_not_and_these_are_counted(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for number in range(30):
            touch(tmp_path, f"{name}/{number}.png")
            text(tmp_path, f"{name}/{number}.json", "{}")
    found = understand(tmp_path)
    assert len(found.images) == 60 and found.notes == [
        "60 file(s) that may be annotations were not read (of 60 such files only those were looked into "
        "whose names suggest annotations): cat/0.json, cat/1.json, cat/10.json, ..."
    ]
