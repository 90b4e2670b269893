"""One id, several answers: each is found, with its own images."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linnet.monitoring.request_lookup import find_requests
from linnet.records.prediction_log import new_file, served_schema
from tests.commands.test_cache_commands import linnet

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def row(model: str, version: str, minute: int, predicted: str | None, **more: Any) -> dict[str, Any]:
    """A row of the log: an image that was answered, or (no class) a request that failed."""
    ok = predicted is not None
    values = dict.fromkeys(served_schema().names) | {
        "request_id": "trace-7", "index": 0, "at": AT + timedelta(minutes=minute), "model": model, "ok": ok,
        "version": version, "predicted": predicted, "confidence": 0.9 if ok else None, "latency_ms": 3.0,
        "error": None if ok else "out of memory", "sample_id": "a" * 32 if ok else None,
        "image": f"PNG of {predicted}".encode() if ok else None,
    }  # fmt: skip
    return values | more


@pytest.fixture
def log(state: Path) -> Path:
    """Two models and a retry share an id; the files do not lie in the order of time."""
    folder = state / "serving" / "log"
    folder.mkdir(parents=True)
    files = (
        [row("faces", "2", 3, "anna"), row("faces", "2", 3, "bert", index=1)],
        [row("textures", "1", 0, "brick")],
        [row("faces", "1", 2, None), row("faces", "1", 2, "no", request_id="other", sample_id="b" * 32)],
    )
    for number, rows in enumerate(files):
        pq.write_table(pa.Table.from_pylist(rows, served_schema()), new_file(folder, "served", number))
    return folder


def test_each_answer_to_an_id_is_found_with_its_own_images_the_newest_first(log: Path) -> None:
    found = find_requests(log, "trace-7")
    assert [(one.model, one.version, one.error) for one in found] == [
        ("faces", "2", None), ("faces", "1", "out of memory"), ("textures", "1", None),
    ]  # fmt: skip
    assert [[image.predicted for image in one.images] for one in found] == [
        ["anna", "bert"],
        [None],
        ["brick"],
    ]
    assert [one.model for one in find_requests(log, "a" * 32)] == ["faces", "textures"], (
        "by a sample's id, too"
    )
    assert find_requests(log, "nobody") == []


def test_each_answer_to_an_id_is_shown_and_each_image_written(log: Path, tmp_path: Path) -> None:
    told = linnet("requests", "show", "trace-7", "-o", str(tmp_path / "seen.png"))
    assert "answer 1 of 3" in told and "answer 3 of 3" in told, told
    assert told.index("anna") < told.index("failed: out of memory") < told.index("brick")
    written = {path.name: path.read_bytes() for path in tmp_path.glob("seen*.png")}
    assert written == {
        "seen.png": b"PNG of anna", "seen-2.png": b"PNG of bert", "seen-3.png": b"PNG of brick",
    }  # fmt: skip
    shown = [json.loads(line) for line in linnet("requests", "show", "trace-7", "--json").splitlines()]
    assert [(one["model"], one["version"]) for one in shown] == [
        ("faces", "2"),
        ("faces", "1"),
        ("textures", "1"),
    ]
    assert "answer 1" not in linnet("requests", "show", "other"), "one answer needs no number"


def test_answers_beyond_the_newest_are_counted(log: Path) -> None:
    rows = [row("faces", "2", 10 + k, "anna") for k in range(30)]
    pq.write_table(pa.Table.from_pylist(rows, served_schema()), new_file(log, "served", 9))
    told = linnet("requests", "show", "a" * 32)
    assert "answer 20 of 32" in told and "answer 21" not in told and "and 12 older answers" in told
