"""Images are looked at in parts whose size in memory is bounded, whatever order they come in."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import pytest

from linnet.data import scan
from linnet.data.rows import RawRow

AHEAD, CORES = 100_000, 2


@pytest.mark.parametrize(
    ("photos", "at_once"),
    [
        (100, AHEAD),  # small on average: one after the other
        (400, AHEAD * (2 * CORES + 2)),  # large on average: threads, a little ahead
    ],
)
def test_photos_after_icons_are_not_all_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: int, at_once: int
) -> None:
    monkeypatch.setattr(scan, "_AHEAD_BYTES", AHEAD)
    monkeypatch.setattr(scan, "available_cpus", lambda: CORES)
    rows = []
    for number in range(300 + photos):
        path = tmp_path / f"{number}.png"
        path.write_bytes(b"x" * (10 if number < 300 else 20_000))
        rows.append(RawRow(path.name, "a", "", str(path)))
    lock, held, highest = Lock(), 0, 0

    def read(row: RawRow) -> bytes:
        nonlocal held, highest
        data = scan.encoded(row)
        with lock:
            held += len(data)
            highest = max(highest, held)
        return data

    for row, data in zip(rows, scan.in_order(read, rows, None, ""), strict=True):
        assert len(data) == Path(str(row.content)).stat().st_size
        with lock:
            held -= len(data)
    assert held == 0 and highest <= at_once
