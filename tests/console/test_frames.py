"""What a page of the console sends over its websocket passes the gate, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from linnet.console.access import ConsoleAccess, cookie_name
from linnet.console.auth_middleware import AuthMiddleware
from linnet.console.frames import is_from_a_page

GOOD = [
    "2", "3", "40", "40{}", '42["ack",{"client_id":"x","next_message_id":3}]', '42["event",{"client_id":"x","id":7}]',
    '420["handshake",{"client_id":"x","tab_id":"t","document_id":"d","next_message_id":0}]',
    '42["event",{"client_id":"x","id":7,"listener_id":"l","args":["{}",null]}]',
    '42["javascript_response",{"client_id":"x","request_id":"r","result":[1]}]', "430[true]",
    '42["log",{"client_id":"x","level":"error","message":"m"}]',
]  # fmt: skip
GARBAGE: list[str | bytes] = [
    "", "42", '42["event"]', '42["event",null]', '42["event",{}]', '42["event",[]]',
    '42["handshake",{}]', '42["handshake",{"client_id":null}]', '42["ack",{"client_id":1}]', '42["log",7]',
    '42["javascript_response",{"client_id":"x"}]', '42["' + "a" * 70_000 + '"]', "4" * 100_000, "45-", "451-[", "46",
    '451-["event",{"_placeholder":true,"num":0}]', '42["event",{"client_id":{"$gt":""}}]', "\ud7ff", "4\x002", "42[" * 20_000, "42" + "[" * 100_000,
    '42["event",{"client_id":"x","id":"7"}]', '42["event",{"client_id":"x","id":7,"args":[{}]}]',
    '42["log",{"client_id":"x","level":"critical","message":"m"}]', '42["disconnect",{}]', '42/admin,["event",{}]',
    b"", b"\x00" * 70_000, b"4", bytes(range(256)),
]  # fmt: skip
"""What no page sends: frames of engine.io and socket.io that are cut off, too long, of other types or of no kind."""


@pytest.mark.parametrize("frame", GOOD)
def test_frame_of_a_page_passes(frame: str) -> None:
    assert is_from_a_page(frame)


@pytest.mark.parametrize("frame", GARBAGE, ids=range(len(GARBAGE)))
def test_other_frame_closes_the_socket_before_the_framework_reads_it(frame: str | bytes) -> None:
    access, heard, sent = ConsoleAccess("view", "operate", "key"), [], []
    message = {"type": "websocket.receive", "text" if isinstance(frame, str) else "bytes": frame}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (got := await receive())["type"] == "websocket.receive":
            heard.append(got)

    coming = [{"type": "websocket.disconnect"}, message]

    async def receive() -> dict[str, Any]:
        return coming.pop()

    async def send(one: dict[str, Any]) -> None:
        sent.append((one["type"], one.get("code")))

    cookie = f"{cookie_name('127.0.0.1:8080', False)}={access.cookie('operator')}"
    headers = [
        (b"cookie", cookie.encode()),
        (b"host", b"127.0.0.1:8080"),
        (b"origin", b"http://127.0.0.1:8080"),
    ]
    scope = {"type": "websocket", "path": "/ws", "headers": headers, "query_string": b""}
    asyncio.run(AuthMiddleware(app, access)(scope, receive, send))
    assert heard == [] and sent == [("websocket.close", 4400)]
