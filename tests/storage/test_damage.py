"""Databases that were cut off or overwritten are named, with what to do, by whoever opens them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.engine.store import ResourceStore
from linnet.errors import StorageError
from linnet.labels import store as labels
from linnet.registry.mlflow_registry import MlflowRegistry


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


@pytest.mark.slow
def test_registry_of_a_damaged_database_names_it(state: Path, migrated: Path) -> None:
    (state / "mlflow").mkdir(parents=True)
    database = Path(shutil.copy(migrated, state / "mlflow" / "mlflow.db"))
    database.write_bytes(database.read_bytes()[:20_000])
    asks: list[Callable[[MlflowRegistry], object]] = [MlflowRegistry.models, lambda one: one.versions("tiny")]
    for ask in asks:
        with pytest.raises(StorageError, match=r"mlflow\.db.* is damaged .*linnet restore"):
            ask(MlflowRegistry())
