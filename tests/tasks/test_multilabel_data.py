"""Labels of several classes, from a table to the arrays that a network learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linnet.config import DataConfig, load_config
from linnet.data.image_manifest import manifest_rows
from linnet.data.ingest import ingest
from linnet.data.init_config import config_for
from linnet.data.table_look import task_of_table
from linnet.errors import DataError
from linnet.records import DatasetManifest
from linnet.tasks.parts import TASKS
from linnet.tasks.target import target_of
from linnet.vision.decode import encode_png

SEVERAL = next(task for task in TASKS if target_of(task).several)
COLORS = ("blue", "green", "red")


@pytest.fixture
def shown(tmp_path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Noise whose channels are bright as the image's classes say; every eighth shows none of them."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(96):
        held = [bool(number & 1), bool(number & 2), bool(number & 4)]
        pixels = rng.integers(0, 90, (12, 12, 3)) + np.array(held[::-1]) * 140
        (tmp_path / f"{number}.png").write_bytes(encode_png(pixels.astype(np.uint8)))
        rows.append((f"{number}.png", tuple(name for name, is_so in zip(COLORS, held, strict=True) if is_so)))
    return rows


def written(folder: Path, lines: list[str]) -> Path:
    (folder / "table.csv").write_text("\n".join(["path,label", *lines]) + "\n", "utf-8")
    return folder / "table.csv"


def as_bars(folder: Path, rows: list[tuple[str, tuple[str, ...]]]) -> Path:
    return written(folder, [f"{path},{'|'.join(names) or '[]'}" for path, names in rows])


def as_lists(folder: Path, rows: list[tuple[str, tuple[str, ...]]]) -> Path:
    table = pa.table({"path": [path for path, _ in rows], "label": [list(names) for _, names in rows]})
    pq.write_table(table, folder / "table.parquet")
    return folder / "table.parquet"


def as_rows(folder: Path, rows: list[tuple[str, tuple[str, ...]]]) -> Path:
    lines = [f"{path},{name}" for path, names in rows for name in names]
    return written(folder, lines + [f"{path},[]" for path, names in rows if not names])


@pytest.mark.parametrize("write", [as_bars, as_lists, as_rows])
def test_table_of_several_classes_is_understood_however_it_is_written(
    tmp_path: Path, shown: list[tuple[str, tuple[str, ...]]], write: object
) -> None:
    table = write(tmp_path, shown)  # type: ignore[operator]
    assert task_of_table(table)[0] == SEVERAL
    found = {row.origin: row.label for row in manifest_rows(table, task=SEVERAL)}
    assert found == {path: "|".join(sorted(names)) for path, names in shown}
    (tmp_path / "config.toml").write_text(config_for("colors", table).text, "utf-8")
    config = load_config(tmp_path / "config.toml")
    assert config.data.task == SEVERAL and config.data.classes == COLORS
    manifest = ingest(config.data, "colors", tmp_path / "samples")
    assert manifest == DatasetManifest.load(tmp_path / "samples" / "manifest.json")
    assert manifest.task == SEVERAL and sum(manifest.images.values()) == manifest.rows == 96
    assert sum(counts["red"] for counts in manifest.counts.values()) == 48
    assert all(min(counts.values()) > 0 for counts in manifest.counts.values())


def test_table_of_one_class_an_image_stays_what_it_was(tmp_path: Path) -> None:
    lines = [f"{number}.png,{'cat' if number % 2 else 'dog'}" for number in range(30)]
    assert task_of_table(written(tmp_path, [*lines, "1.png,dog"]))[1] == ""


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["0.png,"], r"0\.png has no label; write \[\]"),
        (['0.png,"[""red"""'], "begins as a list and is no JSON"),
        (["0.png,red|purple"], "unknown label 'purple'"),
        (["0.png,red|"], "which is empty"),
    ],
)
def test_wrong_label_is_named_with_its_row(
    tmp_path: Path, shown: list[tuple[str, tuple[str, ...]]], lines: list[str], problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        manifest_rows(written(tmp_path, lines), COLORS, task=SEVERAL)


def test_folder_of_classes_cannot_say_several_and_is_refused(tmp_path: Path) -> None:
    for name in COLORS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    config = DataConfig(location=str(tmp_path), height=8, width=8, task=SEVERAL)  # type: ignore[arg-type]
    with pytest.raises(
        DataError, match=r"each image has one class in it .*data\.task is multilabel.*name .*a table"
    ):
        ingest(config, "colors", tmp_path / "samples")
