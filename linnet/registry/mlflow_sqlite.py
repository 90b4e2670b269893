"""The local registry read as the SQLite file that it is: MLflow takes seconds to import, this does not.

Only reading, only tables whose migration is known here; with any other version of the file, MLflow
itself is asked. A test holds every answer against MLflow's own.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from linnet.records import ModelVersion

MIGRATION = "dc11669786a5"
"""The last migration of MLflow 3.17 (table alembic_version)."""
_PATIENCE_S = 30.0
_LIVE = "workspace = 'default' AND current_stage <> 'Deleted_Internal'"


class SqliteReader:
    """Models, versions and aliases in MLflow's database."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def known(self) -> bool:
        """Whether the file is of the version that is known here."""
        try:
            with self._open() as file:
                return _rows(file, "SELECT version_num FROM alembic_version") == [(MIGRATION,)]
        except sqlite3.Error:
            return False

    def models(self) -> list[str]:
        """Names of the registered models, sorted."""
        with self._open() as file:
            found = _rows(file, "SELECT name FROM registered_models WHERE workspace = 'default'")
        return sorted(name for (name,) in found)

    def aliases(self, model: str) -> dict[str, str]:
        """Alias to version of a model."""
        with self._open() as file:
            return _aliases(file, model)

    def versions(self, model: str) -> list[ModelVersion]:
        """All versions of a model, the newest first."""
        sql = f"SELECT version, creation_time, run_id FROM model_versions WHERE {_LIVE} AND name = ?"  # noqa: S608
        tags: dict[int, dict[str, str]] = {}
        tagged = "SELECT version, key, value FROM model_version_tags WHERE workspace = 'default' AND name = ?"
        with self._open() as file:
            aliases = _aliases(file, model)
            for version, key, value in _rows(file, tagged, model):
                tags.setdefault(version, {})[key] = value
            return [
                ModelVersion(
                    name=model,
                    version=str(version),
                    aliases=tuple(sorted(a for a, v in aliases.items() if v == str(version))),
                    created_at=datetime.fromtimestamp(created / 1000, UTC),
                    run_id=run_id or "",
                    tags=tags.get(version, {}),
                    metrics=_metrics(file, run_id),
                )
                for version, created, run_id in sorted(_rows(file, sql, model), reverse=True)
            ]

    def location(self, model: str, version: str) -> str | None:
        """Where a version's files are; None if there is no such version."""
        sql = (
            f"SELECT storage_location, source FROM model_versions WHERE {_LIVE} AND name = ? AND version = ?"  # noqa: S608
        )
        with self._open() as file:
            found = _rows(file, sql, model, int(version))
        return str(found[0][0] or found[0][1]) if found else None

    def finished(self, run_id: str) -> bool:
        """Whether a run is closed."""
        with self._open() as file:
            return _rows(file, "SELECT status FROM runs WHERE run_uuid = ?", run_id) == [("FINISHED",)]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The file as it is now, the same to all queries within.

        Opened once for several queries: SQLite reads MLflow's large schema each time, for 3 ms.
        """
        address = f"{self._path.as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_S, isolation_level=None)) as file:
            file.execute("BEGIN")
            yield file


def _rows(file: sqlite3.Connection, sql: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
    return file.execute(sql, values).fetchall()


def _aliases(file: sqlite3.Connection, model: str) -> dict[str, str]:
    sql = "SELECT alias, version FROM registered_model_aliases WHERE workspace = 'default' AND name = ?"
    return {alias: str(version) for alias, version in _rows(file, sql, model)}


def _metrics(file: sqlite3.Connection, run_id: str | None) -> dict[str, float]:
    found = _rows(file, "SELECT key, value, is_nan FROM latest_metrics WHERE run_uuid = ?", run_id)
    return {key[5:]: math.nan if nan else value for key, value, nan in found if key.startswith("test_")}
