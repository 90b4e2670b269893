"""Writes small folders in layouts that people really have; an image is a file with its name in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Write = Callable[[Path], None]


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
    """Each image's choices, one a person."""
    listed: list[Any] = []
    for number, told in enumerate(choices):
        image = f"/data/upload/1/0a1b2c3d-{number:03}.png"
        people = [{"result": [{"type": "choices", "value": {"choices": [one]}}]} for one in told]
        task = {"id": number, "data": {"image": image}, "annotations": people}
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


def label_studio_rows_apart(root: Path) -> None:
    """JSON-MIN of a project in which two people answered each task: one row per answer."""
    fill(root, "media", 4)
    first = json.loads(tasks([["cat"], ["dog"], ["cat"], ["dog"]], minimal=True))
    second = json.loads(tasks([["dog"], ["dog"], ["cat"], ["cat"]], minimal=True))
    text(root, "export.json", json.dumps([*first, *({**row, "annotation_id": 2} for row in second)]))


def annotators_apart(root: Path) -> None:
    """A table with one row per answer, in which two people disagree about two of four images."""
    touch(root, *(f"{number}.png" for number in range(4)))
    rows = [f"{number}.png,{'cat' if number else 'dog'},ann" for number in range(4)]
    rows += [f"{number}.png,{'cat' if number > 2 else 'dog'},bob" for number in range(4)]
    text(root, "labels.csv", "path,label,annotator\n" + "\n".join(rows) + "\n")


def label_studio_tasks_apart(root: Path) -> None:
    """Two tasks of one image, as an image that was uploaded twice has."""
    fill(root, "media", 4)
    listed = json.loads(tasks([["cat"], ["dog"], ["cat"], ["dog"], ["cat"]]))
    listed[4]["data"]["image"] = "/data/upload/1/99999999-001.png"
    text(root, "export.json", json.dumps(listed))


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


def with_file(write: Write, name: str, content: str) -> Write:
    def wrote(root: Path) -> None:
        write(root)
        text(root, name, content)

    return wrote
