"""The routes that concern all workers, answered by the supervisor: admin, repository, metrics, feedback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from linnet.config import ServingConfig
from linnet.errors import ConfigError, RequestRejected
from linnet.serving.feedback import Feedback
from linnet.serving.lease import lease_seconds
from linnet.serving.messages import Request, Response
from linnet.serving.models import Models, named
from linnet.serving.protocol_json import parse_json
from linnet.serving.ring import PAGE
from linnet.serving.router import RoutingTable
from linnet.serving.totals import CONTENT_TYPE
from linnet.serving.version_manager import Control

Route = Callable[[Request], Awaitable[Response]]


class Admin:
    """Answers requests that workers pass on; who may send them was checked there.

    Every address names the model that it is about (where one is served, it may go without); what is asked
    of one never touches another.
    """

    def __init__(self, models: Models, feedback: Feedback) -> None:
        self._models, self._feedback = models, feedback

    async def handle(self, request: Request) -> Response:
        """Answers a request.

        Raises:
            RequestRejected: 404, 405; 400, 409, 422 for what cannot be done.
        """
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        known = self._routes(parts)
        if not known:
            raise RequestRejected(404, f"no such route: {request.path:.200}")
        handler = known.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            problem = f"{request.method:.20} is not allowed here; use {' or '.join(known)}"
            raise RequestRejected(405, problem)
        return await handler(request)

    def _routes(self, parts: list[str]) -> dict[str, Route]:
        """The handlers at a path, by method."""
        if parts == ["metrics"]:
            return {"GET": self._metrics}
        if parts[0] == "feedback" and len(parts) <= 2:
            control = named(self._models.controls, parts[1] if len(parts) == 2 else None, "/feedback/NAME")
            return {"POST": lambda request: self._label(control, request)}
        if parts == ["admin", "models"]:
            return {"GET": self._described}
        if parts[:2] == ["admin", "models"] and parts[2]:
            return self._of_model(parts[2], parts[3:])
        if parts[0] == "admin":
            return self._of_model(None, parts[1:])  # where one model is served, it needs no name
        return self._repository(parts)

    def _of_model(self, name: str | None, parts: list[str]) -> dict[str, Route]:
        """What is asked of one model, by its name or as the only one."""
        if not parts and name is not None:
            return {
                "PUT": lambda request: self._open(name, request),
                "DELETE": lambda _: self._close(name),
            }
        of_version = parts[:1] == ["versions"] and len(parts) == 2 and bool(parts[1])
        if parts not in (["routes"], ["lease"], ["records"]) and not of_version:
            return {}
        control = named(self._models.controls, name, f"/admin/models/NAME/{'/'.join(parts):.80}")
        if parts == ["records"]:
            return {"GET": lambda request: self._records(control, request)}
        if parts == ["lease"]:
            return {"POST": lambda request: self._renew(control, request)}
        if parts == ["routes"]:
            return {
                "GET": lambda _: self._routing(control),
                "PUT": lambda request: self._route(control, request),
            }
        return {
            "PUT": lambda request: self._load_version(control, parts[1], request),
            "DELETE": lambda _: self._unload_version(control, parts[1]),
        }

    def _repository(self, parts: list[str]) -> dict[str, Route]:
        """The protocol's model repository extension."""
        if parts == ["v2", "models"]:
            return {"GET": self._index}
        if parts == ["v2", "repository", "index"]:
            return {"POST": self._index}
        if parts[:3] == ["v2", "repository", "models"] and len(parts) == 5:
            actions = {"load": self._load, "unload": self._unload}
            if parts[4] in actions:
                control = named(self._models.controls, parts[3], "/v2/repository/models/NAME")
                return {"POST": lambda request: actions[parts[4]](control, request)}
        return {}

    async def _described(self, _: Request) -> Response:
        return Response.of([control.describe() for _, control in sorted(self._models.controls.items())])

    async def _open(self, name: str, request: Request) -> Response:
        """Serves another model beside those that are: {"package", "version", and "config" if it has one}."""
        values = _document(request)
        folder, version, given = _package(values), values.get("version"), values.get("config", {})
        if not isinstance(version, str) or not isinstance(given, dict):
            raise RequestRejected(400, "version: must be a string, and config an object")
        try:
            settings = ServingConfig.parse(given)
        except ConfigError as error:
            raise RequestRejected(400, f"config: {error}") from error
        await self._models.serve(name, version, folder, settings)
        return Response.of(self._models.controls[name].describe())

    async def _close(self, name: str) -> Response:
        await self._models.close(name)
        return Response.of({"model": name, "closed": True})

    async def _routing(self, control: Control) -> Response:
        return Response.of(control.describe())

    async def _route(self, control: Control, request: Request) -> Response:
        values = _document(request)
        lease = lease_seconds(values.pop("lease_seconds", None))
        await self._models.wake(control.name)
        await control.route(RoutingTable.parse(values), lease)
        return Response.of(control.describe())

    async def _renew(self, control: Control, request: Request) -> Response:
        candidate = _document(request).get("candidate")
        if not isinstance(candidate, str):
            raise RequestRejected(400, "candidate: must be the version whose share is to be kept")
        return Response.of({"candidate": candidate, "lease_seconds": control.renew(candidate)})

    async def _load_version(self, control: Control, version: str, request: Request) -> Response:
        about = await self._models.load(control, version, _package(_document(request)))
        answer = {"model": control.name, "version": version, "model_digest": about["model_digest"]}
        return Response.of(answer)

    async def _unload_version(self, control: Control, version: str) -> Response:
        await control.unload(version)
        return Response.of({"model": control.name, "version": version, "unloaded": True})

    async def _records(self, control: Control, request: Request) -> Response:
        query = parse_qs(request.query)
        after, limit = _number(query, "after", 0), _number(query, "limit", PAGE)
        return Response.of(await control.records(after, min(limit, PAGE)))

    async def _metrics(self, _: Request) -> Response:
        return Response(200, await self._models.metrics(), CONTENT_TYPE)

    async def _label(self, control: Control, request: Request) -> Response:
        await self._models.wake(control.name)
        if not control.versions:
            problem = (
                f"no version of model {control.name} is loaded, whose classes labels could be: load it first"
            )
            raise RequestRejected(503, problem)
        classes = {name for about in control.versions.values() for name in about["classes"]}
        task = next(iter(control.versions.values()))["task"]
        taken = await self._feedback.take(parse_json(request.body), control.name, classes, task)
        return Response.of(taken)

    async def _index(self, request: Request) -> Response:
        document = _document(request) if request.body.strip() else {}
        only_ready = document.get("ready", False)
        if not isinstance(only_ready, bool):
            raise RequestRejected(400, "ready: must be true or false")
        entries = self._models.index()
        return Response.of([entry for entry in entries if entry["state"] == "READY" or not only_ready])

    async def _load(self, control: Control, request: Request) -> Response:
        parameters = _parameters(request)
        if "version" in parameters or "package" in parameters:
            version = parameters.get("version")
            if not isinstance(version, str):
                raise RequestRejected(400, "parameters.version: must be a string")
            await self._models.load(control, version, _package(parameters))
        else:
            await self._models.wake(control.name)
            await control.load_model()
        return Response.of({})

    async def _unload(self, control: Control, request: Request) -> Response:
        parameters = _parameters(request)
        version = parameters.get("version")
        if version is None:
            await control.unload_model()
        elif isinstance(version, str):
            await control.unload(version)
        else:
            raise RequestRejected(400, "parameters.version: must be a string")
        return Response.of({})


def _document(request: Request) -> dict[str, Any]:
    values = parse_json(request.body)
    if not isinstance(values, dict):
        raise RequestRejected(400, "the body must be a JSON object")
    return values


def _parameters(request: Request) -> dict[str, Any]:
    parameters = _document(request).get("parameters", {}) if request.body.strip() else {}
    if not isinstance(parameters, dict):
        raise RequestRejected(400, "parameters: must be an object")
    return parameters


def _package(values: dict[str, Any]) -> Path:
    folder = values.get("package")
    if not isinstance(folder, str) or not folder:
        raise RequestRejected(400, 'the body must be {"package": FOLDER}')
    try:
        Path(folder).is_dir()
    except OSError as error:  # such as a name that is too long to be one
        raise RequestRejected(400, f"package: {folder[:80]!r}... is no folder ({error.strerror})") from error
    return Path(folder)


def _number(query: dict[str, list[str]], field: str, default: int) -> int:
    text = query.get(field, [str(default)])[0]
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise RequestRejected(400, f"{field}: must be a whole number from 0, not {text!r:.80}")
    return int(text)
