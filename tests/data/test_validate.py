"""validate: a sound table passes; each kind of broken table stops with the rows that broke it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linnet.config import DataConfig, ValidationConfig
from linnet.data.sample_table import schema
from linnet.data.validate import validate
from linnet.errors import DataError, ValidationFailed
from linnet.records import DatasetManifest, ExpectationResult, ValidationReport
from linnet.vision.decode import encode_png, sample_id

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Great Expectations' own, at import

CLASSES = ("bag", "boot", "coat")
CONFIG = ValidationConfig(min_per_class=3, max_imbalance=2.0)
Rows = list[dict[str, Any]]


def make_rows(per_class: int = 8) -> Rows:
    random = np.random.default_rng(7)
    rows: Rows = []
    for i in range(per_class * len(CLASSES)):
        pixels = random.integers(0, 256, (6, 5, 1), np.uint8)
        split = "train" if i % 8 < 5 else ("validation", "test", "production")[i % 8 - 5]
        label = CLASSES[i // per_class]
        rows.append(
            {
                "sample_id": sample_id(pixels),
                "image": encode_png(pixels),
                "label": label,
                "label_source": "dataset",
                "split": split,
                "captured_at": datetime(2026, 1, 1, tzinfo=UTC),
                "width": 5,
                "height": 6,
                "channels": 1,
                "origin": f"{label}/{i}.png",
            }
        )
    return rows


def write(folder: Path, rows: Rows, table: pa.Table | None = None, claimed: int = -1, **facts: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=schema(())) if table is None else table
    half = table.num_rows // 2
    pq.write_table(table.slice(0, half), folder / "part-00000.parquet")
    pq.write_table(table.slice(half), folder / "part-00001.parquet")
    about: dict[str, Any] = {
        "name": "tiny",
        "digest": "d" * 32,
        "revision": "",
        "classes": CLASSES,
        "counts": {},
        "shards": ("part-00000.parquet", "part-00001.parquet"),
        "rows": table.num_rows if claimed < 0 else claimed,
        "raw_rows": table.num_rows,
        "dropped_duplicates": 0,
        "dropped_leaks": 0,
        "dropped": (),
    }
    DatasetManifest(**(about | facts)).save(folder / "manifest.json")
    return folder


def refused(samples: Path, out: Path, **how: Any) -> tuple[ValidationFailed, dict[str, ExpectationResult]]:
    """Validates a broken table: the error, and the results that failed, by name, as they lie on disk."""
    with pytest.raises(ValidationFailed) as caught:
        validate(samples, how.pop("config", CONFIG), how.pop("data", DataConfig()), out, **how)
    report = ValidationReport.load(out / "validation.json")
    assert not report.passed
    assert (out / "data_docs" / "index.html").is_file()
    failed = {result.name: result for result in report.results if not result.passed}
    assert [line.split(":")[0] for line in caught.value.failures] == list(failed)
    return caught.value, failed


@pytest.fixture
def quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_validate_sound_table_passes_and_counts(tmp_path: Path, quiet: None) -> None:
    told: list[tuple[str, int, int]] = []
    samples = write(tmp_path / "s", make_rows())
    report = validate(samples, CONFIG, DataConfig(), tmp_path / "o", progress=lambda *step: told.append(step))
    assert report.passed and all(result.passed for result in report.results)
    assert report.counts == {"bag": 5, "boot": 5, "coat": 5}
    assert ValidationReport.load(tmp_path / "o" / "validation.json") == report
    assert told[0][0] == "checking images" and told[-1] == ("checking expectations", 1, 1)
    names = {result.name for result in report.results}
    assert {"schema", "digest", "decodable", "one_split", "class_gone", "class_drift", "imbalance"} <= names


def test_validate_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    validate(write(tmp_path / "s", make_rows()), CONFIG, DataConfig(), tmp_path / "o")
    assert list(scratch.iterdir()) == []


def test_validate_data_docs_need_no_network_and_no_machine(tmp_path: Path) -> None:
    validate(write(tmp_path / "s", make_rows()), CONFIG, DataConfig(), tmp_path / "o")
    pages = list((tmp_path / "o" / "data_docs").rglob("*.html"))
    assert len(pages) >= 9  # the index, four suites and four results
    for page in pages:
        text = page.read_text("utf-8")
        assert str(tmp_path) not in text
        assert "newsletter" not in text
        assert "<script src" not in text and 'rel="stylesheet" href="http' not in text
    together = "".join(page.read_text("utf-8") for page in pages)
    assert "digest of the image&#39;s decoded pixels" in together or "digest of the image's" in together


def test_validate_data_docs_of_any_folder_stay_in_it(tmp_path: Path) -> None:
    out = tmp_path / "a$HOME ${HOME} b%20?"
    validate(write(tmp_path / "samples", make_rows()), CONFIG, DataConfig(), out)
    assert list((out / "data_docs").rglob("validations/**/*.html"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, "samples"]


def truncate(rows: Rows) -> None:
    rows[4]["image"] = rows[4]["image"][:-30]


def relabel(rows: Rows) -> None:
    rows[4]["label"] = "hat"


def misname(rows: Rows) -> None:
    rows[4]["sample_id"] = "0" * 32


def unlabel(rows: Rows) -> None:
    rows[4]["label"] = None


def missplit(rows: Rows) -> None:
    rows[4]["split"] = "holdout"


def missize(rows: Rows) -> None:
    rows[4]["width"] = 6


@pytest.mark.parametrize(
    ("damage", "expectation"),
    [
        (truncate, "decodable"),
        (relabel, "label_known"),
        (misname, "digest"),
        (unlabel, "label_present"),
        (missplit, "split_known"),
        (missize, "size_stated"),
    ],
)
def test_validate_broken_row_stops_and_names_it(
    tmp_path: Path, damage: Callable[[Rows], None], expectation: str
) -> None:
    rows = make_rows()
    damage(rows)
    error, failed = refused(write(tmp_path / "s", rows), tmp_path / "o")
    assert list(failed) == [expectation]
    assert len(failed[expectation].rows) == 1
    first_page = (tmp_path / "o" / "data_docs" / "index.html").read_text("utf-8")
    assert "1 of 26 expectations FAILED" in first_page
    for text in (str(error), failed[expectation].rows[0], first_page):
        assert rows[4]["sample_id"] in text and "bag/4.png" in text


def test_validate_duplicate_across_splits_names_both_rows(tmp_path: Path) -> None:
    rows = make_rows()
    twin = rows[0] | {"split": "test", "origin": "bag/copy.png"}
    error, failed = refused(write(tmp_path / "s", [*rows, twin]), tmp_path / "o")
    assert set(failed) == {"unique", "one_split"}
    assert "bag/0.png" in str(error) and "bag/copy.png" in str(error)


@pytest.mark.parametrize("column", [field.name for field in schema(())])
def test_validate_missing_column_names_it(tmp_path: Path, column: str) -> None:
    table = pa.Table.from_pylist(make_rows(), schema=schema(())).drop_columns([column])
    error, failed = refused(write(tmp_path / "s", [], table), tmp_path / "o")
    assert list(failed) == ["schema"]
    assert f"column {column}, shard part-00000.parquet" in str(error)


def test_validate_wrong_type_names_the_column(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(make_rows(), schema=schema(()))
    index = table.column_names.index("width")
    table = table.set_column(index, "width", table["width"].cast(pa.float64()))
    error, _ = refused(write(tmp_path / "s", [], table), tmp_path / "o")
    assert "column width, shard part-00000.parquet, expected int32, found double" in str(error)


def test_validate_class_without_images_is_gone(tmp_path: Path) -> None:
    rows = [row for row in make_rows() if row["label"] != "boot"]
    error, failed = refused(write(tmp_path / "s", rows), tmp_path / "o")
    assert {"class_gone", "min_per_class"} <= set(failed)
    assert "class boot" in str(error)


def test_validate_class_of_config_that_the_dataset_lost_is_gone(tmp_path: Path) -> None:
    data = DataConfig(classes=(*CLASSES, "dress"))
    _, failed = refused(write(tmp_path / "s", make_rows()), tmp_path / "o", data=data)
    assert {"classes_known", "class_gone", "min_per_class"} <= set(failed)
    assert failed["class_gone"].rows[0].startswith("class dress, images 0, named_by config")


def earlier(folder: Path, counts: dict[str, int]) -> Path:
    path = folder / "accepted.json"
    ValidationReport(dataset_digest="e", passed=True, results=(), counts=counts).save(path)
    return path


def test_validate_class_of_accepted_version_that_went_is_gone(tmp_path: Path) -> None:
    before = earlier(tmp_path, {"bag": 5, "boot": 5, "coat": 5, "dress": 1})
    _, failed = refused(write(tmp_path / "s", make_rows()), tmp_path / "o", previous=before)
    assert "class dress, images 0, named_by accepted version" in failed["class_gone"].rows[0]


def test_validate_class_mix_that_moved_drifts(tmp_path: Path) -> None:
    samples = write(tmp_path / "s", make_rows())
    before = earlier(tmp_path, {"bag": 96, "boot": 2, "coat": 2})
    _, failed = refused(samples, tmp_path / "o", previous=before)
    assert list(failed) == ["class_drift"]
    same = earlier(tmp_path, {"bag": 50, "boot": 50, "coat": 50})
    assert validate(samples, CONFIG, DataConfig(), tmp_path / "o", same).passed
    assert validate(samples, CONFIG, DataConfig(), tmp_path / "o", tmp_path / "none.json").passed


def test_validate_limits_of_the_config_are_kept(tmp_path: Path) -> None:
    rows = make_rows()
    uneven = [row for i, row in enumerate(rows) if row["label"] != "bag" or i < 3]
    samples = write(tmp_path / "s", uneven, raw_rows=100, dropped_duplicates=79)
    strict = ValidationConfig(min_per_class=4, max_imbalance=1.5, max_duplicate_fraction=0.1, min_side=6)
    _, failed = refused(samples, tmp_path / "o", config=strict)
    assert list(failed) == ["min_width", "min_per_class", "class_judged", "imbalance", "duplicate_fraction"]
    assert failed["min_per_class"].rows == ("class bag, train 3, named_by manifest",)


def test_validate_row_count_other_than_the_manifest_says_fails(tmp_path: Path) -> None:
    _, failed = refused(write(tmp_path / "s", make_rows(), claimed=25), tmp_path / "o")
    assert list(failed) == ["row_count"] and "found 24" in failed["row_count"].detail


def test_validate_many_broken_rows_names_twenty_and_counts_the_rest(tmp_path: Path) -> None:
    rows = make_rows(per_class=20)
    for row in rows:
        row["sample_id"] = "f" + row["sample_id"][1:] if row["sample_id"][0] != "f" else "0" * 32
    error, failed = refused(write(tmp_path / "s", rows), tmp_path / "o")
    assert len(failed["digest"].rows) == 20 and "and 40 more" in str(error)


def test_validate_shard_that_is_no_parquet_is_a_data_error(tmp_path: Path) -> None:
    samples = write(tmp_path / "s", make_rows())
    (samples / "part-00001.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"part-00001\.parquet: is not a readable shard"):
        validate(samples, CONFIG, DataConfig(), tmp_path / "o")


@pytest.mark.parametrize(
    ("facts", "expectation"),
    [({"conflicts": 3}, "conflict_fraction"), ({"near_leaks": 6}, "near_leak_fraction")],
)
def test_validate_contradictions_and_near_leaks_are_limited(
    tmp_path: Path, facts: dict[str, int], expectation: str
) -> None:
    samples = write(tmp_path / "s", make_rows(), raw_rows=100, **facts)
    _, failed = refused(samples, tmp_path / "o")
    assert list(failed) == [expectation]
    loose = ValidationConfig(min_per_class=1, max_conflict_fraction=0.03, max_near_leak_fraction=0.06)
    assert validate(samples, loose, DataConfig(), tmp_path / "o").passed


def test_validate_class_without_a_test_image_stops_before_training(tmp_path: Path) -> None:
    rows = [row for row in make_rows() if row["label"] != "bag" or row["split"] != "test"]
    _, failed = refused(write(tmp_path / "s", rows), tmp_path / "o")
    assert list(failed) == ["class_judged"]
    assert "class bag" in failed["class_judged"].rows[0]
