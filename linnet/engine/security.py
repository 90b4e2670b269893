"""Who may call the engine: its callers by token or by user, the `Host` and `Origin` of a request, its size.

Being on this machine is no credential: other users are on it, too, and a web page in a browser can reach a
loopback port. `Host` is checked against DNS rebinding, `Origin` and `Sec-Fetch-Site` against requests of
other sites and of other ports; a request of another kind than JSON or an upload cannot change anything.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linnet.engine.api_errors import ApiError
from linnet.process.peer import user_of

Caller = Literal["owner", "guest"]
"""`owner`: showed the token in the state folder, which only who may read all its files can read. `guest`:
showed the token of LINNET_ENGINE_TOKEN, or is a process of the owner's on this machine without any."""

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN = {"/apis/v2beta1/healthz"}
"""Says only that somebody is there."""
_GUARDED_THEMSELVES = "/retraining/"
"""Alertmanager and Prometheus, which are other users' processes: the one has a token of its own, the other
reads numbers. With a token for all, they need that."""
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Guard:
    """What a request must be like."""

    hosts: frozenset[str]
    names: frozenset[str]
    """Those of `hosts` under which a proxy serves it, at the port of its scheme."""
    token: str = field(repr=False)
    """Bearer token that everybody needs; empty: only processes of the owner's are answered."""
    owner: str = field(repr=False)
    """Bearer token of the owner of the state folder."""
    limit: int
    """Largest body, in bytes."""

    @classmethod
    def of(cls, bind: str, names: tuple[str, ...], token: str, limit_mb: float, owner: str = "") -> Guard:
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
        return cls(frozenset({*_LOCAL, bind, *names}), frozenset(names), token, owner, int(limit_mb * 1e6))

    def check(
        self, headers: dict[str, str], path: str, is_ours: Callable[[], bool] = lambda: False
    ) -> Caller:
        """Who calls.

        Args:
            headers: of the request, their names in lower case.
            path: what is asked for.
            is_ours: whether the other end of the connection is a process of this engine's own user.

        Raises:
            ApiError: the request may not come in.
        """
        self._check_site(headers)
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self.limit:
            raise self.too_large()
        given = headers.get("authorization", "").removeprefix("Bearer ").encode()
        if self.owner and hmac.compare_digest(given, self.owner.encode()):
            return "owner"
        if path in _OPEN:
            return "guest"
        if self.token:
            if hmac.compare_digest(given, self.token.encode()):
                return "guest"
            raise ApiError(
                "UNAUTHENTICATED", "the request needs the engine's bearer token (LINNET_ENGINE_TOKEN)"
            )
        if path.startswith(_GUARDED_THEMSELVES):
            return "guest"
        # What a proxy passes on is its users' and not its own.
        if is_ours() and not any(name in headers for name in _FORWARDED):
            return "guest"
        raise ApiError(
            "UNAUTHENTICATED",
            "only processes of the user who started the engine are answered without a token: send the one "
            "in engine/owner.token of its state folder, or start it with LINNET_ENGINE_TOKEN",
        )

    def _check_site(self, headers: dict[str, str]) -> None:
        authority = headers.get("host", "").lower()
        host = _name("//" + authority)
        if host not in self.hosts:
            raise ApiError("PERMISSION_DENIED", f"Host {host!r} is not this server's (engine.allowed_hosts)")
        origin = headers.get("origin", "")
        if origin and not self._is_own(origin.lower(), authority):
            raise ApiError("PERMISSION_DENIED", f"requests of pages of {origin} are not answered")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise ApiError("PERMISSION_DENIED", "requests of pages of other sites are not answered")

    def _is_own(self, origin: str, authority: str) -> bool:
        """Whether a page's origin is this very server: name and port, or a proxy's name at its usual port."""
        try:
            parts = urlsplit(origin)
            name, port, usual = parts.hostname, parts.port, _DEFAULT_PORTS.get(parts.scheme)
        except ValueError:
            return False
        if usual is None:
            return False
        return parts.netloc == authority or (name in self.names and port in (None, usual))

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


def caller_of(scope: Scope) -> Caller:
    """Who calls, as the guard found; nothing that did not come through it is the owner."""
    caller: Caller = scope.get("linnet_caller", "guest")
    return caller


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
            scope["linnet_caller"] = self._guard.check(headers, scope["path"], lambda: _is_ours(scope))
            await self._app(scope, self._limited(receive), _plain(send))
        except ApiError as refusal:
            await _refuse(scope, refusal, _plain(send))

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


def _is_ours(scope: Scope) -> bool:
    """Whether this user's process is at the other end of a request's connection."""
    peer, here = scope.get("client"), scope.get("server")
    if not peer or not here or not is_loopback(peer[0]):
        return False
    return user_of((peer[0], peer[1]), (here[0], here[1])) == os.geteuid()


def _plain(send: Send) -> Send:
    """Adds to every answer that it is what its type says, is no page of this origin, and is framed nowhere.

    A report that a run wrote would otherwise be a page that may call this API.
    """

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_HARDENED]}
        await send(message)

    return sent


_HARDENED = [
    (b"content-security-policy", b"sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
     b"frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]  # fmt: skip


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
