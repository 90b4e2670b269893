"""MLflow as the registry: a run and a logged model a package, and a model version that shows both.

Registering is a chain of calls, each of which finds what an earlier, killed attempt left (by the
package digest, a tag on all three) and goes on from there; the version comes last and in one call.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from linnet.errors import LinnetError, RegistryError, StorageError
from linnet.records import ModelPackage, ModelVersion
from linnet.registry.mlflow_calls import all_pages, ignore_error
from linnet.registry.mlflow_database import create_database, database_url
from linnet.registry.mlflow_sqlite import SqliteReader
from linnet.registry.protocol import DESCRIPTOR, Alias, Submission, flattened, package_digest
from linnet.registry.reachable import PATIENCE_SECONDS, forget, require_reachable
from linnet.registry.run_evidence import evidence_files, metrics_of
from linnet.registry.signature import write_descriptor
from linnet.run.runs import run_dir
from linnet.storage import sqlite
from linnet.storage.files import file_name, shown_url
from linnet.storage.paths import state_dir

_DIGEST = "linnet.package_digest"
_BATCH = 100
"""Params that MLflow takes in one call."""


class MlflowRegistry:
    """Fulfils `Registry` on any MLflow tracking URI; empty: SQLite in the state folder."""

    def __init__(self, tracking_uri: str = "", patience: float | None = None) -> None:
        """`patience`: seconds to wait for a server that is down; None: long in a step of a run, else none."""
        self._patience = patience if patience is not None else PATIENCE_SECONDS if run_dir() else 0.0
        self._folder = state_dir() / "mlflow"
        self._local = not tracking_uri
        self._tracking_uri = tracking_uri
        self._client: Any = None

    @cached_property
    def _uri(self) -> str:
        return self._tracking_uri or database_url(self._folder / "mlflow.db")

    @property
    def empty(self) -> bool:
        """Whether nothing can be registered, told without MLflow: the local database does not exist."""
        return self._local and not (self._folder / "mlflow.db").exists()

    def register(self, submission: Submission) -> ModelVersion:
        """See `Registry.register`."""
        digest = package_digest(submission.package)
        with self._translated():
            for version in self.versions(submission.model):
                if version.tags.get("package_digest") == digest:
                    self._finish(version.run_id)
                    return version
            experiment = self.experiment(submission.model)
            run_id = self._run(experiment, submission, digest)
            model_id, location = self._logged_model(experiment, run_id, submission, digest)
            with ignore_error("RESOURCE_ALREADY_EXISTS"):
                self._mlflow.create_registered_model(submission.model)
            tags = {**submission.tags, "package_digest": digest}
            made = self._mlflow.create_model_version(
                submission.model, location, run_id, tags, model_id=model_id
            )
            self._finish(run_id)
            return self._record(submission.model, made, {})

    def models(self) -> list[str]:
        """See `Registry.models`."""
        if self.empty:
            return []
        with self._translated():
            if self._file is not None:
                return self._file.models()
            return sorted(model.name for model in all_pages(self._mlflow.search_registered_models))

    def versions(self, model: str) -> list[ModelVersion]:
        """See `Registry.versions`."""
        if self.empty:
            return []
        with self._translated():
            if self._file is not None:
                return self._file.versions(model)
            aliases = self._aliases(model)
            if aliases is None:
                return []
            listed = all_pages(self._mlflow.search_model_versions, filter_string=_with_name(model))
            found = [version for version in listed if version.name == model]
            ordered = sorted(found, key=lambda version: int(version.version), reverse=True)
            return [self._record(model, version, aliases) for version in ordered]

    def alias(self, model: str, alias: Alias) -> str | None:
        """See `Registry.alias`."""
        if self.empty:
            return None
        with self._translated():
            known = self._aliases(model) if self._file is None else self._file.aliases(model)
            return (known or {}).get(alias)

    def set_alias(self, model: str, alias: Alias, version: str | None) -> None:
        """See `Registry.set_alias`."""
        with self._translated():
            if version is None:
                self._mlflow.delete_registered_model_alias(model, alias)
            else:
                self._mlflow.set_registered_model_alias(model, alias, version)

    def package_folder(self, model: str, version: str) -> Path:
        """See `Registry.package_folder`.

        Raises:
            StorageError: the stored package is not, byte for byte, what was registered.
        """
        with self._translated():
            expected, location = self._registered(model, version)
            parts = urlsplit(location)
            folder = (
                Path(unquote(parts.path))
                if parts.scheme in ("", "file")
                else self._download(location, model, version)
            )
        if not folder.is_dir() or package_digest(folder) != expected:
            raise StorageError(
                f"{folder}: the package of {model} version {version} is missing or was changed; "
                "restore it, or register the model again"
            )
        return folder

    def _registered(self, model: str, version: str) -> tuple[str | None, str]:
        """The package digest of a version, and the URI of its files."""
        if self._file is not None and (location := self._file.location(model, version)) is not None:
            tags = next(v.tags for v in self._file.versions(model) if v.version == version)
            return tags.get("package_digest"), location
        location = self._mlflow.get_model_version_download_uri(model, version)
        return self._mlflow.get_model_version(model, version).tags.get("package_digest"), location

    def _aliases(self, model: str) -> dict[str, str] | None:
        """Alias to version; None if the model is not registered."""
        aliases: dict[str, str] | None = None
        with ignore_error("RESOURCE_DOES_NOT_EXIST"):
            found = self._mlflow.get_registered_model(model).aliases
            aliases = {alias: str(version) for alias, version in found.items()}
        return aliases  # noqa: RET504  None if the call was tolerated

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """MLflow's own client, for what is no part of `Registry`; its errors become RegistryErrors."""
        with self._translated():
            yield self._mlflow

    def experiment(self, model: str) -> str:
        """Id of the experiment that holds the runs of a model; made if need be."""
        found = self._mlflow.get_experiment_by_name(model)
        if found is not None:
            return str(found.experiment_id)
        location = (self._folder / "artifacts" / file_name(model)).as_uri() if self._local else None
        return str(self._mlflow.create_experiment(model, location))

    def _run(self, experiment: str, submission: Submission, digest: str) -> str:
        """One run with the evidence of the package; an earlier attempt's run is gone on with."""
        from mlflow.entities import Metric, Param

        found = self._mlflow.search_runs([experiment], f"tags.`{_DIGEST}` = '{digest}'", max_results=1)
        tags = {_DIGEST: digest, **{f"linnet.{key}": value for key, value in submission.tags.items()}}
        run = (
            found[0]
            if found
            else self._mlflow.create_run(experiment, tags=tags, run_name=f"package {digest[:8]}")
        )
        run_id = str(run.info.run_id)
        known = run.data.params
        params = flattened(submission.config)
        fresh = [Param(key, value[:6000]) for key, value in params.items() if key not in known]
        for start in range(0, len(fresh), _BATCH):
            self._mlflow.log_batch(run_id, params=fresh[start : start + _BATCH])
        # A fixed time makes logging twice the same rows, which MLflow keeps once.
        stamp = int(ModelPackage.load(submission.package / "package.json").created_at.timestamp() * 1000)
        rows = [Metric(name, value, stamp, step) for name, value, step in metrics_of(submission)]
        for start in range(0, len(rows), 1000):
            self._mlflow.log_batch(run_id, metrics=rows[start : start + 1000])
        for path, where in evidence_files(submission):
            self._mlflow.log_artifact(run_id, str(path), where)
        return run_id

    def _logged_model(
        self, experiment: str, run_id: str, submission: Submission, digest: str
    ) -> tuple[str, str]:
        """Id and artifact location of the logged model that holds the package and its signature."""
        found = self._mlflow.search_logged_models([experiment], f"tags.`{_DIGEST}` = '{digest}'")
        model = (
            found[0]
            if found
            else self._mlflow.create_logged_model(
                experiment, submission.model, run_id, tags={_DIGEST: digest}, model_type="image classifier"
            )
        )
        with tempfile.TemporaryDirectory() as scratch:
            write_descriptor(submission.package, Path(scratch) / DESCRIPTOR, run_id, model.model_id)
            self._mlflow.log_model_artifacts(model.model_id, scratch)
        self._mlflow.log_model_artifacts(model.model_id, str(submission.package))
        self._mlflow.finalize_logged_model(model.model_id, "READY")
        return model.model_id, model.artifact_location

    def _finish(self, run_id: str) -> None:
        if self._file is not None and self._file.finished(run_id):
            return
        if self._mlflow.get_run(run_id).info.status != "FINISHED":
            self._mlflow.set_terminated(run_id, "FINISHED")

    def _download(self, location: str, model: str, version: str) -> Path:
        """The package in the state folder, fetched once, at once or not at all."""
        from mlflow.artifacts import download_artifacts

        folder = state_dir() / "registry" / "packages" / file_name(model) / version
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                got = download_artifacts(location, dst_path=scratch, tracking_uri=self._uri)
                with contextlib.suppress(FileExistsError):
                    shutil.move(got, folder)
        return folder

    def _record(self, model: str, version: Any, aliases: dict[str, Any]) -> ModelVersion:
        prefix = "test_"
        metrics: dict[str, float] = {}
        if version.run_id:  # what others registered may have none
            with ignore_error("RESOURCE_DOES_NOT_EXIST"):
                metrics = self._mlflow.get_run(version.run_id).data.metrics
        return ModelVersion(
            name=model,
            version=str(version.version),
            aliases=tuple(sorted(a for a, v in aliases.items() if str(v) == str(version.version))),
            created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
            run_id=version.run_id or "",
            tags=dict(version.tags),
            metrics={k.removeprefix(prefix): v for k, v in metrics.items() if k.startswith(prefix)},
        )

    @cached_property
    def _file(self) -> SqliteReader | None:
        """The local database, if it is of a version that can be read without MLflow."""
        reader = SqliteReader(self._folder / "mlflow.db")
        return reader if self._local and reader.known else None

    @property
    def _mlflow(self) -> Any:
        """The client; made on first use, since importing MLflow takes two seconds."""
        if self._client is None:
            # No telemetry, and no handlers of MLflow's own on our logs; read when it is imported.
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.ERROR)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of third parties, about their own parts
                from mlflow import MlflowClient

                if self._local:
                    create_database(self._folder / "mlflow.db")
                self._client = MlflowClient(self._uri, self._uri)
        return self._client

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        require_reachable(self._tracking_uri, self._patience)
        try:
            yield
        except LinnetError:
            raise
        except Exception as error:
            forget(self._tracking_uri)
            if self._local and not self.empty:
                sqlite.check(self._folder / "mlflow.db")  # a damaged file is named as such
            text = str(error).strip().splitlines()
            why = text[0][:300] if text else type(error).__name__
            raise RegistryError(f"the registry at {shown_url(self._uri)} refused: {why}") from error


def _with_name(model: str) -> str:
    """MLflow's filter for the versions of a model; one that it cannot say (with both quotes) is none."""
    quote = next((one for one in "'\"" if one not in model), "")
    return f"name = {quote}{model}{quote}" if quote else ""
