from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linnet.data.image_manifest import read_manifest
from linnet.errors import DataError

GOOD = "path,label,split,captured_at,camera\na.png,x,train,2024-05-01T10:00:00+02:00,c1\nb.png,y,test,,\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_read_manifest_csv_gives_every_column(folder: Path) -> None:
    (folder / "m.csv").write_text("\ufeff" + GOOD, "utf-8")
    raw = read_manifest(folder / "m.csv", cohorts=("camera",))
    first, second = raw.rows
    assert (first.origin, first.label, first.split, first.cohorts) == ("a.png", "x", "train", ("c1",))
    assert first.captured_at == datetime(2024, 5, 1, 8, tzinfo=UTC)
    assert (second.split, second.captured_at, second.cohorts) == ("test", None, ("missing",))
    assert first.source == folder / "a.png"
    assert raw.classes == ("x", "y")


def test_read_manifest_parquet_in_a_folder_reads_the_same(folder: Path) -> None:
    moments = [datetime(2024, 5, 1, 8, tzinfo=UTC), None]
    table = {"path": ["a.png", "b.png"], "label": ["x", "y"], "split": ["train", "test"]}
    table |= {"camera": ["c1", None], "captured_at": moments}
    pq.write_table(pa.table(table), folder / "manifest.parquet")
    (folder / "m.csv").write_text(GOOD)
    from_csv = read_manifest(folder / "m.csv", cohorts=("camera",))
    assert read_manifest(folder, cohorts=("camera",)).rows == from_csv.rows


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("path,label", "path,lable", r"no column 'label' .*did you mean 'lable'\?"),
        ("path,label", "where,label", "no column 'path' .every manifest needs it"),
        (",camera", ",kamera", r"no column 'camera' .data\.cohorts names it.*did you mean 'kamera'"),
        ("a.png,x", "c.png,x", r"1 row.s. are wrong:\n  - line 2: c\.png does not exist"),
        ("b.png,y", "b.png,", r"line 3: b\.png has no label"),
        ("b.png,y", ",y", "line 3: it has no path"),
        (",test,", ",exam,", "line 3: b.png has the unknown split 'exam'; known: train, validation, test"),
        ("2024-05-01T10", "yesterday", "captured_at 'yesterday.*not ISO 8601"),
        ("b.png,y,test,,", "b.png,y,test", r"not as many cells as the header:\n  - line 3"),
        (",captured_at", ",split", "has several columns 'split'"),
        ("split,captured_at", "subset,fold", "columns 'subset' and 'fold', which may each be the split"),
        ("b.png,y", "b.png,x", "at least 2 classes are needed, and there is only 'x'"),
    ],
)
def test_read_manifest_bad_table_names_row_and_column(folder: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    (folder / "m.csv").write_text(GOOD.replace(old, new))
    with pytest.raises(DataError, match=message) as caught:
        read_manifest(folder / "m.csv", cohorts=("camera",))
    assert "m.csv" in str(caught.value)


def test_read_manifest_unknown_labels_are_all_named(folder: Path) -> None:
    (folder / "m.csv").write_text(GOOD + "a.png,ex,,,\n" * 25)
    with pytest.raises(DataError, match=r"25 row\(s\) are wrong") as caught:
        read_manifest(folder / "m.csv", classes=("x", "y"))
    assert "line 4: a.png has the unknown label 'ex' (did you mean 'x'?)" in str(caught.value)
    assert "and 5 more" in str(caught.value)


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_read_manifest_unreadable_table_is_one_clear_error(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(DataError, match=r"is not a readable (CSV|Parquet) table"):
        read_manifest(folder / name)


def test_read_manifest_missing_table_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"has neither manifest\.csv nor manifest\.parquet"):
        read_manifest(folder)
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        read_manifest(folder / "none.csv")
    (folder / "empty.csv").write_text("path,label\n")
    with pytest.raises(DataError, match="has no rows"):
        read_manifest(folder / "empty.csv")
