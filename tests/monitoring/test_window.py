"""Windows: which one is due, and what of the log belongs to it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linnet.config import MonitoringConfig
from linnet.errors import StorageError
from linnet.monitoring.log_reader import first_and_last, read_feedback, read_served
from linnet.monitoring.window import Rows, last_closed, write_window
from linnet.vision.libraries import libraries
from linnet.vision.statistics import FEATURES, image_statistics
from tests.monitoring.conftest import Serve, pictures, window_of
from tests.serving.packages import CLASSES

HOUR = timedelta(hours=1)


def test_last_closed_window_waits_for_late_rows() -> None:
    config = MonitoringConfig(window_minutes=60, allowed_lateness_minutes=5)
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert last_closed(noon + timedelta(minutes=4), config) == (noon - 2 * HOUR, noon - HOUR)
    assert last_closed(noon + timedelta(minutes=5), config) == (noon - HOUR, noon)


def test_windows_lie_end_to_end() -> None:
    config = MonitoringConfig(window_minutes=7, allowed_lateness_minutes=0)
    moment, ends = datetime(2026, 3, 1, tzinfo=UTC), []
    for _ in range(5):
        start, end = last_closed(moment, config)
        assert not ends or start == ends[-1]
        ends.append(end)
        moment += timedelta(minutes=7)


def test_rows_come_back_as_they_were_served(serve: Serve, tmp_path: Path) -> None:
    images = pictures(120, 3)
    window = window_of(serve(images, fail=3), tmp_path / "window")
    rows = Rows.load(tmp_path / "window", len(FEATURES), len(CLASSES))
    assert (window.rows, window.failed, window.late, window.images) == (120, 3, 0, 120)
    order = np.argsort([int(name[1:]) for name in rows.request_id])
    assert np.array_equal(rows.features[order], image_statistics(images))
    assert np.isclose(rows.output.sum(axis=1), 1).all()
    assert window.served == 120
    assert not window.enough


def test_other_versions_and_other_hours_do_not_count(serve: Serve, tmp_path: Path) -> None:
    serve(pictures(10, 1), version="2")
    serve(pictures(11, 2), at=time.time() - 7200)
    log = serve(pictures(12, 3))
    assert window_of(log, tmp_path / "window").rows == 12


def test_rows_written_after_the_window_closed_are_late_but_count(serve: Serve, tmp_path: Path) -> None:
    log = serve(pictures(10, 1), at=time.time() - 3600)
    stamp = datetime.now(UTC) - timedelta(minutes=59)
    next(log.glob("served*.parquet")).rename(log / f"served-{stamp:%Y%m%dT%H%M%S}-1-000001.parquet")
    serve(pictures(5, 2), at=time.time() - 3600)
    end = datetime.now(UTC) - timedelta(minutes=30)
    window = write_window(log, "tiny", "1", end - HOUR, end, MonitoringConfig(), tmp_path / "window")
    assert (window.rows, window.late) == (15, 5)


def test_file_that_was_replaced_later_is_not_late(serve: Serve, tmp_path: Path) -> None:
    """Retention rewrites old files: their name says when their rows were written."""
    log = serve(pictures(10, 1), at=time.time() - 3600)
    path = next(log.glob("served*.parquet"))
    stamp = datetime.now(UTC) - timedelta(minutes=59)
    path.rename(path.with_name(f"served-{stamp:%Y%m%dT%H%M%S}-1-000001.parquet"))
    end = datetime.now(UTC) - timedelta(minutes=30)
    assert write_window(log, "tiny", "1", end - HOUR, end, MonitoringConfig(), tmp_path / "w").late == 0


def test_columns_may_be_added_and_missing(serve: Serve, tmp_path: Path) -> None:
    path = next(serve(pictures(20, 1)).glob("served*.parquet"))
    table = pq.read_table(path)
    table = table.append_column("route", pa.array(["a"] * 20)).drop_columns(["image"])
    pq.write_table(table, path)
    window = window_of(path.parent, tmp_path / "window")
    assert (window.rows, window.images) == (20, 0)


def test_damaged_file_is_named_and_the_rest_is_read(serve: Serve, tmp_path: Path) -> None:
    log = serve(pictures(20, 1))
    (log / "served-20990101T000000-1-000001.parquet").write_bytes(b"PAR1 no")
    now = datetime.now(UTC)
    served = read_served(log, "tiny", "1", now - HOUR, now + HOUR, now + HOUR)
    assert served.rows.num_rows == 20
    assert [text.split(":")[0] for text in served.damaged] == ["served-20990101T000000-1-000001.parquet"]


def test_kept_images_are_thinned_out_evenly(serve: Serve, tmp_path: Path) -> None:
    log = serve(pictures(600, 1))
    window = window_of(log, tmp_path / "window", MonitoringConfig(embedding_rows=100))
    assert window.rows == 600 and 60 <= window.images <= 140
    kept = Rows.load(tmp_path / "window", len(FEATURES), len(CLASSES)).kept
    assert kept.min() < 150 and kept.max() > 450


def test_window_of_too_many_rows_takes_a_share(serve: Serve, tmp_path: Path) -> None:
    window = window_of(serve(pictures(300, 1)), tmp_path / "window", MonitoringConfig(max_rows=100))
    assert (window.rows, window.served) == (100, 300)


def test_log_says_with_which_libraries_it_was_served(serve: Serve) -> None:
    log, now = serve(pictures(20, 1)), datetime.now(UTC)
    served = read_served(log, "tiny", "1", now - HOUR, now + HOUR, now + HOUR)
    assert served.libraries == {name: {version: 20} for name, version in libraries().items()}


def test_no_log_is_one_error_and_an_empty_one_is_no_time(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no prediction log"):
        first_and_last(tmp_path / "none")
    assert first_and_last(tmp_path) is None


def test_feedback_the_last_answer_counts(tmp_path: Path) -> None:
    (tmp_path / "feedback-1.jsonl").write_text(
        '{"request_id": "a", "label": "x", "at": "2026-01-02T00:00:00Z"}\n'
        '{"request_id": "a", "label": "y", "at": "2026-01-01T00:00:00+00:00"}\n\n'
    )
    moment = pa.array([datetime(2026, 1, 3, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    pq.write_table(
        pa.table({"request_id": ["b"], "index": [2], "label": ["z"], "at": moment, "source": ["s"]}),
        tmp_path / "feedback-2.parquet",
    )
    labels = read_feedback(tmp_path, "m").labels
    assert {key: label for key, (label, _) in labels.items()} == {("a", 0): "x", ("b", 2): "z"}


def test_damaged_feedback_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    good = '{"request_id": "%s", "label": "x", "at": "2026-01-02T00:00:00Z"}\n'
    (tmp_path / "feedback-1.parquet").write_bytes(b"no")
    (tmp_path / "feedback-2.jsonl").write_text(
        good % "a" + '{"request_id": "b", "at": "noon", "label": "x"}\n{"request_id": "c"}\n[]\n{'
        "\n" + good % "d"
    )
    (tmp_path / "feedback.csv").write_text("request_id,label,at\n")
    naive = pa.array([datetime(2026, 1, 3)], pa.timestamp("us"))  # as another program writes it
    pq.write_table(
        pa.table({"request_id": ["a"], "label": ["y"], "at": naive}), tmp_path / "feedback-3.parquet"
    )
    found = read_feedback(tmp_path, "m")
    assert {key: label for key, (label, _) in found.labels.items()} == {("a", 0): "y", ("d", 0): "x"}
    file, lines, table = found.damaged
    assert file.startswith("feedback-1.parquet: ") and table.startswith("feedback.csv: labels are read from")
    assert lines.startswith("feedback-2.jsonl: 4 rows cannot be read, the first is row 2: ValueError")


def spoil(path: Path) -> str:
    """Zeroes a file's pages, as a bad sector does; its footer stays."""
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[-8:-4], "little")
    data[4 : len(data) - 8 - size] = bytes(len(data) - 12 - size)
    path.write_bytes(data)
    return path.name


