"""Folders as people have them: each is found as its line says, or refused in words."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linnet.config import Layout
from linnet.data.image_folder import dataset_of
from linnet.data.image_manifest import read_manifest
from linnet.data.layout import understand
from linnet.errors import DataError

Write = Callable[[Path], None]
Found = dict[tuple[str, str], int]
"""Images by split (empty: none) and class."""


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def fill(root: Path, folder: str, count: int, start: int = 0, ending: str = "png") -> list[str]:
    names = [f"{folder}/{number:03}.{ending}" for number in range(start, start + count)]
    touch(root, *names)
    return names


def text(root: Path, name: str, content: str, encoding: str = "utf-8") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(content, encoding)


def read(root: Path, layout: Layout = "auto") -> Found:
    """As `init` and `ingest` read it: rows by split and label."""
    found = understand(root, layout=layout)
    raw = read_manifest(found.table) if found.table else dataset_of(found)
    assert "images in" in found.tree() or "stand in" in found.tree()
    return dict(Counter((row.split, row.label) for row in raw.rows))


FLAT: Found = {("", "cat"): 4, ("", "dog"): 4}
TRAIN_TEST: Found = {(split, name): 2 for split in ("train", "test") for name in ("cat", "dog")}
TRAIN_VAL: Found = {(split, name): 2 for split in ("train", "validation") for name in ("cat", "dog")}


def flat_rows(
    header: str = "filename,label", separator: str = ",", end: str = "\n", ending: str = ".png"
) -> str:
    lines = [header] if header else []
    lines += [f"{number:03}{ending}{separator}{'cat' if number % 2 else 'dog'}" for number in range(8)]
    return end.join(lines).replace(",", separator) + end


def table(name: str = "labels.csv", encoding: str = "utf-8", folder: str = "", **spelling: str) -> Write:
    def write(root: Path) -> None:
        touch(root, *(f"{folder}{number:03}.png" for number in range(8)))
        text(root, name, flat_rows(**spelling), encoding)

    return write


def parquet(root: Path) -> None:
    names = fill(root, ".", 8)
    pq.write_table(
        pa.table({"image": [Path(n).name for n in names], "category": ["cat", "dog"] * 4}),
        root / "meta.parquet",
    )


def json_lines(root: Path) -> None:
    for split, start in (("train", 0), ("test", 4)):
        fill(root, split, 4, start)
        rows = [
            {"file_name": f"{n:03}.png", "label": "cat" if n % 2 else "dog"} for n in range(start, start + 4)
        ]
        text(root, f"{split}/metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def tables_by_split(root: Path) -> None:
    fill(root, "images", 8)
    for split, start in (("train", 0), ("test", 4)):
        rows = "".join(f"{n:03}.png,{'cat' if n % 2 else 'dog'}\n" for n in range(start, start + 4))
        text(root, f"{split}.csv", "image,label\n" + rows)


def kaggle(root: Path) -> None:
    """train.csv with names without endings, a sample submission, and an unlabelled test folder."""
    fill(root, "train", 8, ending="jpg")
    fill(root, "test", 3, start=100, ending="jpg")
    text(root, "train.csv", flat_rows("id,breed", ending=""))
    text(root, "sample_submission.csv", "id,cat,dog\n100,0.5,0.5\n")


def coco(names: list[str], labels: list[Any], file_name: Callable[[str], str] = str, first: int = 0) -> str:
    """A COCO file: one box an image of the class; a tuple of classes is several boxes."""
    categories = sorted(
        {one for label in labels for one in (label if isinstance(label, tuple) else (label,))}
    )
    images = [{"id": first + n, "file_name": file_name(name)} for n, name in enumerate(names)]
    boxes = [
        {"id": 10 * n, "image_id": first + n, "category_id": categories.index(one) + 1, "bbox": [0, 0, 1, 1]}
        for n, label in enumerate(labels)
        for one in (label if isinstance(label, tuple) else (label,))
    ]
    known = [{"id": n + 1, "name": name} for n, name in enumerate(categories)]
    return json.dumps({"images": images, "annotations": boxes, "categories": known})


PAIRS = ["cat", "dog"] * 2


def coco_2017(root: Path) -> None:
    for split, start in (("train2017", 0), ("val2017", 4)):
        names = fill(root, split, 4, start)
        text(root, f"annotations/instances_{split}.json", coco(names, PAIRS, lambda n: Path(n).name))


def roboflow_coco(root: Path) -> None:
    for split, start in (("train", 0), ("valid", 4)):
        names = fill(root, split, 4, start)
        text(root, f"{split}/_annotations.coco.json", coco(names, PAIRS, lambda n: Path(n).name))


def coco_of_several(root: Path) -> None:
    names = fill(root, "images", 4)
    text(root, "annotations.json", coco(names, [("cat", "dog"), "cat", "dog", "cat"]))


def coco_beside_classes(root: Path) -> None:
    names = [*fill(root, "a", 4), *fill(root, "b", 4, 4)]
    text(root, "instances.json", coco(names, ["cat", "dog"] * 4))


def voc(root: Path, names: tuple[str, ...] = ("cat", "dog")) -> None:
    fill(root, "JPEGImages", 8, ending="jpg")
    for number in range(8):
        body = (
            f"<filename>{number:03}.jpg</filename><object><name>{names[number % len(names)]}</name></object>"
        )
        text(root, f"Annotations/{number:03}.xml", f"<annotation>{body}</annotation>")


def voc_with_lists(root: Path) -> None:
    voc(root)
    text(root, "ImageSets/Main/train.txt", "".join(f"{n:03}\n" for n in range(4)))
    text(root, "ImageSets/Main/test.txt", "".join(f"{n:03}\n" for n in range(4, 8)))
    text(root, "ImageSets/Main/trainval.txt", "000\n")


def yolo(root: Path, names: str = "[cat, dog]", roboflow: bool = False) -> None:
    for split, start in (("train", 0), ("val", 4)):
        images, labels = (
            (f"{split}/images", f"{split}/labels") if roboflow else (f"images/{split}", f"labels/{split}")
        )
        fill(root, images, 4, start)
        for number in range(start, start + 4):
            kind = 1 - number % 2 if "dog" in names else 0
            text(root, f"{labels}/{number:03}.txt", f"{kind} 0.5 0.5 0.4 0.3\n")
    text(root, "data.yaml", f"train: images/train\nval: images/val\nnames: {names}\n")


def yolo_background(root: Path) -> None:
    yolo(root)
    text(root, "labels/train/000.txt", "")


def tasks(choices: list[list[str]], minimal: bool = False) -> str:
    listed: list[Any] = []
    for number, told in enumerate(choices):
        image = f"/data/upload/1/0a1b2c3d-{number:03}.png"
        result = [{"type": "choices", "value": {"choices": [one]}} for one in told]
        task = {"id": number, "data": {"image": image}, "annotations": [{"result": result}]}
        listed.append(
            {"id": number, "image": image, "choice": told[0], "annotation_id": 1} if minimal else task
        )
    return json.dumps(listed)


def label_studio(root: Path, minimal: bool = False) -> None:
    fill(root, "media", 8)
    text(root, "project-1-at-2026.json", tasks([["cat"], ["dog"]] * 4, minimal))


def label_studio_apart(root: Path) -> None:
    fill(root, "media", 4)
    text(root, "export.json", tasks([["cat", "dog"], ["cat"], ["dog"], ["cat"]]))


def webdataset(root: Path) -> None:
    for number in range(8):
        touch(root, f"{number:06}.jpg")
        text(root, f"{number:06}.cls", "cat" if number % 2 else "dog")


def tar_shards(root: Path) -> None:
    touch(root, "train-000000.tar", "train-000001.tar")


def names(root: Path, *spelled: str) -> None:
    touch(
        root,
        *(name.format(kind, number) for kind in ("cat", "dog") for number in range(4) for name in spelled),
    )


def tiny_imagenet(root: Path) -> None:
    for wnid in ("n01443537", "n01629819"):
        fill(root, f"train/{wnid}/images", 2, ending="JPEG")
        fill(root, f"val/{wnid}", 2, start=5, ending="JPEG")
    text(root, "words.txt", "n01443537\tgoldfish\nn01629819\tsalamander\n")
    fill(root, "test/images", 2, start=9, ending="JPEG")


def splits(*spelled: str) -> Write:
    def write(root: Path) -> None:
        for number, split in enumerate(spelled):
            for name in ("cat", "dog"):
                fill(root, f"{split}/{name}", 2, 10 * number)

    return write


def table_that_agrees(root: Path) -> None:
    names = [*fill(root, "cat", 4), *fill(root, "dog", 4, 4)]
    text(root, "all.csv", "path,label\n" + "".join(f"{n},{n.partition('/')[0]}\n" for n in names))


def table_that_disagrees(root: Path) -> None:
    names = [*fill(root, "cat", 4), *fill(root, "dog", 4, 4)]
    text(root, "all.csv", "path,label\n" + "".join(f"{n},{'x' if '3' in n else n[:3]}\n" for n in names))


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
    "a table a split": (tables_by_split, "auto", TRAIN_TEST),
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
    "YOLO of two classes": (yolo, "auto", TRAIN_VAL),
    "YOLO with names by number": (lambda root: yolo(root, "{0: cat, 1: dog}"), "auto", TRAIN_VAL),
    "YOLO of Roboflow": (lambda root: yolo(root, roboflow=True), "auto", TRAIN_VAL),
    "YOLO with background": (yolo_background, "auto", {**TRAIN_VAL, ("train", "dog"): 1}),
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


def with_file(write: Write, name: str, content: str) -> Write:
    def wrote(root: Path) -> None:
        write(root)
        text(root, name, content)

    return wrote


def one_class(root: Path) -> None:
    fill(root, "cat", 4)


def several_tables(root: Path) -> None:
    table()(root)
    table("more.csv")(root)


REFUSED: dict[str, tuple[Write, str]] = {
    "YOLO of one class": (
        lambda r: yolo(r, "[cat]"),
        r"looks like a YOLO export with boxes of 1 class: cat; .*detection",
    ),
    "COCO of several classes an image": (
        coco_of_several,
        r"1 image\(s\) have boxes of several classes:\n.*cat, dog",
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
    "nothing": (lambda r: None, "has no sub-folders"),
    "an unknown number in YOLO": (
        with_file(yolo, "labels/val/004.txt", "7 0 0 1 1"),
        "line 1 names the class '7'; data.yaml has no such class",
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
    reasons = {item.origin: item.reason for item in understand(tmp_path / "y").left_out}
    assert reasons["images/train/000.png"] == "without a label in the YOLO export"
    kaggle(tmp_path / "k")
    left = Counter(item.reason for item in understand(tmp_path / "k").left_out)
    assert left["not named in a table"] == 3
    label_studio(tmp_path / "s")
    (tmp_path / "s" / "media" / "003.png").unlink()
    gone = [item.origin for item in understand(tmp_path / "s").left_out if "not there" in item.reason]
    assert gone == ["/data/upload/1/003.png"]


def test_test_folder_without_classes_of_training_is_left_out_and_told(tmp_path: Path) -> None:
    tiny_imagenet(tmp_path)
    found = understand(tmp_path)
    assert [i.origin for i in found.left_out if i.reason == "image without a class"] == [
        "test/images/009.JPEG",
        "test/images/010.JPEG",
    ]
    assert "the test split has no class of the training images, only images: left out" in found.tree()
