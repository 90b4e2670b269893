"""The routes that concern all workers, answered by the supervisor: admin, repository, metrics, feedback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from linnet.errors import RequestRejected
from linnet.serving.feedback import Feedback
from linnet.serving.lease import lease_seconds
from linnet.serving.messages import Request, Response
from linnet.serving.protocol_json import parse_json
from linnet.serving.ring import PAGE
from linnet.serving.router import RoutingTable
from linnet.serving.totals import CONTENT_TYPE
from linnet.serving.version_manager import Control

Route = Callable[[Request], Awaitable[Response]]


class Admin:
    """Answers requests that workers pass on; who may send them was checked there."""

    def __init__(self, name: str, control: Control, feedback: Feedback) -> None:
        self._name, self._control, self._feedback = name, control, feedback

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
        control = self._control
        if parts == ["metrics"]:
            return {"GET": self._metrics}
        if parts == ["feedback"]:
            return {"POST": self._label}
        if parts == ["admin", "routes"]:
            return {"GET": self._described, "PUT": self._route}
        if parts == ["admin", "lease"]:
            return {"POST": self._renew}
        if parts == ["admin", "records"]:
            return {"GET": self._records}
        if parts[:2] == ["admin", "versions"] and len(parts) == 3 and parts[2]:
            version = parts[2]

            async def load(request: Request) -> Response:
                about = await control.load(version, _package(_document(request)))
                return Response.of({"version": version, "model_digest": about["model_digest"]})

            async def unload(_: Request) -> Response:
                await control.unload(version)
                return Response.of({"version": version, "unloaded": True})

            return {"PUT": load, "DELETE": unload}
        return self._repository(parts)

    def _repository(self, parts: list[str]) -> dict[str, Route]:
        """The protocol's model repository extension."""
        if parts == ["v2", "repository", "index"]:
            return {"POST": self._index}
        if parts[:3] == ["v2", "repository", "models"] and len(parts) == 5:
            actions: dict[str, Route] = {"load": self._load, "unload": self._unload}
            if parts[4] in actions and parts[3] != self._name:
                raise RequestRejected(404, f"model {parts[3]:.80} is not served here; {self._name} is")
            return {"POST": actions[parts[4]]} if parts[4] in actions else {}
        return {}

    async def _described(self, _: Request) -> Response:
        return Response.of(self._control.describe())

    async def _route(self, request: Request) -> Response:
        values = _document(request)
        lease = lease_seconds(values.pop("lease_seconds", None))
        await self._control.route(RoutingTable.parse(values), lease)
        return Response.of(self._control.describe())

    async def _renew(self, request: Request) -> Response:
        candidate = _document(request).get("candidate")
        if not isinstance(candidate, str):
            raise RequestRejected(400, "candidate: must be the version whose share is to be kept")
        return Response.of({"candidate": candidate, "lease_seconds": self._control.renew(candidate)})

    async def _records(self, request: Request) -> Response:
        query = parse_qs(request.query)
        after, limit = _number(query, "after", 0), _number(query, "limit", PAGE)
        return Response.of(await self._control.records(after, min(limit, PAGE)))

    async def _metrics(self, _: Request) -> Response:
        return Response(200, await self._control.metrics(), CONTENT_TYPE)

    async def _label(self, request: Request) -> Response:
        classes = {name for about in self._control.versions.values() for name in about["classes"]}
        return Response.of(await self._feedback.take(parse_json(request.body), classes))

    async def _index(self, request: Request) -> Response:
        document = _document(request) if request.body.strip() else {}
        only_ready = document.get("ready", False)
        if not isinstance(only_ready, bool):
            raise RequestRejected(400, "ready: must be true or false")
        control, entries = self._control, []
        gone = control.unloaded[0] if control.unloaded is not None else {}
        for version in sorted({*control.versions, *gone}):
            state = "READY" if version in control.versions else "UNAVAILABLE"
            reason = "" if version in control.versions else "unloaded"
            entries.append({"name": self._name, "version": version, "state": state, "reason": reason})
        shown = [entry for entry in entries if entry["state"] == "READY" or not only_ready]
        return Response.of(shown)

    async def _load(self, request: Request) -> Response:
        parameters = _parameters(request)
        if "version" in parameters or "package" in parameters:
            version = parameters.get("version")
            if not isinstance(version, str):
                raise RequestRejected(400, "parameters.version: must be a string")
            await self._control.load(version, _package(parameters))
        else:
            await self._control.load_model()
        return Response.of({})

    async def _unload(self, request: Request) -> Response:
        parameters = _parameters(request)
        version = parameters.get("version")
        if version is None:
            await self._control.unload_model()
        elif isinstance(version, str):
            await self._control.unload(version)
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
