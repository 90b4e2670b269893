"""The gate before a small app that says which role it saw."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from linnet.console.access import COOKIE, ConsoleAccess
from linnet.console.auth_middleware import AuthMiddleware

HERE = "http://127.0.0.1:8080"


@pytest.fixture
def access() -> ConsoleAccess:
    return ConsoleAccess("view-token", "operator-token", "key")


@pytest.fixture
def gate(access: ConsoleAccess) -> AuthMiddleware:
    async def role(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.scope.get("linnet_role")))

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.scope["linnet_role"])
        await websocket.close()

    routes = [Route("/{path:path}", role, methods=["GET", "POST"]), WebSocketRoute("/ws", socket)]
    return AuthMiddleware(Starlette(routes=routes), access)


def ask(gate: AuthMiddleware, method: str, path: str, **options: Any) -> httpx.Response:
    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url=HERE) as client:
            return await client.request(method, path, **options)

    return asyncio.run(go())


def test_person_without_a_cookie_is_sent_to_the_login_and_back(gate: AuthMiddleware) -> None:
    sent = ask(gate, "GET", "/runs?state=failed", headers={"accept": "text/html"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/runs%3Fstate%3Dfailed")
    page = ask(gate, "GET", sent.headers["location"])
    assert page.status_code == 200 and 'value="/runs?state=failed"' in page.text


def test_program_without_a_cookie_gets_401(gate: AuthMiddleware) -> None:
    assert ask(gate, "GET", "/artifacts/x/0/y").status_code == 401


@pytest.mark.parametrize(("token", "role"), [("operator-token", "operator"), ("view-token", "viewer")])
def test_token_of_a_role_opens_the_console_as_that_role(gate: AuthMiddleware, token: str, role: str) -> None:
    opened = ask(gate, "GET", f"/login?token={token}")
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    value = cookie.partition("=")[2].partition(";")[0]
    assert ask(gate, "GET", "/", headers={"cookie": f"{COOKIE}={value}"}).text == role


def test_wrong_token_opens_nothing(gate: AuthMiddleware) -> None:
    refused = ask(gate, "POST", "/login", data={"token": "guess"}, headers={"origin": HERE})
    assert refused.status_code == 401 and "set-cookie" not in refused.headers
    assert "not a token" in refused.text and "guess" not in refused.text


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_login_leads_to_no_other_site(gate: AuthMiddleware, target: str) -> None:
    opened = ask(gate, "GET", "/login", params={"token": "view-token", "next": target})
    assert opened.headers["location"] == "/"


def test_forged_and_broken_cookies_open_nothing(gate: AuthMiddleware, access: ConsoleAccess) -> None:
    forged = access.cookie("viewer").replace("viewer", "operator")
    for cookie in (f"{COOKIE}={forged}", f"{COOKIE}=operator.x.y", f'{COOKIE}="', "=;;="):
        assert ask(gate, "GET", "/", headers={"cookie": cookie}).status_code == 401


def test_post_from_another_site_is_refused_even_with_the_cookie(
    gate: AuthMiddleware, access: ConsoleAccess
) -> None:
    headers = {"cookie": f"{COOKIE}={access.cookie('operator')}", "origin": "http://evil.example"}
    refused = ask(gate, "POST", "/try/ask", headers=headers)
    assert refused.status_code == 403 and "another site" in refused.text
    assert ask(gate, "POST", "/try/ask", headers=headers | {"origin": HERE}).text == "operator"


def test_name_that_only_points_here_is_refused(gate: AuthMiddleware, access: ConsoleAccess) -> None:
    headers = {"cookie": f"{COOKIE}={access.cookie('operator')}", "host": "evil.example:8080"}
    assert ask(gate, "GET", "/", headers=headers).status_code == 403


def connect(gate: AuthMiddleware, headers: dict[str, str]) -> list[str]:
    """What the gate or the app sends to a websocket."""
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message.get("text") or message["type"])

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "path": "/ws", "headers": raw, "query_string": b"", "root_path": ""}
    asyncio.run(gate(scope, receive, send))
    return sent


def test_websocket_needs_cookie_and_own_page(gate: AuthMiddleware, access: ConsoleAccess) -> None:
    good = {"cookie": f"{COOKIE}={access.cookie('viewer')}", "origin": HERE, "host": "127.0.0.1:8080"}
    assert connect(gate, good) == ["websocket.accept", "viewer", "websocket.close"]
    assert connect(gate, good | {"origin": "http://evil.example"}) == ["websocket.close"]
    assert connect(gate, good | {"cookie": ""}) == ["websocket.close"]


def test_engine_guards_its_own_paths(gate: AuthMiddleware) -> None:
    assert ask(gate, "POST", "/apis/v2beta1/runs").text == "None"
