"""Databases that were cut off or overwritten are named, with what to do, by whoever opens them."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from linnet.engine.store import ResourceStore
from linnet.errors import StorageError
from linnet.labels import store as labels
from linnet.labels.table import LabelRow, LabelTable
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.storage import sqlite


def _engine(path: Path) -> None:
    store = ResourceStore(path)
    try:
        for number in range(40):
            store.add("run", f"{random.random()}-{number}", {"state": "PENDING", "text": "x" * 500})
        store.where("run", state="PENDING")
    finally:
        store.close()


def _labels(path: Path) -> None:
    with labels.transaction(path, write=True) as table:
        for number in range(40):
            values = (f"{random.random()}", "x" * 400, number)
            table.execute("INSERT INTO quarantine (reason, row, created_at) VALUES (?, ?, ?)", values)
        table.execute("SELECT count(*), max(row) FROM quarantine").fetchall()


def _edit(path: Path, statement: str) -> None:
    """What a hand with a database tool does; the file stays whole for SQLite."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TRIGGER IF EXISTS labels_never_change")
        assert database.execute(statement).rowcount == 1
        database.commit()
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


OPENERS = {"engine.db": _engine, "labels.sqlite": _labels}


@pytest.mark.parametrize("name", OPENERS)
@pytest.mark.parametrize("how", ["cut", "overwritten"])
def test_database_that_was_damaged_is_named_when_it_is_used(tmp_path: Path, name: str, how: str) -> None:
    path, use, chance = tmp_path / name, OPENERS[name], random.Random(9)
    use(path)
    whole, seen = path.read_bytes(), 0
    for number in range(10):
        target = tmp_path / str(number) / name
        target.parent.mkdir()
        place = chance.randrange(16, len(whole) // 2)
        cut = (
            whole[:place]
            if how == "cut"
            else whole[:place] + bytes(len(whole) // 2) + whole[place + len(whole) // 2 :]
        )
        target.write_bytes(cut)
        try:
            use(target)
        except StorageError as error:
            assert str(target) in str(error) and "damaged" in str(error) and "linnet restore" in str(error)
            seen += 1
    assert seen >= 7  # the rest hit pages that this use does not read


@pytest.mark.parametrize(
    "edit",
    [
        "body = replace(body, 'PENDING', 'SUCCEEDED')",
        "hidden = '{\"owner\": true}'",
        "key = 'of another'",
        "id = 'r-9'",
        "kind = 'version'",
        "row_digest = ''",
    ],
)
def test_value_edited_within_a_row_of_the_engines_index_is_named(tmp_path: Path, edit: str) -> None:
    path = tmp_path / "engine.db"
    store = ResourceStore(path)
    store.add("run", "r-1", {"state": "PENDING"}, key="first")
    store.add("run", "r-2", {"state": "PENDING"})
    store.change("run", "r-1", {"note": "x"})
    store.rename("run", "r-1", "second")
    assert [one.id for one in store.where("run")] == ["r-1", "r-2"]
    sqlite.check(path)
    _edit(path, f"UPDATE resources SET {edit} WHERE id = 'r-1'")
    kind, name = ("version" if "kind" in edit else "run"), ("r-9" if edit.startswith("id") else "r-1")
    for read in (lambda: store.get(kind, name), lambda: store.where(kind)):  # type: ignore[arg-type]
        with pytest.raises(StorageError, match=rf"engine\.db: .*{name}.* changed in its row.*linnet restore"):
            read()
    with pytest.raises(StorageError, match="the row 1 of the table resources was changed"):
        sqlite.check(path)
    assert store.get("run", "r-2").body == {"state": "PENDING"}, "the others are read"
    store.close()


def test_index_of_a_linnet_before_digests_gets_them_once(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    store = ResourceStore(path)
    store.add("run", "r-1", {"state": "PENDING"}, {"a": 1}, "first")
    store.close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript("ALTER TABLE resources DROP COLUMN row_digest")
    store = ResourceStore(path)
    assert store.get("run", "r-1").key == "first"
    store.close()
    sqlite.check(path)
    _edit(path, "UPDATE resources SET row_digest = ''")
    with pytest.raises(StorageError, match="changed in its row"):
        ResourceStore(path).get("run", "r-1")


@pytest.mark.parametrize(
    "edit", ["label = 'boot'", "annotator = 'eve'", "labelled_at = 5", "agreement = 0.5", "row_digest = ''"]
)
def test_answer_edited_within_its_row_is_named(edit: str) -> None:
    table, at = LabelTable("d"), datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        LabelRow(sample_id=name, label="bag", annotator="ann", labelled_at=at, agreement=1, latency=2.5)
        for name in ("s1", "s2")
    ]
    table.append(rows)
    assert len(table.history()) == 2
    sqlite.check(table.path)
    _edit(table.path, f"UPDATE labels SET {edit} WHERE sample_id = 's1'")
    for read in (table.history, lambda: table.as_of(table.freeze()), lambda: table.digest(table.freeze())):
        with pytest.raises(StorageError, match=r"labels\.sqlite: .* sample 's1' was changed in its row"):
            read()
    with pytest.raises(StorageError, match="the row 1 of the table labels was changed"):
        sqlite.check(table.path)
    assert [row.sample_id for row in table.history("s2")] == ["s2"]


@pytest.mark.slow
def test_registry_of_a_damaged_database_names_it(state: Path, migrated: Path) -> None:
    (state / "mlflow").mkdir(parents=True)
    database = Path(shutil.copy(migrated, state / "mlflow" / "mlflow.db"))
    database.write_bytes(database.read_bytes()[:20_000])
    asks: list[Callable[[MlflowRegistry], object]] = [MlflowRegistry.models, lambda one: one.versions("tiny")]
    for ask in asks:
        with pytest.raises(StorageError, match=r"mlflow\.db.* is damaged .*linnet restore"):
            ask(MlflowRegistry())
