"""Takes what an annotation tool's export says of each image: its class, or all of them."""

from __future__ import annotations

from pathlib import Path

from linnet.config import DEFAULT_TASK
from linnet.data.exports import TITLES, Export, split_files
from linnet.data.folder_tree import Folder, LeftOut
from linnet.data.image_index import ImageIndex
from linnet.data.rows import invalid_rows
from linnet.data.told import Told
from linnet.data.understanding import Understanding, label_of, new_understanding, split_among, split_named
from linnet.errors import DataError
from linnet.tasks.parts import TASKS
from linnet.tasks.target import Target, target_of

_SHARE_OF_SEVERAL = 0.1
"""Of the images: fewer with several classes are mistakes, which are named, and not another task.

Of the objects, too: fewer without a place are mistakes.
"""


def read_export(tree: Folder, export: Export, task: str = "") -> Understanding:
    """The class that an export gives each image, or all of them.

    An image that the export lists without a box shows none of the classes; whole images without a label,
    and images of Label Studio that nobody answered (or said "cannot tell" of), are left out.

    Args:
        tree: The folder.
        export: What it says.
        task: What the labels are to answer; empty: what a tenth of the images or more show.

    Raises:
        DataError: it tells of one class alone; or of several within an image, where the task takes one.
    """
    found, title = new_understanding(tree), TITLES[export.kind]
    found.reading = export.kind
    names = sorted({name for one in export.told for name in one.classes if name})
    what = "boxes" if export.boxes else "labels"
    if len(names) < 2:
        raise DataError(
            str(tree.path),
            f"looks like a {title} export with {what} of {len(names)} class: {', '.join(names) or 'none'}",
            "Linnet tells at least 2 classes apart",
        )
    several = [
        f"{one.reference}: {', '.join(sorted(one.classes))}" for one in export.told if len(one.classes) > 1
    ]
    with_all = next(one for one in TASKS if target_of(one).several)
    found.task = task = task or _task_of(export, with_all)
    apart = [f"{one.reference}: {', '.join(sorted(one.classes))}" for one in export.told if one.apart]
    if apart and target_of(task).several:
        problem = f"is a {title} export, and people labelled {len(apart)} image(s) differently"
        raise invalid_rows(str(tree.path), problem, apart, "keep one of the answers to each")
    if several and not target_of(task).several:
        problem = f"is a {title} export, and {len(several)} image(s) have {what} of several classes"
        remedy = (
            f'{task} takes one class an image: set data.task = "{with_all}" to ask for all of them, or cut '
            "the boxes out as images of their own, or leave these out"
        )
        raise invalid_rows(str(tree.path), problem, several, remedy)
    images, several_lists = tree.all_images(), split_files(tree)
    twice = sorted(stem for stem, named in several_lists.items() if len(named) > 1)
    lists = {stem: next(iter(named)) for stem, named in several_lists.items() if len(named) == 1}
    index = ImageIndex(tree.path, images)
    missing = _take_told(found, export, index, lists)
    if twice:
        first = f"such as {twice[0]} in {' and '.join(sorted(several_lists[twice[0]]))}"
        told = f"{len(twice):,} image(s) stand in several lists of ImageSets ({first}): none counts"
        found.notes.append(told)
    if not found.images:
        raise invalid_rows(
            str(tree.path), f"is a {title} export whose images are not there", missing, "add them"
        )
    if missing:
        found.left_out += [LeftOut(name, f"named by the {title} export, and not there") for name in missing]
    files = {one.file for one in export.told}
    found.left_out = [item for item in found.left_out if tree.path / item.origin not in files]
    found.leave_out_others(images, f"without a label in the {title} export")
    found.notes.append(f"read as a {title} export: each image has {_how_many(found)}")
    return found


def _take_told(found: Understanding, export: Export, index: ImageIndex, lists: dict[str, str]) -> list[str]:
    """Takes the images that an export labels; gives the names of those that are not there."""
    missing: list[str] = []
    wrong: list[str] = []
    unanswered: list[Path] = []
    taken: dict[Path, str] = {}
    seen: set[tuple[Path, str]] = set()
    target = target_of(found.task)
    for one in export.told:
        path = index.find(one.reference, one.file.parent) or index.find(one.reference)
        if path is None:
            missing.append(one.reference)
            continue
        if not one.answered:
            unanswered.append(path)
            continue
        if "" in one.classes:
            wrong.append(f"{one.reference}: something is marked without a class")
            continue
        spelled = {name: label_of(name, str(one.file)) for name in sorted(one.classes)}
        names = list(spelled.values())
        if bad := next((problem for name in names if (problem := target.problem_of(name))), ""):
            raise DataError(str(one.file), f"a class {bad}", "rename it")
        if names or (target.several and export.boxes):
            try:
                label = target.renamed(_label(target, one), spelled.__getitem__)
            except ValueError as error:
                wrong.append(f"{one.reference}: {error}")
                continue
            if taken.setdefault(path, label) != label:
                labels = f"'{taken[path]}' and '{label}'"
                raise DataError(str(one.file), f"labels {found.origin(path)} {labels}", "keep one of them")
            parts = (*path.relative_to(found.where).parts[-2::-1], one.file.stem.rpartition("_")[2])
            split = split_named(lists.get(path.stem, "")) or split_among(parts)
            if (path, split) in seen:  # in two splits it is a leak, which whoever selects rows tells
                continue
            seen.add((path, split))
            found.take(path, label, split)
    found.leave_out_others(unanswered, f"without an answer in the {TITLES[export.kind]} export")
    if wrong:
        problem = f"is a {TITLES[export.kind]} export, and {len(wrong)} image(s) have no usable label"
        raise invalid_rows(str(found.where), problem, wrong, "fix or remove these annotations")
    return missing


def _label(target: Target, told: Told) -> str:
    """The label of an image, by what is marked in it where labels say where.

    Raises:
        ValueError: what is wrong with that.
    """
    if not target.spatial:
        return target.label(sorted(told.classes))
    if told.classes and not told.objects:
        raise ValueError("the export names classes, but not where they are")
    if not told.height:
        raise ValueError("the export does not give its height and width")
    return target.of_objects(told.objects, told.height, told.width)


def _how_many(found: Understanding) -> str:
    """How many classes the images have."""
    target = target_of(found.task)
    if not target.several:
        return "one class"
    none = sum(not target.classes(image.label) for image in found.images)
    return f"all that it tells of; {none:,} image(s) without any box show none of the classes"


def _task_of(export: Export, several: str) -> str:
    """What is asked where nobody says it: the places of objects, where all are known; or their classes."""
    objects = [about for one in export.told for _, about in one.objects]
    sized = all(one.height for one in export.told if one.classes)
    if objects and sized:
        for task in TASKS:
            target = target_of(task)
            unmarked = sum(target.mark not in about for about in objects)
            if target.spatial and unmarked < _SHARE_OF_SEVERAL * len(objects):
                return task
    return several if _tells_of_several(export) else DEFAULT_TASK


def _tells_of_several(export: Export) -> bool:
    """Whether so many images have several classes that it is meant; what people disagree about is not."""
    several = sum(len(one.classes) > 1 and not one.apart for one in export.told)
    return several > 0 and several >= _SHARE_OF_SEVERAL * sum(one.answered for one in export.told)
