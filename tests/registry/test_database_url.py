"""State folders whose names mean something in a URL, a query, a pattern or a shell."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from linnet.registry.mlflow_database import database_url
from linnet.registry.mlflow_registry import MlflowRegistry
from tests.registry.conftest import Submit

HOSTILE = "a b%41?c#d'e\"f[x]*&$HOME;ü"


@pytest.mark.parametrize(
    "name", [*"%?#'\"[]*&;$ ", "%41", "%%", "?mode=memory", "file:x", ":memory:", HOSTILE]
)
def test_url_of_a_database_means_the_file(tmp_path: Path, name: str) -> None:
    import sqlalchemy

    file = tmp_path / name / "mlflow.db"
    file.parent.mkdir()
    engine = sqlalchemy.create_engine(database_url(file))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE t (x)"))
    engine.dispose()
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.slow
def test_registry_in_a_folder_of_any_name_keeps_all_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, submit: Submit
) -> None:
    home = tmp_path / "homes" / HOSTILE
    home.mkdir(parents=True)
    monkeypatch.setenv("LINNET_HOME", str(home))
    monkeypatch.chdir(home)
    registry = MlflowRegistry()
    version = registry.register(submit())
    registry.set_alias("tiny", "champion", version.version)
    again = MlflowRegistry()
    assert again.alias("tiny", "champion") == "1" and again.package_folder("tiny", "1").is_relative_to(home)
    with again.client() as client:  # what MLflow says itself, and not the file read beside it
        assert client.get_model_version_by_alias("tiny", "champion").version in (1, "1")
    assert [path.name for path in home.parent.iterdir()] == [HOSTILE]
    assert sorted(path.name for path in home.iterdir()) == ["mlflow"]
