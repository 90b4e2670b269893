"""What the console reads: the prediction log, the sample table, and what is kept of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from linnet.config import SECTIONS, parse_config
from linnet.console.audit import AuditLog
from linnet.console.prediction_log import PredictionLogReader
from linnet.console.samples import Filters, SampleTable
from linnet.console.settings_form import changed, fields, parse, sections
from linnet.console.sources import Sources, TimedCache
from linnet.errors import RunError
from linnet.records.prediction_log import served_files
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Prediction
from linnet.tasks.answer import answer_of
from tests.features.sample_folder import pictures, write_samples

ANSWER = answer_of("classification", ("a", "b", "c"))


def write_log(folder: Path, levels: Sequence[int], failed: int = 0, at: float = 1_700_000_000.0) -> None:
    """Served requests through the log that the server itself writes."""
    log = PredictionLog(folder, 1000, 0.0)
    log.start()
    for level in levels:
        row = np.eye(3, dtype=np.float32)[[level]]
        image = np.full((1, 2, 2, 1), level, np.uint8)
        prediction = (
            Prediction(row, row, image, row)
            if False
            else Prediction(images=image, features=row, output=row, embedding=row)
        )
        log.offer(LogEntry("r", at, "m", "1", ANSWER, 10.0 + level, prediction, None))
    for _ in range(failed):
        log.offer(LogEntry("r", at + 7200, "m", "2", ANSWER, 99.0, None, "broken"))
    log.close()
    for file in folder.glob("served-2*.parquet"):  # a second server in the same second has another process id
        file.rename(file.with_name(f"served-{uuid.uuid4().hex}.parquet"))


def test_log_is_summed_up_and_grows(tmp_path: Path) -> None:
    reader = PredictionLogReader(tmp_path)
    assert reader.summary("m").requests == 0
    write_log(tmp_path, [0, 0, 1])
    found = reader.summary("m")
    assert (found.requests, found.failed, found.classes, found.versions) == (3, 0, {"a": 2, "b": 1}, {"1": 3})
    assert found.p50_ms == pytest.approx(10.0)
    write_log(tmp_path, [2], failed=2)
    found = reader.summary("m")
    assert (found.requests, found.failed, found.versions) == (6, 2, {"1": 4, "2": 2})
    assert found.first == datetime.fromtimestamp(1_700_000_000, UTC)
    assert [count for _, count in found.hours] == [4, 2]
    assert reader.summary("another").requests == 0, "one model's traffic was shown as another's"


def test_damaged_file_of_the_log_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The error budget was of the other files, and nobody was told."""
    write_log(tmp_path, [0])
    (tmp_path / "served-x.parquet").write_bytes(b"no parquet")
    found = PredictionLogReader(tmp_path).summary("m")
    assert found.requests == 1
    (why,) = found.unread
    assert "served-x.parquet: its requests are not counted" in why
    (tmp_path / "served-x.parquet").unlink()
    assert PredictionLogReader(tmp_path).summary("m").unread == ()
    assert "served-x.parquet: its requests are not counted" in caplog.text


def test_folder_that_is_linked_into_the_log_is_counted_once(tmp_path: Path) -> None:
    """A folder that was moved to another disk and linked from where it was had vanished, untold."""
    write_log(tmp_path / "disk", [0, 0])
    log = tmp_path / "log"
    write_log(log, [1])
    (log / "pod").symlink_to(tmp_path / "disk")
    (log / "again").symlink_to(tmp_path / "disk")
    (log / "round").symlink_to(log)
    assert PredictionLogReader(log).summary("m").classes == {"a": 2, "b": 1}
    assert len(list(served_files(log))) == 2


def test_files_of_one_name_in_two_folders_are_both_counted(tmp_path: Path) -> None:
    """Two pods may write in the same second under the same process id."""
    for pod, levels in (("one", [0]), ("two", [1, 1])):
        write_log(tmp_path / pod, levels)
        (file,) = (tmp_path / pod).glob("served-*.parquet")
        file.rename(file.with_name("served-20260101T000000-7-1.parquet"))
    assert PredictionLogReader(tmp_path).summary("m").classes == {"a": 1, "b": 2}


def test_samples_are_filtered_and_paged_across_shards(tmp_path: Path) -> None:
    splits = ["train"] * 60 + ["test"] * 20
    shop = ["x" if i % 4 == 0 else "y" for i in range(80)]
    ids = write_samples(tmp_path, pictures(80), splits, {"shop": shop}, shard_rows=30)
    table = SampleTable(tmp_path)
    shots, total = table.page(Filters(), 0)
    assert (len(shots), total) == (48, 80) and [s.sample_id for s in shots] == ids[:48]
    assert all(shot.picture.startswith("data:image/png") for shot in shots)
    assert [s.sample_id for s in table.page(Filters(), 1)[0]] == ids[48:]
    assert table.page(Filters(split="test"), 0)[1] == 20
    assert table.page(Filters(label="ant", split="train"), 0)[1] == 30
    assert table.cohorts == ["shop=x", "shop=y"] and table.page(Filters(cohort="shop=x"), 0)[1] == 20
    assert [s.sample_id for s in table.page(Filters(only=frozenset(ids[70:72])), 0)[0]] == ids[70:72]
    assert table.page(Filters(label="nothing"), 0) == ([], 0)


def test_kept_values_are_made_once_until_they_are_old() -> None:
    now = [0.0]
    made: list[int] = []
    kept = TimedCache(lambda: now[0])

    def make() -> int:
        made.append(1)
        return len(made)

    assert [kept.get("a", 5, make), kept.get("a", 5, make)] == [1, 1]
    now[0] = 6
    assert kept.get("a", 5, make) == 2
    kept.forget()
    assert kept.get("a", 5, make) == 3


@pytest.mark.parametrize("run_id", ["", "../x", "*", "no-such-run"])
def test_run_that_is_not_there_is_an_error_and_no_path(run_id: str) -> None:
    with pytest.raises(RunError):
        Sources().evidence(run_id)


def test_audit_log_keeps_every_line_and_bears_a_torn_one(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    assert log.lines() == []
    log.write("ada", "operator", "promote", "m 1", reason="why", outcome="done")
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(b'\xff no text\n{"at": "20')
    assert [(line.actor, line.outcome) for line in log.lines()] == [("ada", "done")]


def test_form_has_every_setting_with_its_help() -> None:
    assert set(sections()) == set(SECTIONS)
    found = {
        field.key: field
        for name in sections()
        for field in fields(name, parse_config({"name": "x"}).values())
    }
    assert {key.split(".")[1] for key in found if key.startswith("release.")} == set(
        SECTIONS["release"].model_fields
    )
    assert {key.partition(".")[0] for key in found} == set(SECTIONS)
    assert "release.kserve.service" in found and "release.kserve" not in found
    assert found["train.epochs"].kind == "integer" and found["data.kind"].kind == "choice"
    assert found["release.steps"].kind == "list" and found["train.flip_average"].kind == "switch"
    assert all(field.help for field in found.values())


def test_unchanged_form_gives_the_config_back() -> None:
    values = parse_config({"name": "x"}).values()
    given = {}
    for name in sections():
        for field in fields(name, values):
            shown = field.value
            if field.kind == "list":
                shown = ", ".join(map(str, field.value))
            elif field.kind not in ("switch", "choice"):
                shown = str(field.value)
            given[field.key] = parse(field, shown)
    assert parse_config(changed(values, given)).values() == values
