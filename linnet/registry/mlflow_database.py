"""A new SQLite database for MLflow, there at once or not at all.

MLflow's migrations are not transactional, so a kill amid them would leave a database that nothing
opens; and each waits for the disk, which is most of their time. Here they run on a scratch file
without waiting, which then is synced once and linked into place.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any


def database_url(path: Path) -> str:
    """SQLAlchemy's URL of an SQLite file, whatever its folders are called; the one place that makes one.

    The driver is named, because MLflow takes what follows a bare `sqlite:///` for a path, still quoted, and
    makes its folders.
    """
    from sqlalchemy import URL

    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string()


def create_database(path: Path) -> None:
    """Makes the database at `path`, by MLflow's own migrations; one that is there stays as it is."""
    import sqlalchemy
    from mlflow.store.db.utils import _safe_initialize_tables
    from sqlalchemy.pool import NullPool

    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
        scratch = Path(folder) / path.name
        engine = sqlalchemy.create_engine(database_url(scratch), poolclass=NullPool)
        sqlalchemy.event.listen(engine, "connect", _do_not_wait)
        _safe_initialize_tables(engine)
        _add_default_experiment(engine, path.parent / "artifacts" / "Default")
        engine.dispose()
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(scratch, path)


def _add_default_experiment(engine: Any, folder: Path) -> None:
    """The experiment that MLflow wants to be there.

    Its own first client makes it, with artifacts in the current folder, whose name it puts between quotes
    as it is: one with a quote in it cannot be opened.
    """
    import sqlalchemy

    moment = int(time.time() * 1000)
    experiment = sqlalchemy.text(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, "
        "last_update_time, workspace) VALUES (0, 'Default', :folder, 'active', :moment, :moment, 'default')"
    )
    with engine.begin() as connection:
        connection.execute(experiment, {"folder": folder.as_uri(), "moment": moment})


def _do_not_wait(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")
