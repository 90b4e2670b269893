"""Exports of annotation tools: COCO, Pascal VOC, YOLO, Label Studio; what each says of an image.

A reader gives what it was told and judges nothing; `layout` takes the one class of each image, or says
why it cannot.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from linnet.data import marks
from linnet.data.coco import read_coco
from linnet.data.folder_tree import Folder, utf8
from linnet.data.label_studio_tasks import answers_of, image_of
from linnet.data.tables import decoded
from linnet.data.told import Told
from linnet.errors import DataError
from linnet.tasks.target import Object

ExportKind = Literal["coco", "voc", "yolo", "label-studio"]
TITLES: dict[ExportKind, str] = {
    "coco": "COCO",
    "voc": "Pascal VOC",
    "yolo": "YOLO",
    "label-studio": "Label Studio",
}
_LARGEST = 1 << 30
_MANY_FILES = 50
_SURELY = re.compile(r"coco|instances", re.IGNORECASE)
_TELLING = re.compile(r"coco|instances|annotation|train|val|test|export|project|result|label", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Export:
    """All that an export says, one entry an image."""

    kind: ExportKind
    told: list[Told]
    boxes: bool
    """Whether it tells of boxes or outlines within images, not of whole images."""


@dataclass(slots=True)
class ExportSearch:
    """What was looked for in a folder, and what could not be looked into."""

    tree: Folder
    export: Export | None = None
    unread: dict[Path, str] = field(default_factory=dict)
    """Files that an export might stand in and that were not read, with the reason."""
    _jsons: list[tuple[Path, Any]] | None = None

    def notes(self) -> list[str]:
        """One line per reason: how many files were not read for it, and the first of them."""
        by_reason: dict[str, list[str]] = defaultdict(list)
        for path, reason in self.unread.items():
            by_reason[reason].append(utf8(path.relative_to(self.tree.path).as_posix()))
        return [
            f"{len(names):,} file(s) that may be annotations were not read ({reason}): "
            f"{', '.join(names[:3])}{', ...' if names[3:] else ''}"
            for reason, names in by_reason.items()
        ]

    def files(self, *endings: str) -> list[Path]:
        """The files with one of these endings; of very many, those whose names suggest annotations."""
        folders = self.tree.everything()
        found = [path for folder in folders for path in folder.others if path.suffix.lower() in endings]
        if len(found) <= _MANY_FILES:
            return found
        telling = [path for path in found if _TELLING.search(path.name)]
        reason = f"of {len(found):,} such files only those were looked into whose names suggest annotations"
        looked_into = set(telling)
        self.unread |= {path: reason for path in found if path not in looked_into}
        return telling

    def jsons(self) -> list[tuple[Path, Any]]:
        """The JSON files that can be read, each read once.

        Raises:
            DataError: one whose name says that it holds annotations cannot be read.
        """
        if self._jsons is None:
            self._jsons = list(self._read_jsons())
        return self._jsons

    def _read_jsons(self) -> Iterator[tuple[Path, Any]]:
        for path in self.files(".json"):
            try:
                if path.stat().st_size > _LARGEST:
                    raise ValueError(f"it has more than {_LARGEST:,} bytes")
                yield path, json.loads(decoded(path.read_bytes()))
            except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
                if _SURELY.search(path.name) or path.parent.name.lower() == "annotations":
                    problem = f"should be annotations, and cannot be read: {error!s:.80}"
                    raise DataError(str(path), problem, "export it again, or remove it") from error
                self.unread[path] = _reason(error)


def _reason(error: Exception) -> str:
    """Why a file was not read, without its place: files that fail alike are told in one line."""
    if isinstance(error, OSError):
        return f"cannot be opened: {error.strerror}"
    if isinstance(error, json.JSONDecodeError | RecursionError | ElementTree.ParseError):
        return "damaged"
    return "no text in UTF-8 or UTF-16" if isinstance(error, UnicodeDecodeError) else f"{error!s:.80}"


def find_export(tree: Folder, wanted: str) -> ExportSearch:
    """Looks for the export that the folder holds, or for the one of kind `wanted` (`auto`: any).

    Raises:
        DataError: it is damaged, or there are several kinds.
    """
    readers: dict[ExportKind, Callable[[ExportSearch], Export | None]] = {
        "coco": _coco,
        "voc": _voc,
        "yolo": _yolo,
        "label-studio": _label_studio,
    }
    search = ExportSearch(tree)
    found = [made for kind, read in readers.items() if wanted in ("auto", kind) and (made := read(search))]
    if len(found) > 1:
        kinds = " and ".join(TITLES[one.kind] for one in found)
        remedy = " or ".join(f"--layout {one.kind}" for one in found)
        raise DataError(str(tree.path), f"holds the exports {kinds}", f"say which one counts: {remedy}")
    search.export = found[0] if found else None
    return search


def _coco(search: ExportSearch) -> Export | None:
    """COCO: `images`, `annotations` and `categories` in one JSON file, perhaps one a split."""
    told = [one for path, content in search.jsons() for one in read_coco(path, content)]
    return Export("coco", told, boxes=True) if told else None


def _voc(search: ExportSearch) -> Export | None:
    """Pascal VOC: one XML file an image, with `filename` and `object/name`."""
    told: list[Told] = []
    others = (path for folder in search.tree.everything() for path in folder.others)
    for path in (path for path in others if path.suffix.lower() == ".xml"):
        try:
            root = ElementTree.parse(path).getroot()  # noqa: S314  expat bounds entities
        except (OSError, ElementTree.ParseError) as error:
            search.unread[path] = _reason(error)
            continue
        if root.tag == "annotation":
            told.append(Told(str(root.findtext("filename") or path.stem), path))
            marks.add_voc(told[-1], root)
    return Export("voc", told, boxes=True) if told else None


def _yolo(search: ExportSearch) -> Export | None:
    """YOLO: `data.yaml` with the names, and a text file an image, each line a class number and a box."""
    import yaml

    found: dict[Path, dict[int, str]] = {}
    for path in search.files(".yaml", ".yml"):
        try:
            content = yaml.safe_load(decoded(path.read_bytes()))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
            search.unread[path] = "damaged" if isinstance(error, yaml.YAMLError) else _reason(error)
            continue
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, list):
            names = dict(enumerate(names))
        if isinstance(names, dict) and {"train", "val", "nc", "path"} & set(content):
            found[path] = {int(key): str(name) for key, name in names.items() if str(key).isdigit()}
    first = next(iter(found), None)
    if first is None:
        return None
    told = list(_boxes(search.tree, first, found[first]))
    if told and (others := [path for path, known in found.items() if known != found[first]]):
        problem = f"numbers the classes otherwise than {utf8(first.relative_to(search.tree.path).as_posix())}"
        raise DataError(str(others[0]), problem, "name one of the two datasets, or number them alike")
    return Export("yolo", told, boxes=True) if told else None


def _boxes(tree: Folder, about: Path, names: dict[int, str]) -> Iterator[Told]:
    for folder in tree.everything():
        for path in folder.others:
            if path.suffix.lower() != ".txt" or "labels" not in path.relative_to(tree.path).parts[:-1]:
                continue
            parts = path.relative_to(tree.path).parts
            place = len(parts) - 2 - parts[-2::-1].index("labels")
            image = "/".join((*parts[:place], "images", *parts[place + 1 : -1], path.stem))
            told = Told(image, path)
            for number, line in enumerate(_text(path).splitlines(), 1):
                if not line.strip():
                    continue
                first = line.split()[0]
                known = names.get(int(first)) if first.isdigit() else None
                if known is None:
                    raise DataError(
                        str(path),
                        f"line {number} names the class {first!r:.40}",
                        f"{about.name} has no such class",
                    )
                marks.add_yolo(told, known, line.split()[1:])
            told.height = told.width = marks.SHARES
            yield told


def _text(path: Path) -> str:
    """Raises DataError: the file cannot be read as text."""
    try:
        return decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"is not readable as text: {error}", "fix or remove it") from error


def _label_studio(search: ExportSearch) -> Export | None:
    """Label Studio: a JSON list of tasks (JSON or JSON-MIN) with choices; boxes count as such."""
    told: dict[tuple[Path, str], Told] = {}
    # An image's answers may stand in one task, or in a row each (JSON-MIN), or in tasks of the same image.
    wholes: dict[tuple[Path, str], list[set[str]]] = defaultdict(list)
    drawn: dict[tuple[Path, str], list[list[Object]]] = defaultdict(list)
    boxes = False
    for path, content in search.jsons():
        if not isinstance(content, list) or not content:
            continue
        for task in content:
            image = image_of(task)
            if image is None:
                continue
            entry = told.setdefault((path, image), Told(image, path, answered=False))
            for answer in answers_of(task):
                entry.answered = True
                entry.classes |= {choice for choice, _ in answer}
                wholes[path, image].append({choice for choice, about in answer if about is None})
                marked: list[Object] = [(choice, about) for choice, about in answer if about is not None]
                boxes = boxes or bool(marked)
                drawn[path, image].append(marked)
    for key, said in wholes.items():
        told[key].apart = any(one != said[0] for one in said)
    for key, answers in drawn.items():
        alike = all(one == answers[0] for one in answers)
        told[key].objects = answers[0] if alike else [(name, {}) for one in answers for name, _ in one]
    for one in told.values():
        one.height, one.width = marks.size_of(one.objects)
    return Export("label-studio", list(told.values()), boxes) if told else None


def split_files(tree: Folder) -> dict[str, set[str]]:
    """Stem of an image to the names of the lists that hold it: VOC's ImageSets/Main/train.txt."""
    several: dict[str, set[str]] = defaultdict(set)
    for folder in tree.everything():
        if folder.name != "Main" or "ImageSets" not in folder.origin:
            continue
        for path in folder.others:
            if path.suffix == ".txt" and "_" not in path.stem and path.stem != "trainval":
                for line in _text(path).split():
                    several[line].add(path.stem)
    return several
