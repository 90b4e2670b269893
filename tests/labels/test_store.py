"""A label file of an earlier version is brought up to date where it stands, and nothing of it is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from linnet.errors import StorageError
from linnet.labels.store import database, to_micros
from linnet.labels.table import Appended, LabelRow, LabelTable

FIRST_VERSION = """
CREATE TABLE labels (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  sample_id TEXT NOT NULL, label TEXT NOT NULL, annotator TEXT NOT NULL, agreement REAL,
  labelled_at INTEGER NOT NULL, created_at INTEGER NOT NULL,
  batch TEXT NOT NULL, status TEXT NOT NULL, comment TEXT NOT NULL,
  UNIQUE (sample_id, annotator, batch, labelled_at));
CREATE TABLE quarantine (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  reason TEXT NOT NULL, row TEXT NOT NULL, created_at INTEGER NOT NULL, UNIQUE (reason, row));
CREATE TABLE horizon (one INTEGER PRIMARY KEY CHECK (one = 1), moment INTEGER NOT NULL);
INSERT INTO horizon VALUES (1, 2000000);
CREATE TRIGGER labels_never_change BEFORE UPDATE ON labels
  BEGIN SELECT RAISE(ABORT, 'labels are only appended'); END;
INSERT INTO labels VALUES (1, 's1', 'bag', 'ann', 0.75, 1000000, 2000000, 'b1', 'label', 'sure');
INSERT INTO quarantine VALUES (1, 'why', '{}', 2000000);
"""
"""As the first release of the table wrote it: no reason, latency or source, and no tables of rounds."""
ANSWERED = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_file_of_the_first_version_keeps_its_answers_and_takes_new_ones() -> None:
    file = database("d")
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(FIRST_VERSION)
    table = LabelTable("d")
    (old,) = table.history()
    assert (old.sample_id, old.label, old.annotator, old.agreement) == ("s1", "bag", "ann", 0.75)
    assert (old.batch, old.comment, old.labelled_at) == ("b1", "sure", ANSWERED)
    assert to_micros(old.created_at) == 2_000_000
    assert (old.reason, old.latency, old.source) == ("", None, "")
    assert table.quarantined() == [("{}", "why")]

    again = LabelRow(sample_id="s1", label="bag", annotator="ann", labelled_at=ANSWERED, batch="b1")
    fresh = LabelRow(
        sample_id="s2", label="boot", annotator="ann", labelled_at=ANSWERED, latency=3.5, source="here/1"
    )
    assert table.append([again, fresh]) == Appended(added=1, repeated=1, quarantined=0)
    assert [(row.sample_id, row.latency, row.source) for row in table.history()] == [
        ("s1", None, ""),
        ("s2", 3.5, "here/1"),
    ]
    assert table.as_of(old.created_at) == [old], "what was known then is what is known of then"


def test_file_of_a_newer_linnet_is_refused_and_left_as_it_is() -> None:
    LabelTable("d").freeze()
    with closing(sqlite3.connect(database("d"))) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = database("d").read_bytes()
    with pytest.raises(StorageError, match=r"labels\.sqlite: .* format 99, .*: update Linnet"):
        LabelTable("d").history()
    assert database("d").read_bytes() == before
