"""The gate before a small app that says which role it saw."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from linnet.console.access import ConsoleAccess, cookie_name
from linnet.console.auth_middleware import AuthMiddleware

HERE = "http://127.0.0.1:8080"
COOKIE = cookie_name("127.0.0.1:8080", secure=False)


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


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r//evil.example",
        "\t//evil.example",
        "/ /evil.example",
        "javascript:alert(1)",
        "\\\\evil.example",
        "",
    ],
)
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


@pytest.mark.parametrize(
    "path",
    [
        "/apis/v2beta1/runs",
        "/health",
        "/healthz",
        "/linnet/v1/keep-alive",
        "/_nicegui/3/static/x.js",
        "/nowhere",
    ],
)
def test_nothing_is_answered_without_a_session(gate: AuthMiddleware, path: str) -> None:
    assert ask(gate, "GET", path).status_code == 401
    assert ask(gate, "POST", path, headers={"origin": HERE}).status_code == 401


def session(gate: AuthMiddleware, token: str = "operator-token") -> dict[str, str]:
    opened = ask(gate, "GET", f"/login?token={token}")
    return {"cookie": opened.headers["set-cookie"].partition(";")[0]}


def test_log_out_ends_the_session_for_whoever_copied_its_cookie(gate: AuthMiddleware) -> None:
    copied, other = session(gate), session(gate)
    assert ask(gate, "GET", "/", headers=copied).text == "operator"
    ended = ask(gate, "POST", "/logout", headers=copied | {"origin": HERE})
    assert ended.status_code == 303 and "Max-Age=0" in ended.headers["set-cookie"]
    assert ask(gate, "GET", "/", headers=copied).status_code == 401
    assert ask(gate, "GET", "/", headers=other).text == "operator", "another session goes on"


def test_log_out_outlives_a_restart(tmp_path: Path) -> None:
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("in"))])
    access = ConsoleAccess.of(tmp_path / "access.json")
    cookie = {"cookie": f"{COOKIE}={access.cookie('operator')}"}
    before = AuthMiddleware(app, access)
    assert ask(before, "GET", "/", headers=cookie).text == "in"
    ask(before, "POST", "/logout", headers=cookie | {"origin": HERE})
    after = AuthMiddleware(app, ConsoleAccess.of(tmp_path / "access.json"))
    assert ask(after, "GET", "/", headers=cookie).status_code == 401


def test_open_websocket_closes_when_its_session_is_over(access: ConsoleAccess) -> None:
    """A page that was open in another tab promoted a model after the log-out."""
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            heard.append(message["text"])
            await send({"type": "websocket.send", "text": "done"})

    gate = AuthMiddleware(app, access)
    cookie, sent = access.cookie("operator"), []
    acts = ["2", "3"]

    async def receive() -> dict[str, Any]:
        text = acts.pop(0)
        if text == "3":
            live = access.session_of(cookie)
            assert live is not None
            access.ended.add(live)
        return {"type": "websocket.receive", "text": text}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    headers = {"cookie": f"{COOKIE}={cookie}", "origin": HERE, "host": "127.0.0.1:8080"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(
        gate({"type": "websocket", "path": "/ws", "headers": raw, "query_string": b""}, receive, send)
    )
    assert heard == ["2"]
    assert sent == ["websocket.accept", "websocket.send", "websocket.close"]


def test_person_of_an_ended_session_may_only_look(access: ConsoleAccess) -> None:
    """What a page remembers of its request is asked again when a button is pressed."""
    from linnet.console.context import role_of

    roles: list[str] = []
    seen: list[Request] = []

    async def page(request: Request) -> PlainTextResponse:
        seen.append(request)
        roles.append(role_of(request))
        return PlainTextResponse("")

    gate = AuthMiddleware(Starlette(routes=[Route("/", page)]), access)
    cookie = access.cookie("operator")
    ask(gate, "GET", "/", headers={"cookie": f"{COOKIE}={cookie}"})
    live = access.session_of(cookie)
    assert live is not None
    access.ended.add(live)
    assert [*roles, role_of(seen[0])] == ["operator", "viewer"]


def test_consoles_of_one_machine_have_cookies_of_their_own() -> None:
    names = {cookie_name("127.0.0.1:8080", False), cookie_name("127.0.0.1:8081", False)}
    assert len(names) == 2
    assert cookie_name("console.example.org", True).startswith("__Host-")


def test_cookie_behind_tls_is_bound_to_its_host(access: ConsoleAccess) -> None:
    gate = AuthMiddleware(Starlette(), access, frozenset({"console.example.org"}))

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(gate)
        async with httpx.AsyncClient(transport=transport, base_url="https://console.example.org") as client:
            return await client.get("/login?token=view-token")

    cookie = asyncio.run(go()).headers["set-cookie"]
    assert cookie.startswith("__Host-") and "; Secure" in cookie and "Path=/;" in cookie


@pytest.mark.parametrize("path", ["/a%00b", "/runs/%0d%0aSet-Cookie:x=1", "/%0a", "/models/x/%1f"])
def test_control_characters_in_a_path_are_one_clear_refusal(gate: AuthMiddleware, path: str) -> None:
    for headers in ({}, session(gate), {"accept": "text/html"}):
        answer = ask(gate, "GET", path, headers=headers)
        assert answer.status_code == 400 and "set-cookie" not in answer.headers
        assert "control characters" in answer.text


@pytest.mark.parametrize("query", ["next=%0d%0aX-Evil:1", "token=%ff%fe", "a&" * 5000, "next=" + "/a" * 3000])
def test_hostile_login_is_answered_like_any_other(gate: AuthMiddleware, query: str) -> None:
    answer = ask(gate, "GET", f"/login?{query}")
    assert answer.status_code in (200, 401) and "x-evil" not in answer.headers


def test_login_reads_no_more_than_a_token(gate: AuthMiddleware) -> None:
    answer = ask(gate, "POST", "/login", content=b"token=" + b"x" * 100_000, headers={"origin": HERE})
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere", "/login?token=operator-token"])
def test_every_answer_is_hardened(gate: AuthMiddleware, path: str) -> None:
    for headers in ({}, session(gate)):
        got = ask(gate, "GET", path, headers=headers).headers
        policy = got["content-security-policy"]
        scripts = next(part for part in policy.split("; ") if part.startswith("script-src "))
        assert "'unsafe-inline'" not in scripts and "'nonce-" in scripts
        for part in (
            "default-src 'none'",
            "script-src-attr 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ):
            assert part in policy
        assert got["x-content-type-options"] == "nosniff" and got["referrer-policy"] == "same-origin"
    nonces = {ask(gate, "GET", "/login").headers["content-security-policy"] for _ in range(3)}
    assert len(nonces) == 3, "a nonce is used once"
