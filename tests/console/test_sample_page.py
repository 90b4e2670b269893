"""The page of one image, the page of one request, and the ways that lead there."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from linnet.console.context import Context
from linnet.console.one_sample import OneSample, Said
from linnet.console.pages import data, requests, sample
from linnet.console.views import data as data_view
from linnet.console.views import measured
from linnet.console.views import requests as request_view
from linnet.console.views import sample as view
from linnet.labels.table import LabelRow, LabelTable
from linnet.monitoring.request_lookup import ServedImage, ServedRequest
from linnet.records import DatasetManifest
from linnet.records.prediction_log import new_file, served_schema
from linnet.run.runs import runs_dir
from linnet.vision.decode import encode_png
from tests.console.records import BEGAN, evaluation, run_record, version
from tests.console.test_views import EVIL, check

ID = "ab" * 16
PIXELS = np.full((5, 7, 3), 200, np.uint8)


def dataset(run: str, label: str, minutes: int = 0, sample_id: str = ID, **more: Any) -> None:
    folder = runs_dir() / run
    record = {"started_at": BEGAN + timedelta(minutes=minutes)} | more
    run_record(run, **record).save(folder / "run.json")
    samples = folder / "ingest" / "samples"
    DatasetManifest(
        name="fashion", digest=run, revision="", classes=("a", "b"), counts={"train": {"a": 1}},
        shards=("part-0.parquet",), rows=1, raw_rows=1, dropped_duplicates=0, dropped_leaks=0, dropped=(),
    ).save(samples / "manifest.json")  # fmt: skip
    rows = {"sample_id": [sample_id], "image": [encode_png(PIXELS)], "label": [label], "label_source": ["person"],
            "split": ["train"], "origin": ["a/1.png"]}  # fmt: skip
    parquet.write_table(pa.table(rows), samples / "part-0.parquet")


@pytest.fixture
def context() -> Context:
    """Two dataset versions with one image, whose label was fixed in between."""
    dataset("fashion-20260101-100000-aaaa", "a", 0)
    dataset("fashion-20260102-100000-aaaa", "b", 1)
    row = LabelRow(sample_id=ID, label="b", annotator="ada", labelled_at=BEGAN, comment=EVIL)
    LabelTable("fashion").append([row])
    return Context()


def test_sample_is_shown_with_its_labels_in_every_dataset_and_who_gave_them(context: Context) -> None:
    markup = check(sample.load(context, ID))
    assert "7 × 5, color" in markup and "a/1.png" in markup and "ada" in markup
    assert markup.index("20260102-100000-aaaa") < markup.index("20260101-100000-aaaa")  # the newest first
    assert "No version can be asked" in markup  # nothing is registered here


def test_image_of_an_old_dataset_alone_is_found_and_the_page_of_data_counts_all(context: Context) -> None:
    """Issue 14: beyond the ten newest datasets, an image was said to be in none."""
    for number in range(12):
        dataset(f"fashion-20260103-10{number:02d}00-aaaa", "a", 10 + number, "cd" * 16)
    assert "7 × 5, color" in check(sample.load(context, ID))
    found = data.load(context, "fashion-20260101-100000-aaaa", data.Filters("", "", ""), False, 0)
    assert found is not None
    markup = check(data_view.versions(found.versions, found.evidence.record.run_id))
    assert "10 of 14 dataset versions" in markup and markup.count("/data?run=") == 10


@pytest.mark.parametrize("wrong", ["cd" * 16, "../../etc/passwd", EVIL, "", "*"])
def test_image_that_no_dataset_holds_is_said_to_be_unknown(context: Context, wrong: str) -> None:
    assert "No sample" in check(sample.load(context, wrong))


def test_damaged_dataset_is_named_and_hides_no_other(context: Context) -> None:
    (runs_dir() / "fashion-20260102-100000-aaaa" / "ingest" / "samples" / "part-0.parquet").write_text("x")
    markup = check(sample.load(context, ID))
    assert "left out" in markup and "20260102-100000-aaaa" in markup and "7 × 5" in markup
    (runs_dir() / "fashion-20260101-100000-aaaa" / "ingest" / "samples" / "part-0.parquet").write_text("x")
    assert check(sample.load(context, ID)).count("left out") == 2  # and not only: no dataset holds it


def test_versions_that_disagree_with_the_label_are_marked_by_more_than_color(context: Context) -> None:
    found, _ = sample._found(context, ID)
    assert found is not None
    said = (Said(version("7", "champion"), "b", 0.9), Said(version("6"), EVIL, 0.4))
    markup = check(view.page(OneSample(ID, PIXELS, found.places, (), said), []))
    assert "✓ as labelled" in markup and "not as labelled" in markup and "90.0 %" in markup


def test_cell_of_the_confusion_matrix_opens_its_images() -> None:
    report = evaluation().model_copy(update={"classes": ("boot & co", "<bag>")})
    markup = check(measured.confusion_of(report, "run-1"))
    assert (
        'href="/data?run=run-1&amp;label=boot+%26+co&amp;predicted=%3Cbag%3E&amp;split=test#samples"'
        in markup
    )
    assert markup.count("<a ") == 4 and 'role="group"' in markup
    assert "<a " not in measured.confusion_of(report, "")  # the report of a run stands alone


def served(**more: Any) -> ServedRequest:
    image = ServedImage(0, "boot", 0.9, (0.9, 0.1), (0.5,), ID, b"PNG", None, None)
    values = {"request_id": "trace-7", "at": BEGAN, "model": "fashion", "version": "7", "latency_ms": 3.0,
              "error": None, "images": (image,)}  # fmt: skip
    return ServedRequest(**values | more)  # type: ignore[arg-type]


def test_request_is_shown_with_answer_version_time_and_feedback() -> None:
    markup = check(request_view.answer(served(), None, "run-1"))
    for words in (
        "answered",
        "fashion 7",
        "run-1",
        "3.0 ms",
        "boot",
        "90.0 %",
        "none came yet",
        f"/samples/{ID}",
    ):
        assert words in markup, words
    labelled = ServedImage(1, "boot", 0.9, (), (), None, None, "bag", BEGAN)
    markup = check(request_view.answer(served(images=(labelled,)), None, ""))
    assert "<b>bag</b>" in markup and "not kept" in markup and "not known here" in markup
    failed = check(request_view.answer(served(error=EVIL, request_id=EVIL), None, ""))
    assert "failed" in failed and "boot" not in failed


def test_page_finds_a_request_by_its_id_and_by_that_of_its_image(state: Path) -> None:
    folder = state / "serving" / "log"
    folder.mkdir(parents=True)
    row = dict.fromkeys(served_schema().names) | {
        "request_id": "trace-7", "index": 0, "at": BEGAN, "model": "fashion", "ok": True, "version": "7",
        "predicted": "boot", "confidence": 0.9, "latency_ms": 3.0, "sample_id": ID,
    }  # fmt: skip
    parquet.write_table(pa.Table.from_pylist([row], served_schema()), new_file(folder, "served", 0))
    for name in ("trace-7", ID):
        assert "boot" in check(requests.load(Context(), name))
    assert "No request nobody" in check(requests.load(Context(), "nobody"))
