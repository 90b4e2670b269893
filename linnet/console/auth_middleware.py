"""The gate before the console: an ASGI middleware that asks `access` about every request.

Nothing passes it without a session but the login itself: no route of the framework, none of an app below.
"""

from __future__ import annotations

import re
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote

from linnet.console.access import (
    LOOPBACK,
    SESSION_SECONDS,
    ConsoleAccess,
    cookie_name,
    refusal,
    target_of,
)
from linnet.console.content_security import NONCE, hardened
from linnet.console.frames import is_from_a_page
from linnet.console.login import login_page
from linnet.console.sessions import Session

MOST_LOGIN_BYTES = 8192
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_SESSION = 4401
"""Close code of a websocket whose session is over."""
_NO_FRAME = 4400
"""Close code of a websocket that sent what no page sends."""


class AuthMiddleware:
    """Lets a request through with its role, sends a person to the login, and refuses everything else."""

    def __init__(self, app: Any, access: ConsoleAccess, hosts: frozenset[str] = LOOPBACK) -> None:
        self._app, self._access, self._hosts = app, access, hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One ASGI connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope[NONCE] = secrets.token_urlsafe(16)
        send = _hardening(scope, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path, websocket = scope.get("path", ""), scope["type"] == "websocket"
        host, method = headers.get("host", ""), scope.get("method", "GET")
        name = cookie_name(host, scope.get("scheme") in ("https", "wss"))
        why = refusal(host, headers.get("origin"), method, websocket, self._hosts)
        if why:
            await _refuse(scope, send, 403, why)
        elif _CONTROL.search(path):
            await _refuse(scope, send, 400, "the path has control characters")
        elif path == "/login":
            await self._login(scope, receive, send, name)
        elif (session := self._session(headers.get("cookie", ""), name)) is None:
            await self._send_to_login(scope, send, headers)
        elif path == "/logout" and method == "POST":
            self._access.ended.add(session)
            await _redirect(send, "/login", _cookie(scope, name, "", 0))
        else:
            scope["linnet_role"] = session.role
            scope["linnet_is_over"] = lambda: self._access.is_over(session)
            if websocket:
                receive, send = self._until_over(session, receive, send)
            await self._app(scope, receive, send)

    def _session(self, header: str, name: str) -> Session | None:
        try:
            cookie = SimpleCookie(header).get(name)
        except CookieError:
            return None
        return self._access.session_of(cookie.value) if cookie else None

    def _until_over(self, session: Session, receive: Any, send: Any) -> tuple[Any, Any]:
        """A websocket's two ends, which close when its session is over: it is asked for every message.

        They close, too, when something comes that no page sends.
        """
        closed = False

        async def close(code: int = _NO_SESSION, why: str = "the session is over") -> dict[str, Any]:
            nonlocal closed
            if not closed:
                closed = True
                await send({"type": "websocket.close", "code": code, "reason": why})
            return {"type": "websocket.disconnect", "code": code}

        async def received() -> Any:
            message = await receive()
            if message["type"] == "websocket.receive":
                if self._access.is_over(session):
                    return await close()
                if not is_from_a_page(message.get("text")):
                    return await close(_NO_FRAME, "no page of the console sends this")
            return message

        async def sent(message: Any) -> None:
            if message["type"] == "websocket.send" and self._access.is_over(session):
                await close()
            elif not closed:
                await send(message)

        return received, sent

    async def _send_to_login(self, scope: Any, send: Any, headers: dict[str, str]) -> None:
        if scope["type"] == "websocket" or "text/html" not in headers.get("accept", ""):
            await _refuse(scope, send, 401, "log in first")
            return
        query = scope.get("query_string", b"").decode("latin-1")
        wanted = quote(scope["path"]) + (f"?{query}" if query else "")
        await _redirect(send, "/login" + (f"?next={quote(wanted, safe='/')}" if wanted != "/" else ""))

    async def _login(self, scope: Any, receive: Any, send: Any, name: str) -> None:
        """The form; a token in it, or in the link that `linnet up` prints, opens the console."""
        if scope["type"] == "websocket":
            await _refuse(scope, send, 401, "log in first")
            return
        text = scope.get("query_string", b"").decode("latin-1")
        if scope["method"] == "POST":
            body = await _small_body(receive)
            if body is None:
                await _refuse(scope, send, 413, "a login is no larger than a token")
                return
            text = body.decode("latin-1")
        form = parse_qs(text, max_num_fields=10) if text.count("&") < 10 else {}
        token, wanted = form.get("token", [""])[0].strip(), form.get("next", ["/"])[0]
        role = self._access.role_of_token(token) if token else None
        if role is None:
            page = login_page(target_of(wanted), "That is not a token of this console." if token else "")
            await _answer(send, 401 if token else 200, page.encode(), "text/html; charset=utf-8")
            return
        cookie = _cookie(scope, name, self._access.cookie(role), SESSION_SECONDS)
        await _redirect(send, target_of(wanted), cookie)


def _cookie(scope: Any, name: str, value: str, seconds: int) -> str:
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


async def _small_body(receive: Any) -> bytes | None:
    """The body of a login; None: it is too large."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > MOST_LOGIN_BYTES:
            return None
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return body


def _hardening(scope: Any, send: Any) -> Any:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = hardened(list(message.get("headers", ())), scope[NONCE])
            message = {**message, "headers": headers}
        await send(message)

    return sent


async def _refuse(scope: Any, send: Any, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4000 + status, "reason": why[:120]})
    else:
        await _answer(send, status, why.encode(), "text/plain; charset=utf-8")


async def _redirect(send: Any, target: str, cookie: str = "") -> None:
    headers = [
        (b"location", quote(target, safe="/?&=%#:+,;@!$'()*[]~").encode()),
        (b"cache-control", b"no-store"),
    ]
    headers += [(b"set-cookie", cookie.encode())] if cookie else []
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _answer(send: Any, status: int, body: bytes, kind: str) -> None:
    headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
