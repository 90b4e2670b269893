"""Every task has every part that is asked of it, and nobody else names a task."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import linnet
from linnet.errors import ConfigError
from linnet.tasks.agree import agreement_of, consensus_of
from linnet.tasks.answer import answer_of
from linnet.tasks.label_form import label_form_of
from linnet.tasks.model import model_of
from linnet.tasks.parts import TASKS
from linnet.tasks.score import score_of
from linnet.tasks.summary import summary_of
from linnet.tasks.target import Target, Targets, UnknownClass, target_of

ROOT = Path(linnet.__file__).parent
NAMED_ELSEWHERE = {"config/data.py": "the table"}
"""Modules outside tasks/ that may name a task or take what is one task's own; the list only shrinks."""
CLASSES = ("Bag", "Coat", "Shirt")


def labelled(target: Target, *names: str) -> str:
    """A label of these classes, in quarters of an image of 8 x 8 where it says where they are."""
    if not target.spatial:
        return target.label(names)
    quarters = [
        (name, {"bbox": [4 * k, 0, 4, 4], "segmentation": [[4 * k, 0, 4 * k + 4, 0, 4 * k + 4, 4, 4 * k, 4]]})
        for k, name in enumerate(names)
    ]
    return target.of_objects(quarters, 8, 8)


def surely(target: Target, rows: Targets, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Output of a model that is sure of these targets."""
    if not target.spatial:
        return target.matrix(rows, 3).astype(np.float32)
    if len(shape) == 3:
        return np.stack([rows, np.ones_like(rows)], axis=1).astype(np.float32)
    output = np.zeros((len(rows), *shape), np.float32)
    for image, row in zip(output, rows, strict=True):
        there = row[row[:, 0] >= 0]
        image[: len(there)] = np.column_stack([there[:, 1:], np.ones(len(there)), there[:, 0]])
    return output


@pytest.mark.parametrize("task", TASKS)
def test_task_has_the_parts_of_its_life_cycle(task: str) -> None:
    target = target_of(task)
    label = labelled(target, *(CLASSES[:2] if target.several else CLASSES[:1]))
    rows = target.encode([label, label], CLASSES, 8, 8)
    assert target.problem(rows, 3) == "" and target.decode(rows[1], CLASSES) == label
    assert target.read(target.cell(label)) == label == target.renamed(label, str)
    assert all(values.shape == (2,) for values in target.cohorts(rows).values())
    assert target.counts(rows, 3).tolist() == target.matrix(rows, 3).sum(axis=0).tolist()
    assert len(target.groups(rows)) == 2 and agreement_of(task)(label, label) == 1.0
    with pytest.raises(UnknownClass, match="Hat"):
        target.encode([label, labelled(target, "Hat")], CLASSES, 8, 8)
    answer = answer_of(task, CLASSES)
    shape = answer.row_shape(8, 8)
    sure = surely(target, rows, shape)
    assert answer.problem(sure) == "" and answer.labels(sure) == [label, label]
    assert answer.problem(np.full((1, *shape), np.nan, np.float32))
    packed = answer.packed(sure)
    ends = np.cumsum([len(row) for row in packed])
    assert np.array_equal(answer.unpacked(np.concatenate(packed), ends), sure)
    assert answer.difference(sure, sure) == 0.0 == answer.off(answer.listed(sure[0]), sure[0])
    backward = CLASSES[::-1]
    assert answer.difference(sure, answer.in_classes(sure, backward)) > 0.5
    assert answer_of(task, backward).labels(answer.in_classes(sure, backward)) == [label, label]
    assert answer.by_class(sure).shape == (2, 3)
    assert answer.named(sure).tolist() == target.matrix(rows, 3).tolist()
    for name, values in summary_of(task).scalars(sure).items():
        assert len(values) == 2 and np.isfinite(values).all(), name
    assert answer.said(answer.listed(sure[0])) == label and answer.confidence(sure).tolist() == [1.0, 1.0]
    assert {"accuracy", "worst_recall", "ece", *score_of(task).gated} <= {
        m.key for m in score_of(task).metrics
    }
    assert model_of(task)
    assert summary_of(task).margin(sure).tolist() == [1.0, 1.0]
    assert summary_of(task).entropy(sure).tolist() == [0.0, 0.0]
    assert consensus_of(task)([label, label]) == label
    form, cell = label_form_of(task, CLASSES), target.cell(label)
    assert form.answer({"result": form.prediction(cell, 0.9, "m")["result"]}) == ("label", cell)


def test_unknown_task_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"data\.task.*'juggling'.*classification"):
        answer_of("juggling", CLASSES)


def test_nobody_outside_tasks_names_a_task() -> None:
    literal = re.compile(rf"""["']({"|".join(TASKS)})["']""")
    own = re.compile(rf"linnet\.tasks\.({'|'.join(TASKS)})")
    sources = {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).parts[0] != "tasks"
    }
    assert len(sources) > 300
    naming = {name for name, text in sources.items() if literal.search(text) or own.search(text)}
    assert naming == NAMED_ELSEWHERE.keys()
