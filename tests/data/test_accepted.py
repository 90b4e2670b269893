"""What a new dataset version is compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.data.accepted import accept, last_accepted
from linnet.records import DatasetManifest, ValidationReport


def samples_of(folder: Path, digest: str) -> Path:
    DatasetManifest(
        name="pets",
        digest=digest,
        revision="",
        classes=("cat", "dog"),
        counts={},
        shards=(),
        rows=0,
        raw_rows=0,
        dropped_duplicates=0,
        dropped_leaks=0,
        dropped=(),
    ).save(folder / "manifest.json")
    return folder


def report_of(folder: Path, digest: str) -> Path:
    report = ValidationReport(dataset_digest=digest, passed=True, results=(), counts={"cat": 3})
    report.save(folder / "validation.json")
    return folder


@pytest.mark.parametrize("name", ["pets", "none"])
def test_last_accepted_is_the_version_before_and_never_the_same_one(tmp_path: Path, name: str) -> None:
    first, second = samples_of(tmp_path / "1", "one"), samples_of(tmp_path / "2", "two")
    assert last_accepted(name, first) is None
    accept(name, report_of(tmp_path / "report", "one"))
    assert last_accepted(name, first) is None
    previous = last_accepted(name, second)
    assert previous is not None
    assert ValidationReport.load(previous).dataset_digest == "one"


def test_last_accepted_that_is_damaged_is_not_forgotten(tmp_path: Path) -> None:
    accept("pets", report_of(tmp_path / "report", "one"))
    kept = last_accepted("pets", samples_of(tmp_path / "2", "two"))
    assert kept is not None
    kept.write_text("{")
    assert last_accepted("pets", samples_of(tmp_path / "3", "three")) == kept


def test_last_accepted_of_one_use_case_is_not_another_s(tmp_path: Path) -> None:
    accept("pets", report_of(tmp_path / "report", "one"))
    assert last_accepted("birds", samples_of(tmp_path / "2", "two")) is None
