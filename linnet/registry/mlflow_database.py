"""A new SQLite database for MLflow, there at once or not at all.

MLflow's migrations are not transactional, so a kill amid them would leave a database that nothing
opens; and each waits for the disk, which is most of their time. Here they run on a scratch file
without waiting, which then is synced once and linked into place.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any


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
        engine = sqlalchemy.create_engine(f"sqlite:///{scratch}", poolclass=NullPool)
        sqlalchemy.event.listen(engine, "connect", _do_not_wait)
        _safe_initialize_tables(engine)
        engine.dispose()
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(scratch, path)


def _do_not_wait(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")
