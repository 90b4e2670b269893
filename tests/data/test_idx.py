from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.data.idx import read_idx
from linnet.errors import DataError

NAMES = ("zero", "one", "two")


def parts(top: int = 3, count: int = 30) -> dict[str, tuple[Any, Any]]:
    rng = np.random.default_rng(0)
    return {
        prefix: (rng.integers(0, 256, (count, 5, 7), np.uint8), (np.arange(count) % top).astype(np.uint8))
        for prefix in ("train", "t10k")
    }


def test_read_idx_rows_have_names_splits_and_pixels(tmp_path: Path, write_idx: Callable[..., Path]) -> None:
    written = parts()
    raw = read_idx(write_idx(tmp_path, written), NAMES)
    assert raw.classes == NAMES
    assert len(raw.rows) == 60
    row = raw.rows[31]
    assert (row.origin, row.label, row.split) == ("t10k-images-idx3-ubyte#1", "one", "test")
    assert isinstance(row.source, np.ndarray)
    np.testing.assert_array_equal(row.source[:, :, 0], written["t10k"][0][1])


def test_read_idx_without_names_uses_the_numbers(tmp_path: Path, write_idx: Callable[..., Path]) -> None:
    assert read_idx(write_idx(tmp_path, parts(12)), ()).classes[:3] == ("00", "01", "02")


def test_read_idx_unknown_labels_name_the_rows(tmp_path: Path, write_idx: Callable[..., Path]) -> None:
    written = parts()
    written["train"][1][[4, 9]] = 77
    with pytest.raises(DataError, match=r"2 row\(s\) have a label beyond the 3 names") as caught:
        read_idx(write_idx(tmp_path, written), NAMES)
    assert "train-images-idx3-ubyte#4: label 77" in str(caught.value)
    assert "train-images-idx3-ubyte#9: label 77" in str(caught.value)


def test_read_idx_class_gone_is_named(tmp_path: Path, write_idx: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="no image of class 'two'; add images"):
        read_idx(write_idx(tmp_path, parts(2)), NAMES)


def test_read_idx_one_class_is_refused(tmp_path: Path, write_idx: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="at least 2 classes are needed"):
        read_idx(write_idx(tmp_path, parts(1)), ())


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train-images-idx3-ubyte", lambda data: data[:-1], "1065 bytes long, but its header asks for 1066"),
        ("train-images-idx3-ubyte", lambda data: data + b"x", "header asks for"),
        ("t10k-images-idx3-ubyte", lambda data: b"\x1f\x8b" + data, "is not an IDX file"),
        ("t10k-labels-idx1-ubyte", lambda data: b"", "is not an IDX file"),
        ("t10k-labels-idx1-ubyte", lambda data: data[:7] + b"\x02" + data[8:10], "2 labels for 30 images"),
        ("t10k-labels-idx1-ubyte", lambda data: data[:4] + bytes(4), "is empty"),
        ("t10k-labels-idx1-ubyte", None, "no such file"),
    ],
)
def test_read_idx_damaged_file_is_named(
    tmp_path: Path, write_idx: Callable[..., Path], name: str, change: Any, message: str
) -> None:
    path = write_idx(tmp_path, parts()) / name
    data = path.read_bytes()
    path.unlink()
    if change:
        path.write_bytes(change(data))
    with pytest.raises(DataError, match=message) as caught:
        read_idx(tmp_path, NAMES)
    assert name in str(caught.value)


def test_read_idx_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none: no such folder; check data\.location"):
        read_idx(tmp_path / "none", ())
