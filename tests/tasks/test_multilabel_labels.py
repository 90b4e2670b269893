"""Several classes an image through the label loop: asked with a form, answered, agreed upon, collected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.config import LabelsConfig
from linnet.errors import ConfigError
from linnet.labels.agreement import cohen_kappa, fleiss_kappa, quality, votes_of
from linnet.labels.collect import collect
from linnet.labels.consensus import consensus
from linnet.labels.export import export
from linnet.labels.queue import Question, question_of, queued
from linnet.labels.reconcile import pull
from linnet.labels.request import request_labels
from linnet.labels.select import CandidatePool, select
from linnet.labels.status import status
from linnet.labels.table import LabelRow, LabelTable
from linnet.records import DatasetManifest, EvaluationReport
from linnet.tasks.agree import agreement_of, consensus_of
from linnet.tasks.label_form import BadAnswer, label_form_of
from linnet.tasks.parts import TASKS
from linnet.tasks.summary import summary_of
from linnet.tasks.target import target_of
from tests.doubles.label_server import MemoryLabelServer
from tests.labels.sample_tables import CLASSES, write_samples

SEVERAL = next(task for task in TASKS if target_of(task).several)
FORM, AGREE = label_form_of(SEVERAL, CLASSES), agreement_of(SEVERAL)
CHOICES = [*CLASSES, "none of these", "cannot tell"]
START = datetime(2026, 1, 1, tzinfo=UTC)
IDS = [f"{i:032x}" for i in range(40)]


def annotation(*choices: str) -> dict[str, Any]:
    return {"result": [{"from_name": "label", "type": "choices", "value": {"choices": list(choices)}}]}


@given(st.sets(st.sampled_from(CLASSES)))
def test_label_survives_the_way_to_the_form_and_back(classes: set[str]) -> None:
    target = target_of(SEVERAL)
    cell = target.cell(target.label(sorted(classes)))
    shown = FORM.prediction(cell, 0.5, "m")
    assert FORM.answer({"result": shown["result"]}) == ("label", cell)
    assert set(target.classes(cell)) == classes


def test_form_asks_for_several_and_for_none_by_name() -> None:
    assert 'choice="multiple"' in FORM.config() and "none of these" in FORM.config()
    assert FORM.fits({"label": {"type": "Choices", "labels": CHOICES}}) == ""
    assert "none of these" in FORM.fits({"label": {"type": "Choices", "labels": [*CLASSES, "cannot tell"]}})
    assert FORM.answer(annotation("cannot tell")) == ("cannot_tell", "")
    assert FORM.answer({"was_cancelled": True}) == ("skipped", "")


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        ((), "no label"),
        (("bag", "none of these"), "'none of these' and bag at once"),
        (("cannot tell", "coat"), "'cannot tell' and coat at once"),
        (("bag", "hat"), "no class 'hat'"),
    ],
)
def test_answer_that_says_nothing_usable_is_refused_with_its_reason(
    choices: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(BadAnswer, match=problem):
        FORM.answer(annotation(*choices))


@pytest.mark.parametrize("task", TASKS)
def test_class_called_like_another_answer_of_the_form_is_refused(task: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.classes.*cannot tell"):
        label_form_of(task, ("bag", "cannot tell"))


def test_people_agree_by_what_their_answers_share() -> None:
    together = consensus_of(SEVERAL)
    assert together(["bag|coat", "bag", "bag|boot"]) == "bag"
    assert together(["bag|coat", "bag"]) is None  # half of them say coat
    assert together(["[]", "[]", "bag"]) == ""
    rows = [answer("s", "bag|coat", "a"), answer("s", "bag|coat", "b"), answer("s", "bag", "c")]
    [item] = consensus(rows, SEVERAL)
    assert item.label == "bag|coat" and item.annotators == ("a", "b")
    assert item.agreement == pytest.approx((1 + 1 + 0.5) / 3)
    votes = votes_of([("s", "a", "bag|coat"), ("s", "b", "bag"), ("t", "a", "boot"), ("t", "b", "boot")])
    # Observed (0.5 + 1) / 2; by chance (agreement of {bag|coat, boot} with {bag, boot}) 1.5 / 4.
    assert cohen_kappa(votes, "a", "b", AGREE) == pytest.approx((0.75 - 0.375) / (1 - 0.375))
    # By chance: boot 1/2, bag|coat 1/4, bag 1/4.
    chance = 0.25 + 2 * 0.0625 + 2 * 0.0625 * 0.5
    assert fleiss_kappa(votes, AGREE) == pytest.approx((0.75 - chance) / (1 - chance))
    ann, bob = quality(votes, {"s": "bag|coat", "t": "boot"}, AGREE)
    assert (ann.gold_right, bob.gold_right) == (2.0, 1.5) and ann.agreement == bob.agreement == 0.75


def answer(sample: str, label: str, who: str = "ann", second: int = 0) -> LabelRow:
    moment = START + timedelta(seconds=second)
    return LabelRow(sample_id=sample, label=label, annotator=who, labelled_at=moment)


def samples_of(folder: Path, labels: dict[str, str]) -> Path:
    write_samples(folder, labels)
    file = folder / "manifest.json"
    DatasetManifest.load(file).model_copy(update={"task": SEVERAL}).save(file)
    return folder


def test_collected_labels_are_sets_of_known_classes(tmp_path: Path) -> None:
    samples = samples_of(tmp_path / "samples", {"s1": "bag", "s2": "", "s3": "coat", "s4": "bag|boot"})
    LabelTable("d").append(
        [
            answer("s1", "bag|coat"),
            answer("s2", "[]"),
            answer("s3", "coat|hat"),
            *(answer("s4", text, who) for text, who in (("bag", "a"), ("boot", "b"))),
        ]
    )
    batch = collect(samples, "d", LabelsConfig(), tmp_path / "o")
    found = {
        row["sample_id"]: row["label"] for row in pq.read_table(tmp_path / "o/labels.parquet").to_pylist()
    }
    assert found == {"s1": "bag|coat", "s2": ""}
    assert (batch.corrections, batch.quarantined, batch.disputed) == (1, 1, 1)
    assert "no class 'hat'" in (tmp_path / "o" / "quarantine.jsonl").read_text("utf-8")
    with pytest.raises(ConfigError, match=r"labels\.consensus.*several|labels\.consensus"):
        collect(samples, "d", LabelsConfig(consensus="crowdlab"), tmp_path / "p")


def test_doubt_is_the_distance_from_the_thresholds() -> None:
    figures = summary_of(SEVERAL, (0.5, 0.2))
    rows = np.array([[0.9, 0.6], [0.5, 0.9], [0.0, 0.0], [1.0, np.nan]])
    assert figures.margin(rows).tolist() == pytest.approx([0.5, 0.0, 1.0, 0.0])
    assert figures.entropy(rows)[2] == 0.0 and figures.entropy(rows)[1] > 0.5
    pool = CandidatePool(["a", "b", "c"], rows[:3], task=SEVERAL, thresholds=(0.5, 0.2))
    assert [one.sample_id for one in select(pool, 2, {"margin": 1.0})] == ["b", "a"]


def evaluation_of(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    probabilities = rng.random((len(IDS), 3)).astype(np.float32)
    probabilities[:4] = [0.99, 0.01, 0.99]  # held out, and sure of their own labels: gold
    arrays = {"ids": np.array(IDS, "S32"), "probabilities": probabilities, "embeddings": rng.random((40, 4))}
    held = {"held_out": np.arange(40) < 20, "suspects": np.array([5, 6])}
    np.savez(folder / "candidates.npz", **arrays, **held)
    np.savez(folder / "predictions.npz", **{key: value[:0] for key, value in arrays.items()})
    EvaluationReport(
        task=SEVERAL, samples=40, classes=CLASSES, metrics={}, per_class={}, confusion=(), cohorts=(),
        temperature=1.0, ece_before=0.0, comparison=None, suspects=(), thresholds=(0.4, 0.5, 0.6),
    ).save(folder / "evaluation.json")  # fmt: skip
    return folder


def test_round_is_asked_answered_and_collected(tmp_path: Path) -> None:
    labels = dict.fromkeys(IDS, "bag|coat") | {IDS[30]: ""}
    samples = samples_of(tmp_path / "samples", labels)
    config = LabelsConfig(budget=34, annotators=2)
    asked = request_labels(evaluation_of(tmp_path / "e"), samples, config, "d", tmp_path / "o")
    assert len(asked) == 34 and {one.task for one in asked} == {SEVERAL}
    by_id = {one.sample_id: one for one in asked}
    stored = np.load(tmp_path / "e" / "candidates.npz")["probabilities"]
    for one in asked:
        row = stored[IDS.index(one.sample_id)]
        named = [name for name, p, t in zip(CLASSES, row, (0.4, 0.5, 0.6), strict=True) if p >= t]
        assert one.predicted == ("|".join(named) or "[]")
    gold = [one for one in asked if one.gold]
    assert gold and all(one.gold == "bag|coat" and one.sample_id in IDS[:4] for one in gold)
    assert question_of("d") == Question(CLASSES, SEVERAL) and len(queued("d")) == 34

    server = MemoryLabelServer(CHOICES)
    project = export("d", server, config, question_of("d")).project
    for task in list(server.tasks(project)):
        sample = task.key.partition(":")[2]
        truth = by_id[sample].gold or "bag|boot"
        server.answer(task.id, "ann", truth.split("|"))
        disputed = sample == asked[-1].sample_id
        server.answer(task.id, "bob", "none of these" if disputed else truth.split("|"))
    pull("d", server, config, question_of("d"))
    now_is = status("d")
    assert now_is.answers == {"label": 68} and 0.9 < (now_is.agreement or 0) < 1
    batch = collect(samples, "d", config, tmp_path / "c")
    assert batch.rows == 33 and batch.disputed == 1 and batch.quarantined == 0
