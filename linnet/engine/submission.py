"""Takes a run in: resolves its pipeline, checks it, and makes its folder."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from linnet.config import SECTIONS, EngineConfig, broken_config_files, config_files, use_case_name
from linnet.engine.api_errors import ApiError
from linnet.engine.catalog import PipelineCatalog
from linnet.engine.listing import timestamp
from linnet.engine.run_parameters import checked_sections, refuse_foreign_places
from linnet.engine.security import Caller
from linnet.engine.store import Resource, ResourceStore
from linnet.engine.supervisor import RunSupervisor, set_state
from linnet.errors import RunError
from linnet.records import RunRequest, now
from linnet.run import runs
from linnet.runner import unsupported
from linnet.runner.placeholders import JOB_FILE, Job
from linnet.runner.spec import Spec
from linnet.storage.files import write_text

_NEEDLESS = {"pipeline_root": "outputs go to the run's folder", "service_account": "tasks run as you"}


class Submissions:
    """Where runs come in: from the API, and from recurring runs."""

    def __init__(
        self, store: ResourceStore, library: PipelineCatalog, supervisor: RunSupervisor, config: EngineConfig
    ) -> None:
        self._store, self._library, self._supervisor = store, library, supervisor
        self._config = config

    def submit(
        self, body: dict[str, Any], key: str = "", actor: str = "api", caller: Caller = "guest"
    ) -> Resource:
        """Takes a run in, unless one came in under the same key: then that is the answer.

        Args:
            body: a `Run` as KFP's API describes it.
            key: names the submission; the same key means the same run, however often it is sent.
            actor: who asks, where the run's own parameters do not say.
            caller: what it may name; see `check`.

        Raises:
            ApiError: it cannot run here, or the key belongs to another submission.
        """
        digest = _digest(body)
        if known := self._known(key, digest):
            return known
        spec, parameters = self.check(body, caller)  # may take a while: nobody else waits for it
        with self._store.transaction():
            if known := self._known(key, digest):
                return known
            experiment = self._experiment(body)
            self._supervisor.make_room()
            request = _request(parameters, actor, body)
            run = self._open(body, spec, parameters, experiment, request, {"digest": digest}, key)
        self._supervisor.submitted()
        return run

    def _known(self, key: str, digest: str) -> Resource | None:
        """The run that came in under a key."""
        known = self._store.by_key("run", key) if key else None
        if known is not None and known.hidden["digest"] != digest:
            raise ApiError("ALREADY_EXISTS", f"the key {key!r} belongs to another submission: {known.id}")
        return known

    def check(self, body: dict[str, Any], caller: Caller = "guest") -> tuple[Spec, dict[str, Any]]:
        """The pipeline of a run and its resolved parameters, if it may run here.

        A guest's may reach only what a config on this disk names, unless uploads are allowed: then its
        code could reach anything.

        Raises:
            ApiError: it may not, or could not.
        """
        config = body.get("runtime_config") or {}
        for name, remedy in _NEEDLESS.items():
            if config.get(name) or body.get(name):
                raise ApiError("INVALID_ARGUMENT", f"{name} is for a cluster: here {remedy}")
        spec = self._library.spec_of(body)
        try:
            parameters = spec.arguments(config.get("parameters") or {})
        except RunError as error:
            raise ApiError("INVALID_ARGUMENT", str(error)) from error
        self._library.allow(spec)
        if self._library.configured_name(spec):
            sections = checked_sections(parameters)
            if caller != "owner" and not self._config.allow_uploads:
                trusted = self._config.trusted_configs
                known, broken = config_files(more=trusted), broken_config_files(more=trusted)
                refuse_foreign_places(sections, known.values(), broken)
        problems = unsupported.unsupported_features(spec, self._config.containers)
        if problems:
            raise ApiError("INVALID_ARGUMENT", f"this backend cannot honour: {'; '.join(problems)}")
        return spec, parameters

    def _experiment(self, body: dict[str, Any]) -> str:
        identity = body.get("experiment_id") or self._library.default_experiment()
        experiment = self._store.get("experiment", str(identity))
        if experiment.body["storage_state"] == "ARCHIVED":
            raise ApiError(
                "FAILED_PRECONDITION", f"the experiment {experiment.body['display_name']} is archived"
            )
        return experiment.id

    def _open(
        self,
        body: dict[str, Any],
        spec: Spec,
        parameters: dict[str, Any],
        experiment: str,
        request: RunRequest,
        hidden: dict[str, Any],
        key: str,
    ) -> Resource:
        pipeline = self._library.configured_name(spec) or spec.name
        record, folder = runs.create(pipeline, _config(parameters, spec.name), request)
        write_text(folder / "pipeline.json", spec.text())
        write_text(folder / "parameters.json", json.dumps(parameters, indent=1))
        created = timestamp(now())
        shown = {
            **{name: body[name] for name in ("description", "recurring_run_id") if body.get(name)},
            "run_id": record.run_id,
            "experiment_id": experiment,
            "display_name": body.get("display_name") or record.run_id,
            "storage_state": "AVAILABLE",
            "runtime_config": {"parameters": (body.get("runtime_config") or {}).get("parameters") or {}},
            "created_at": created,
            "scheduled_at": body.get("scheduled_at") or created,
            **self._library.reference_of(body),
        }
        Job(
            run_id=record.run_id,
            display_name=shown["display_name"],
            created_at=datetime.fromisoformat(created),
            scheduled_at=datetime.fromisoformat(shown["scheduled_at"]),
        ).save(folder / JOB_FILE)
        run = self._store.add("run", record.run_id, shown, hidden, key or None)
        set_state(self._store, run, "PENDING")
        self._store.change("experiment", experiment, {"last_run_created_at": created})
        return self._store.get("run", run.id)


def _digest(body: dict[str, Any]) -> str:
    """What makes two submissions the same: all that was sent, but for the name that people read."""
    told = {name: value for name, value in body.items() if name != "display_name" and value is not None}
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=20).hexdigest()


def _request(parameters: dict[str, Any], actor: str, body: dict[str, Any]) -> RunRequest:
    """Who asked and why: the pipeline's parameter `request`, or what the API knows."""
    given = parameters.get("request")
    if isinstance(given, dict) and given:
        try:
            return RunRequest.model_validate(given)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in problem["loc"])
            raise ApiError("INVALID_ARGUMENT", f"parameter 'request': {field}: {problem['msg']}") from error
    cause = "schedule" if body.get("recurring_run_id") else "person"
    return RunRequest.model_validate({"cause": cause, "actor": actor})


def _config(parameters: dict[str, Any], pipeline: str) -> dict[str, Any]:
    """What the run's record calls its config: the sections that the pipeline takes, and a name."""
    slug = use_case_name(str(parameters.get("name") or pipeline))
    return {**{key: parameters[key] for key in parameters if key in SECTIONS}, "name": slug}
