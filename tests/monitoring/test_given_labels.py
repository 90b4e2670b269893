"""A label belongs to the answer it was given for, whatever request ids clients choose."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linnet.monitoring.given_labels import given_labels
from linnet.monitoring.log_reader import read_feedback
from linnet.monitoring.log_tail import LogTail
from linnet.monitoring.recent import LabelledWindow, labelled_window
from linnet.monitoring.request_lookup import find_requests
from linnet.records.prediction_log import feedback_schema, new_file, served_schema
from linnet.serving.feedback import Feedback
from linnet.vision.decode import encode_png, sample_id

START = datetime.now(UTC) - timedelta(days=4)
DAY = timedelta(days=1)
CLASSES = ("cat", "dog")
A, B = (np.random.default_rng(seed).integers(0, 255, (8, 8, 1), np.uint8) for seed in (1, 2))


def serve(log: Path, *answers: tuple[str, float, np.ndarray], version: str = "1") -> None:
    """Answers to (request id, days after START, image), each in the log as the server writes it."""
    log.mkdir(exist_ok=True)
    schema = served_schema()
    empty = dict.fromkeys(schema.names) | {"index": 0, "model": "m", "version": version, "ok": True}
    empty |= {"predicted": "cat", "confidence": 0.9, "latency_ms": 1.0, "kept_for": "random"}
    rows = [
        empty | {"request_id": request, "at": START + days * DAY, "image": encode_png(image)}
        | {"sample_id": sample_id(image), "features": [], "probabilities": [0.9, 0.1]}
        for request, days, image in answers
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema), new_file(log, "served", len(list(log.iterdir()))))


def label(log: Path, *given: tuple[str, float, str]) -> None:
    lines = [
        json.dumps({"request_id": request, "label": name, "at": (START + days * DAY).isoformat()})
        for request, days, name in given
    ]
    (log / "feedback.jsonl").write_text("\n".join(lines))


def whole(log: Path, version: str | None = None) -> LabelledWindow:
    return labelled_window(log, "m", version, START - DAY, START + 4 * DAY, CLASSES)


def found(window: LabelledWindow) -> dict[str, str]:
    names = {sample_id(A): "A", sample_id(B): "B"}
    return {names[one.sample_id]: one.label for one in window.images}


def test_a_request_id_used_again_puts_no_label_on_another_image(tmp_path: Path) -> None:
    serve(tmp_path / "log", ("img-1", 0, A), ("img-1", 1, B))
    label(tmp_path / "log", ("img-1", 0.1, "cat"), ("img-1", 1.1, "dog"))
    window = whole(tmp_path / "log")
    assert found(window) == {"A": "cat", "B": "dog"}
    (note,) = window.notes
    assert note.startswith("1 request id(s) with labels name different images")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([(1.5, "dog")], {"B": "dog"}),
        ([(0.5, "dog")], {"A": "dog"}),
        ([(0.5, "cat"), (0.6, "dog")], {"A": "dog"}),  # a correction
        ([(0.6, "dog"), (0.5, "cat"), (1.5, "cat")], {"A": "dog", "B": "cat"}),
        ([(-0.5, "dog")], {}),
        ([(-0.5 / 1440, "dog")], {"A": "dog"}),  # half a minute: clocks differ
        ([(1.0, "dog")], {"B": "dog"}),
    ],
)
def test_a_label_is_of_the_newest_answer_by_then(
    tmp_path: Path, given: list[tuple[float, str]], expected: dict[str, str]
) -> None:
    serve(tmp_path / "log", ("x", 0, A))
    serve(tmp_path / "log", ("x", 1, B), version="2")
    label(tmp_path / "log", *(("x", days, name) for days, name in given))
    window = whole(tmp_path / "log")
    assert found(window) == expected
    assert any("older than the answer they name" in note for note in window.notes) == (not expected)
    by_version = [found(whole(tmp_path / "log", version)) for version in ("1", "2")]
    assert by_version[0] | by_version[1] == expected and not (by_version[0].keys() & by_version[1].keys())


def test_a_window_of_the_past_is_not_given_the_labels_of_later_answers(tmp_path: Path) -> None:
    serve(tmp_path / "log", ("x", 0, A))
    serve(tmp_path / "log", ("x", 2, B))
    label(tmp_path / "log", ("x", 2.5, "dog"))
    first = given_labels(tmp_path / "log", "m", [("x", 0, START, sample_id(A))], START - DAY)
    assert first.labels == {} and "1 request id(s)" in first.notes[0]
    serve(tmp_path / "log", ("x", 2.2, A))  # a retry of the first image: the label is of these pixels
    again = given_labels(tmp_path / "log", "m", [("x", 0, START, sample_id(A))], START - DAY)
    assert [name for name, _ in again.labels.values()] == ["dog"]


def test_labels_that_contradict_each_other_are_counted(tmp_path: Path) -> None:
    serve(tmp_path / "log", ("r0", 0, A), ("r1", 0.1, A), ("r2", 0.2, A), ("r3", 0.3, B), ("r4", 0.4, B))
    label(
        tmp_path / "log", ("r0", 1, "cat"), ("r1", 1.1, "cat"), ("r2", 1.2, "dog"), ("r3", 1, "cat"),
        ("r4", 1, "dog"), ("r4", 1.1, "cat"),
    )  # fmt: skip
    window = whole(tmp_path / "log")
    assert found(window) == {"A": "dog", "B": "cat"}
    assert window.notes == ("1 image(s) came in several requests whose labels contradict each other",)


def test_what_is_shown_of_a_request_and_of_a_rollout_goes_by_time_too(tmp_path: Path) -> None:
    serve(tmp_path / "log", ("x", 0, A))
    serve(tmp_path / "log", ("x", 1, B))
    label(tmp_path / "log", ("x", 0.5, "cat"))
    told = {
        image.sample_id: image.label for one in find_requests(tmp_path / "log", "x") for image in one.images
    }
    assert told == {sample_id(A): "cat", sample_id(B): None}
    assert list(LogTail(tmp_path / "log", "m", START + 0.9 * DAY, START + 2 * DAY).labels()) == []
    assert list(LogTail(tmp_path / "log", "m", START, START + 2 * DAY).labels()) == [
        (("x", 0), "cat", START + 0.5 * DAY)
    ]


def test_a_label_sent_again_later_is_written_as_its_request_id_may_name_another_image(tmp_path: Path) -> None:
    async def take(*said: str) -> list[int]:
        feedback = Feedback(tmp_path)
        try:
            return [
                (await feedback.take({"request_id": "x", "label": name}, "m", set(CLASSES)))["written"]
                for name in said
            ]
        finally:
            feedback.close()

    rows = {"model": ["m"], "request_id": ["x"], "index": [0], "label": ["cat"], "source": [""]}
    early = pa.table(rows | {"at": [datetime.now(UTC) - timedelta(hours=1)]}, feedback_schema())
    pq.write_table(early, new_file(tmp_path, "feedback", 0))
    assert asyncio.run(take("cat", "cat")) == [1, 0], "a client's retry is written once"


def test_labels_in_folders_count_and_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Answers in folders of the log were read, and their labels beside them were not."""
    moved = tmp_path / "log" / "january"
    moved.mkdir(parents=True)
    serve(moved, ("x", 0, A))
    label(moved, ("x", 0.5, "cat"))
    (tmp_path / "log" / "elsewhere").symlink_to("elsewhere")
    window = whole(tmp_path / "log")
    assert found(window) == {"A": "cat"}
    read = read_feedback(tmp_path / "hidden", "m")
    assert (read.given, read.damaged) == ({}, ()), "no log, no labels"
    (tmp_path / "hidden").symlink_to("hidden")
    assert "hidden" in read_feedback(tmp_path / "hidden", "m").damaged[0]
    assert "hidden" in given_labels(tmp_path / "hidden", "m", [], START).damaged[0]