def test_file_whose_rows_are_damaged_is_named_and_the_rest_is_read(serve: Serve) -> None:
    broken = spoil(next(serve(pictures(5, 1)).glob("served*.parquet")))
    log, now = serve(pictures(20, 2)), datetime.now(UTC)
    served = read_served(log, "tiny", "1", now - HOUR, now + HOUR, now + HOUR)
    assert served.rows.num_rows == 20 and [text.split(":")[0] for text in served.damaged] == [broken]
    span = first_and_last(log)
    assert span is not None and now - HOUR < span[0] <= span[1] < now
    for path in log.iterdir():
        spoil(path)
    with pytest.raises(StorageError, match=r"no file of the prediction log can be read: .*served-"):
        first_and_last(log)


def test_images_of_other_models_and_hours_leave_the_share_of_kept_ones_as_it_is(serve: Serve) -> None:
    serve(pictures(300, 1), at=time.time() - 7200)
    for path in serve(pictures(300, 2)).iterdir():
        table = pq.read_table(path)
        if table["at"][0].as_py() > datetime.now(UTC) - HOUR:
            other = table.set_column(
                table.schema.get_field_index("model"), "model", pa.array(["other"] * table.num_rows)
            )
            pq.write_table(other, path)
    log, now = serve(pictures(50, 3)), datetime.now(UTC)
    served = read_served(log, "tiny", "1", now - HOUR, now + HOUR, now + HOUR, 100)
    assert served.rows.num_rows == 50 and served.rows["image"].null_count == 0, "all 50 of the 100 wanted"


def test_missing_rows_are_one_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        Rows.load(tmp_path, 12, 4)
    assert list(tmp_path.iterdir()) == []
