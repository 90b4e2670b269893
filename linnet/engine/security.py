"""Who may call the engine: the bearer token, the `Host` and the `Origin` of a request, and its size.

A web page in a browser on this machine can reach a loopback port. `Host` is checked against DNS
rebinding, `Origin` against requests of other sites; a request of another kind than JSON or an upload
cannot change anything.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linnet.engine.api_errors import ApiError

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_OPEN = {"/apis/v2beta1/healthz"}
"""Says only that somebody is there."""


@dataclass(frozen=True)
class Guard:
    """What a request must be like."""

    hosts: frozenset[str]
    token: str
    """Bearer token; empty: none is asked for."""
    limit: int
    """Largest body, in bytes."""

    @classmethod
    def of(cls, bind: str, names: tuple[str, ...], token: str, limit_mb: float) -> Guard:
        """The guard of a server that is bound to an address.

        Raises:
            ApiError: it would be open to a network without a token.
        """
        if not is_loopback(bind) and not token:
            raise ApiError(
                "FAILED_PRECONDITION",
                f"engine.bind is {bind}, which others can reach: set LINNET_ENGINE_TOKEN to a secret of "
                "16 characters or more, or bind to 127.0.0.1",
            )
        if token and len(token) < 16:
            raise ApiError("FAILED_PRECONDITION", "LINNET_ENGINE_TOKEN is too short: 16 characters or more")
        return cls(frozenset({*_LOCAL, bind, *names}), token, int(limit_mb * 1e6))

    def check(self, headers: dict[str, str], path: str) -> None:
        """Refuses what may not come in."""
        host = _name("//" + headers.get("host", ""))
        if host not in self.hosts:
            raise ApiError("PERMISSION_DENIED", f"Host {host!r} is not this server's (engine.allowed_hosts)")
        origin = headers.get("origin", "")
        if origin and _name(origin) not in self.hosts:
            raise ApiError("PERMISSION_DENIED", f"requests of pages of {origin} are not answered")
        given = headers.get("authorization", "").removeprefix("Bearer ").encode()
        if self.token and path not in _OPEN and not hmac.compare_digest(given, self.token.encode()):
            raise ApiError(
                "UNAUTHENTICATED", "the request needs the engine's bearer token (LINNET_ENGINE_TOKEN)"
            )
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self.limit:
            raise self.too_large()

    def too_large(self) -> ApiError:
        """What a body that is too large gets."""
        return ApiError(
            "INVALID_ARGUMENT", f"the request has more than {self.limit / 1e6:g} MB (engine.max_upload_mb)"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class GuardMiddleware:
    """Puts a guard before an application."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        try:
            self._guard.check(headers, scope["path"])
            await self._app(scope, self._limited(receive), send)
        except ApiError as refusal:
            await _refuse(scope, refusal, send)

    def _limited(self, receive: Receive) -> Receive:
        """Counts what comes in: a body may come in pieces, without a length."""
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._guard.limit:
                raise self._guard.too_large()
            return message

        return limited


async def _refuse(scope: Scope, refusal: ApiError, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body: dict[str, Any] = refusal.body()
    headers = [(b"content-type", b"application/json")]
    if refusal.reason == "UNAUTHENTICATED":
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def _name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
