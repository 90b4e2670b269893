"""The label table: append-only, bitemporal, idempotent, safe under kill and with many appenders."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linnet.errors import DataError, StorageError
from linnet.labels.store import database
from linnet.labels.table import Appended, LabelRow, LabelTable

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def row(
    sample: str = "s1", label: str = "bag", annotator: str = "ann", second: float = 0, **more: str
) -> LabelRow:
    return LabelRow(sample_id=sample, label=label, annotator=annotator, labelled_at=at(second), **more)  # type: ignore[arg-type]


class Clock:
    def __init__(self, second: float = 0) -> None:
        self.second = second

    def __call__(self) -> datetime:
        return at(self.second)


def test_append_same_rows_again_adds_nothing() -> None:
    table = LabelTable("d")
    assert table.append([row("s1"), row("s2")]) == Appended(2, 0, 0)
    assert table.append([row("s2"), row("s3")]) == Appended(1, 1, 0)
    assert [found.sample_id for found in table.history()] == ["s1", "s2", "s3"]


def test_append_same_key_with_another_answer_is_quarantined_once_and_overwrites_nothing() -> None:
    table = LabelTable("d")
    table.append([row(label="bag")])
    assert table.append([row(label="boot")]) == Appended(0, 0, 1)
    assert table.append([row(label="boot")]) == Appended(0, 0, 0)
    assert [found.label for found in table.history()] == ["bag"]
    ((kept, reason),) = table.quarantined()
    assert '"label": "boot"' in kept and "already has another answer" in reason


def test_as_of_correction_is_a_version_and_the_past_stays() -> None:
    clock = Clock(10)
    table = LabelTable("d", clock)
    table.append([row(label="bag", second=1)])
    before, digest = table.freeze(), table.digest(at(10))
    clock.second = 20
    table.append([row(label="boot", second=15)])
    assert [found.label for found in table.as_of(before)] == ["bag"]
    assert [found.label for found in table.as_of(at(20))] == ["boot"]
    assert table.as_of(at(9.9)) == []
    assert table.digest(at(10)) == digest != table.digest(at(20))
    assert [found.label for found in table.history("s1")] == ["bag", "boot"]


def test_append_after_freeze_counts_as_known_later_even_if_the_clock_runs_backwards() -> None:
    clock = Clock(100)
    table = LabelTable("d", clock)
    table.append([row("s1")])
    moment = table.freeze()
    clock.second = 5
    table.append([row("s2")])
    assert [found.sample_id for found in table.as_of(moment)] == ["s1"]
    assert [found.sample_id for found in table.as_of(table.freeze())] == ["s1", "s2"]


def test_database_refuses_update_and_delete() -> None:
    LabelTable("d").append([row()])
    connection = sqlite3.connect(database("d"))
    for statement in ("UPDATE labels SET label = 'x'", "DELETE FROM labels"):
        with pytest.raises(sqlite3.IntegrityError, match="only appended"):
            connection.execute(statement)
    connection.close()


def test_append_failing_midway_adds_nothing() -> None:
    def rows() -> object:
        yield row("s1")
        raise RuntimeError("the server went away")

    table = LabelTable("d")
    with pytest.raises(RuntimeError):
        table.append(rows())  # type: ignore[arg-type]
    assert table.history() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": ""},
        {"sample_id": ""},
        {"annotator": ""},
        {"status": "maybe"},
        {"status": "skipped"},
        {"labelled_at": datetime(2026, 1, 1)},
    ],
)
def test_row_that_could_never_be_used_is_refused(wrong: dict[str, object]) -> None:
    facts = {"sample_id": "s", "label": "bag", "annotator": "a", "labelled_at": START} | wrong
    with pytest.raises(DataError):
        LabelRow(**facts)  # type: ignore[arg-type]


def test_damaged_file_is_a_storage_error() -> None:
    path = database("d")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StorageError, match=r"labels\.sqlite: this database is damaged"):
        LabelTable("d").history()


EVENTS = st.lists(
    st.tuples(
        st.integers(-3, 8),  # how the clock moves before this append
        st.lists(
            st.tuples(
                st.sampled_from("xyz"), st.sampled_from("AB"), st.integers(0, 3), st.sampled_from("pq")
            ),
            max_size=4,
        ),
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, data=st.data())
def test_as_of_any_history_equals_brute_force(
    events: list[tuple[int, list[tuple[str, str, int, str]]]],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path_factory.mktemp("state")))
    clock = Clock(100)
    table = LabelTable("d", clock)
    frozen: list[tuple[datetime, list[LabelRow]]] = []
    for step, answers in events:
        clock.second += step
        table.append([row(s, label, a, second) for s, a, second, label in answers])
        moment = table.freeze()
        frozen.append((moment, table.as_of(moment)))
    history = table.history()
    for moment, seen in frozen:  # what was known then is still what was known then
        assert table.as_of(moment) == seen == oracle(history, moment)
    moment = data.draw(st.sampled_from([found.created_at for found in history] or [START]))
    assert table.as_of(moment) == oracle(history, moment)


def oracle(history: list[LabelRow], moment: datetime) -> list[LabelRow]:
    newest: dict[tuple[str, str], LabelRow] = {}
    for found in history:  # in order of arrival
        key = (found.sample_id, found.annotator)
        held = newest.get(key)
        if found.created_at <= moment and (
            held is None or (found.created_at, found.labelled_at) >= (held.created_at, held.labelled_at)
        ):
            newest[key] = found
    return [newest[key] for key in sorted(newest)]


APPENDER = """
import sys
from datetime import UTC, datetime
from linnet.labels.table import LabelRow, LabelTable
who, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
table, moment = LabelTable("d"), datetime(2026, 1, 1, tzinfo=UTC)
for i in range(count):
    table.append([
        LabelRow(sample_id=f"{who}-{i}-{j}", label="bag", annotator=who, labelled_at=moment)
        for j in range(size)
    ])
    print(i, flush=True)
"""


def appender(who: str, count: int, size: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", APPENDER, who, str(count), str(size)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy())


def test_append_from_many_processes_at_once_loses_nothing(state: Path) -> None:
    workers = [appender(who, 25, 4) for who in ("a", "b", "c")]
    for worker in workers:
        worker.communicate(timeout=120)
        assert worker.returncode == 0
    history = LabelTable("d").history()
    assert len(history) == len({found.sample_id for found in history}) == 300
    moments = [found.created_at for found in history]
    assert moments == sorted(moments) and len(set(moments)) == 75


def test_append_killed_at_any_moment_keeps_whole_appends_and_resumes(state: Path) -> None:
    for attempt in range(4):
        worker = appender("a", 10_000, 50)
        assert worker.stdout is not None
        acknowledged = int(worker.stdout.readline())
        time.sleep(0.01 + 0.017 * attempt)
        worker.send_signal(signal.SIGKILL)
        rest = worker.stdout.read().split()
        worker.stdout.close()
        worker.wait()
        acknowledged = max([acknowledged, *map(int, rest)])
        rows = LabelTable("d").history()
        assert len(rows) % 50 == 0, "an append was torn"
        assert len(rows) == len({found.sample_id for found in rows})
        assert len(rows) >= (acknowledged + 1) * 50, "an acknowledged label was lost"
    assert LabelTable("d").append([row("a-0-0", annotator="a")]) == Appended(0, 1, 0)
