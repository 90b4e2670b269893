"""The gate before the console: an ASGI middleware that asks `access` about every request."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

from linnet.console.access import COOKIE, LOOPBACK, SESSION_SECONDS, ConsoleAccess, Role, refusal
from linnet.console.login import login_page

OPEN_PATHS = ("/_nicegui/", "/console/style")
"""Scripts and styles of the page, which are the same for everyone and say nothing."""
FOREIGN_PATHS = ("/apis/", "/health", "/linnet/")
"""Paths of the engine, which guards them itself."""


class AuthMiddleware:
    """Lets a request through with its role, sends a person to the login, and refuses everything else."""

    def __init__(self, app: Any, access: ConsoleAccess, hosts: frozenset[str] = LOOPBACK) -> None:
        self._app, self._access, self._hosts = app, access, hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One ASGI connection."""
        path = scope.get("path", "")
        if scope["type"] == "lifespan" or path.startswith(FOREIGN_PATHS):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        websocket = scope["type"] == "websocket"
        method = scope.get("method", "GET")
        why = refusal(headers.get("host", ""), headers.get("origin"), method, websocket, self._hosts)
        if why:
            await _refuse(scope, send, 403, why)
        elif path == "/login":
            await self._login(scope, receive, send)
        elif path == "/logout" and method == "POST":
            await _redirect(send, "/login", f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
        elif path.startswith(OPEN_PATHS):
            await self._app(scope, receive, send)
        elif (role := self._role(headers.get("cookie", ""))) is not None:
            scope["linnet_role"] = role
            await self._app(scope, receive, send)
        elif websocket or "text/html" not in headers.get("accept", ""):
            await _refuse(scope, send, 401, "log in first")
        else:
            query = scope.get("query_string", b"").decode("latin-1")
            wanted = path + (f"?{query}" if query else "")
            await _redirect(send, "/login" + (f"?next={quote(wanted)}" if wanted != "/" else ""))

    def _role(self, header: str) -> Role | None:
        try:
            cookie = SimpleCookie(header).get(COOKIE)
        except CookieError:
            return None
        try:
            return self._access.role_of_cookie(cookie.value) if cookie else None
        except ValueError:
            return None

    async def _login(self, scope: Any, receive: Any, send: Any) -> None:
        """The form; a token in it, or in the link that `linnet up` prints, opens the console."""
        from starlette.requests import Request

        request = Request(scope, receive)
        form = await request.form() if scope["method"] == "POST" else request.query_params
        token, wanted = str(form.get("token", "")).strip(), str(form.get("next", "/"))
        role = self._access.role_of_token(token) if token else None
        if role is None:
            page = login_page(wanted, "That is not a token of this console." if token else "")
            await _answer(send, 401 if token else 200, page.encode(), "text/html; charset=utf-8")
            return
        # Only a path of our own: a link must not send someone who logged in to another site.
        target = wanted if wanted.startswith("/") and not wanted.startswith(("//", "/\\")) else "/"
        cookie = f"{COOKIE}={self._access.cookie(role)}; Path=/; Max-Age={SESSION_SECONDS}"
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        await _redirect(send, target, f"{cookie}; HttpOnly; SameSite=Strict{secure}")


async def _refuse(scope: Any, send: Any, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4000 + status, "reason": why[:120]})
    else:
        await _answer(send, status, why.encode(), "text/plain; charset=utf-8")


async def _redirect(send: Any, target: str, cookie: str = "") -> None:
    headers = [(b"location", target.encode("latin-1", "replace"))]
    headers += [(b"set-cookie", cookie.encode())] if cookie else []
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _answer(send: Any, status: int, body: bytes, kind: str) -> None:
    headers = [
        (b"content-type", kind.encode()),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"same-origin"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
