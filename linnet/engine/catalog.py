"""Pipelines, their versions, and experiments; and which pipelines may run here."""

from __future__ import annotations

import uuid
from typing import Any

from linnet.config import EngineConfig
from linnet.engine.api_errors import ApiError
from linnet.engine.listing import timestamp
from linnet.engine.store import Resource, ResourceStore
from linnet.errors import RunError
from linnet.records import now
from linnet.runner.spec import Spec
from linnet.runner.worker_pool import Workers

DEFAULT_EXPERIMENT = "Default"


class PipelineCatalog:
    """What is kept to be run."""

    def __init__(self, store: ResourceStore, pool: Workers, config: EngineConfig) -> None:
        self._store, self._pool, self._config = store, pool, config

    def add_pipeline(self, about: dict[str, Any]) -> Resource:
        """A new pipeline without versions; `about`: name, display_name, description, tags."""
        name = str(about.get("name") or about.get("display_name") or "").strip()
        if not name:
            raise ApiError("INVALID_ARGUMENT", "a pipeline needs a name")
        body = {
            "pipeline_id": str(uuid.uuid4()),
            "display_name": about.get("display_name") or name,
            "name": name,
            "created_at": timestamp(now()),
            **{key: about[key] for key in ("description", "tags") if about.get(key)},
        }
        return self._store.add("pipeline", str(body["pipeline_id"]), body, key=name)

    def add_version(self, pipeline_id: str, about: dict[str, Any], spec: Spec) -> Resource:
        """A new version of a pipeline; `about`: name, display_name, description, code_source_url, tags."""
        pipeline = self._store.get("pipeline", pipeline_id)
        name = str(about.get("name") or about.get("display_name") or "").strip()
        if not name:
            raise ApiError("INVALID_ARGUMENT", "a version needs a name")
        self.allow(spec)
        optional = ("description", "code_source_url", "tags")
        body = {
            "pipeline_id": pipeline.id,
            "pipeline_version_id": str(uuid.uuid4()),
            "display_name": about.get("display_name") or name,
            "name": name,
            "created_at": timestamp(now()),
            "pipeline_spec": spec.values(),
            **{key: about[key] for key in optional if about.get(key)},
        }
        return self._store.add("version", str(body["pipeline_version_id"]), body, key=f"{pipeline.id}/{name}")

    def upload(self, about: dict[str, Any], spec: Spec) -> Resource:
        """A new pipeline with its first version, or neither."""
        with self._store.transaction():
            pipeline = self.add_pipeline({**about, "name": about.get("name") or spec.name})
            version = {key: value for key, value in about.items() if key != "display_name"}
            self.add_version(pipeline.id, {**version, "name": pipeline.body["name"]}, spec)
            return pipeline

    def remove_pipeline(self, pipeline_id: str, cascade: bool) -> None:
        """Removes a pipeline; with versions only if `cascade`."""
        with self._store.transaction():
            versions = self._store.where("version", pipeline_id=pipeline_id)
            if versions and not cascade:
                raise ApiError(
                    "FAILED_PRECONDITION", f"the pipeline {pipeline_id} has versions: delete them first"
                )
            for version in versions:
                self._store.remove("version", version.id)
            self._store.remove("pipeline", pipeline_id)

    def version(self, pipeline_id: str, version_id: str) -> Resource:
        """A version of a pipeline."""
        found = self._store.get("version", version_id)
        if found.body["pipeline_id"] != pipeline_id:
            raise ApiError("NOT_FOUND", f"the pipeline {pipeline_id} has no version {version_id}")
        return found

    def spec_of(self, body: dict[str, Any]) -> Spec:
        """The pipeline that a run, or a recurring run, names or brings along."""
        given = body.get("pipeline_spec")
        if given:
            return read_spec(given)
        reference = self.reference_of(body).get("pipeline_version_reference")
        if not reference:
            raise ApiError("INVALID_ARGUMENT", "a run needs a pipeline_spec or a pipeline_version_reference")
        version = self.version(reference["pipeline_id"], reference["pipeline_version_id"])
        return read_spec(version.body["pipeline_spec"])

    def reference_of(self, body: dict[str, Any]) -> dict[str, Any]:
        """The version that a run refers to (`pipeline_version_reference`); nothing if it brings its own.

        Without a version id it is the newest version.
        """
        given = dict(body.get("pipeline_version_reference") or {})
        if body.get("pipeline_version_id"):  # of older clients
            version = self._store.get("version", str(body["pipeline_version_id"]))
            given = {"pipeline_id": version.body["pipeline_id"], "pipeline_version_id": version.id}
        if body.get("pipeline_spec") or not given:
            return {}
        if not given.get("pipeline_version_id"):
            versions = self._store.where("version", pipeline_id=given.get("pipeline_id", ""))
            if not versions:
                raise ApiError("NOT_FOUND", f"the pipeline {given.get('pipeline_id')!r} has no version")
            given["pipeline_version_id"] = versions[-1].id
        return {"pipeline_version_reference": given}

    def configured_name(self, spec: Spec) -> str:
        """The name of the configured pipeline that a spec was compiled from; empty if it was not."""
        try:
            return self._pool.configured().get(spec.code, "")
        except RunError:
            if self._config.allow_uploads:
                return ""
            raise

    def allow(self, spec: Spec) -> None:
        """Refuses a pipeline that this installation does not compile, unless uploads are allowed.

        Running a pipeline executes its code as the user of the engine.
        """
        if not self._config.allow_uploads and not self.configured_name(spec):
            raise ApiError(
                "PERMISSION_DENIED",
                f"the pipeline {spec.name} was not compiled from this installation's pipelines; running it "
                "would execute its code as you: set engine.allow_uploads to true if you trust all who submit",
            )

    def default_experiment(self) -> str:
        """The id of the experiment of runs that name none."""
        known = self._store.by_key("experiment", DEFAULT_EXPERIMENT)
        if known is not None:
            return known.id
        return self.add_experiment({"display_name": DEFAULT_EXPERIMENT}).id

    def add_experiment(self, about: dict[str, Any]) -> Resource:
        """A new experiment; `about`: display_name, description."""
        name = str(about.get("display_name") or "").strip()
        if not name:
            raise ApiError("INVALID_ARGUMENT", "an experiment needs a display_name")
        identity = str(uuid.uuid4())
        body = {
            "experiment_id": identity,
            "display_name": name,
            "created_at": timestamp(now()),
            "storage_state": "AVAILABLE",
            **({"description": about["description"]} if about.get("description") else {}),
        }
        return self._store.add("experiment", identity, body, key=name)


def read_spec(values: Any) -> Spec:
    """A pipeline as a request gives it.

    Raises:
        ApiError: it is not one.
    """
    try:
        if not isinstance(values, dict):
            raise RunError("pipeline_spec is not an object")
        return Spec.from_values(values)
    except (RunError, KeyError, TypeError) as error:
        raise ApiError("INVALID_ARGUMENT", str(error)) from error
