"""A list that is cut says so, with how many there are; the pages of one model are not those of another."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from linnet.console.pages.models import Listed, versions_of
from linnet.console.production_status import Retraining
from linnet.console.samples import Filters, SampleTable
from linnet.console.sources import ServerStatus
from linnet.console.views import overview, release, retraining
from linnet.records import DatasetManifest, RetrainingEntry
from tests.console.records import evidence, version
from tests.console.test_views import view

AT = datetime(2026, 11, 28, tzinfo=UTC)


def test_releases_and_decisions_that_are_cut_say_of_how_many() -> None:
    rollout = evidence().rollout
    assert rollout is not None
    assert "10 of 14 releases" in release.history([(f"run {i}", rollout) for i in range(14)])
    line = RetrainingEntry(at=AT, model="m", kind="ended", actor="ada", run_id="r", state="failed", reason="")
    known = Retraining(entries=(line,) * 20, count=44)
    assert "20 of 44 lines" in retraining.retraining(known, "EUR", 10.0)


def test_page_of_one_model_is_no_page_of_another() -> None:
    many = Listed("textures", [version(str(i)) for i in range(45)], [], [])
    second = versions_of(many, 1)
    assert "/models?of=textures&amp;page=0" in second and "of 45" in second
    assert "No version is registered" not in second


def test_server_of_other_models_is_not_said_to_be_none() -> None:
    other = ServerStatus(url="http://127.0.0.1:8090", problem="It serves faces alone.")
    assert [need.title for need in overview.needs(view(served=other))] == [
        "Version 6 of fashion is not served"
    ]


def test_samples_offer_the_first_values_of_a_cohort_and_say_of_how_many(tmp_path: Path) -> None:
    many = [f"patient-{n:04}" for n in range(700)]
    pq.write_table(
        pa.table(
            {
                "sample_id": many,
                "label": ["a"] * 700,
                "split": ["train"] * 700,
                "cohort_patient": many,
                "image": [b""] * 700,
            }
        ),
        tmp_path / "part-0.parquet",
    )
    DatasetManifest(
        name="fashion", digest="d", revision="", classes=("a", "b"), counts={}, shards=("part-0.parquet",), rows=700,
        raw_rows=700, dropped_duplicates=0, dropped_leaks=0, dropped=(), cohorts=("patient",),
    ).save(tmp_path / "manifest.json")  # fmt: skip
    table = SampleTable(tmp_path)
    assert len(table.cohorts) == 500 and "the first 500 of 700 values of patient" in table.cohorts_left
    assert table.page(Filters(cohort="patient=patient-0699"), 0)[1] == 1, "any may be asked for"
