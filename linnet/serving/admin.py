"""The admin routes: versions, routing table, and the stream of served records. A token is needed."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from linnet.errors import RequestRejected, ServingError
from linnet.serving.exchange import Response, read_body
from linnet.serving.fleet import Fleet
from linnet.serving.metrics import Metrics
from linnet.serving.protocol import parse_json
from linnet.serving.ring import PAGE, ServedRing
from linnet.serving.router import RoutingTable

_BODY = 1 << 16


class Admin:
    """Answers /admin/...; loading runs in a thread of its own, beside the requests."""

    def __init__(self, fleet: Fleet, ring: ServedRing, metrics: Metrics, token: str) -> None:
        self._fleet, self._ring, self._metrics = fleet, ring, metrics
        self._token = f"Bearer {token}".encode()
        self._pool = ThreadPoolExecutor(1, "admin")
        self.show_roles()

    async def handle(self, scope: Any, proto: Any, parts: list[str]) -> Response:
        """Answers the admin route `parts`.

        Raises:
            RequestRejected: 401 without the token; 404, 405; 400, 409, 422 for what cannot be done.
        """
        given = scope.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, self._token):
            raise RequestRejected(401, "Authorization: Bearer with the token of the state file is needed")
        known: dict[tuple[str, str], Callable[[], Any]] = {}
        if parts == ["routes"]:
            known = {("GET", "routes"): self._routes, ("PUT", "routes"): lambda: self._route(scope, proto)}
        elif parts == ["records"]:
            known = {("GET", "records"): lambda: self._records(scope)}
        elif len(parts) == 2 and parts[0] == "versions" and parts[1]:
            known = {
                ("PUT", "versions"): lambda: self._load(scope, proto, parts[1]),
                ("DELETE", "versions"): lambda: self._unload(parts[1]),
            }
        if not known:
            raise RequestRejected(404, f"there is nothing at {scope.path:.200}")
        handler = known.get((scope.method, parts[0]))
        if handler is None:
            allowed = " or ".join(method for method, _ in known)
            raise RequestRejected(405, f"{scope.method} is not allowed here; use {allowed}")
        response: Response = await handler()
        return response

    def show_roles(self) -> None:
        """Puts the loaded versions and their roles into the metrics."""
        snapshot = self._fleet.snapshot
        roles = {snapshot.table.champion: "champion", snapshot.table.candidate: "candidate"}
        self._metrics.loaded({version: roles.get(version, "idle") for version in snapshot.predictors})

    def close(self) -> None:
        """Ends the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _routes(self) -> Response:
        return Response.of(self._fleet.describe())

    async def _route(self, scope: Any, proto: Any) -> Response:
        table = RoutingTable.parse(parse_json(await read_body(scope.headers, proto, _BODY)))
        self._fleet.route(table)
        self.show_roles()
        return Response.of(self._fleet.describe())

    async def _load(self, scope: Any, proto: Any, version: str) -> Response:
        values = parse_json(await read_body(scope.headers, proto, _BODY))
        folder = values.get("package") if isinstance(values, dict) else None
        if not isinstance(folder, str) or not folder:
            raise RequestRejected(400, 'the body must be {"package": FOLDER}')
        loop = asyncio.get_running_loop()
        try:
            predictor = await loop.run_in_executor(self._pool, self._fleet.load, version, Path(folder))
        except RequestRejected:
            raise
        except ServingError as error:
            raise RequestRejected(422, str(error)) from error
        self.show_roles()
        return Response.of({"version": version, "model_digest": predictor.package.model_digest})

    async def _unload(self, version: str) -> Response:
        self._fleet.unload(version)
        self.show_roles()
        return Response.of({"version": version, "unloaded": True})

    async def _records(self, scope: Any) -> Response:
        query = parse_qs(scope.query_string)
        after, limit = _number(query, "after", 0), _number(query, "limit", PAGE)
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: Response.of(self._ring.since(after, min(limit, PAGE)))
        )


def _number(query: dict[str, list[str]], field: str, default: int) -> int:
    text = query.get(field, [str(default)])[0]
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise RequestRejected(400, f"{field}: must be a whole number from 0, not {text!r:.80}")
    return int(text)
