"""Web servers: a client that asks now and then keeps its connection."""

from __future__ import annotations

import re
import threading
import time
from http.client import HTTPConnection
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from linnet.errors import RunError
from linnet.process.web import KEEP_ALIVE_SECONDS, listen, url_of, web_server
from tests.test_house import MODULES, ROOT

POLLING_SECONDS = (1, 5, 10, 15, 30, 60)
"""What people and SDKs commonly wait between two questions."""


@pytest.mark.slow
def test_client_that_asks_every_few_seconds_keeps_its_connection() -> None:
    async def hello(_: Any) -> PlainTextResponse:
        return PlainTextResponse("hello")

    listening = listen("test server", "127.0.0.1", 0)
    server = web_server(Starlette(routes=[Route("/", hello)]))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        client = HTTPConnection(url_of(listening, "127.0.0.1").removeprefix("http://"))
        sockets = set()
        for pause in (0, 5.5):  # uvicorn's own limit is 5 s
            time.sleep(pause)
            client.request("GET", "/")
            sockets.add(client.sock)
            assert client.getresponse().read() == b"hello"
        client.close()
        assert len(sockets) == 1, "the second question went over the same connection"
    finally:
        server.should_exit = True
        thread.join()


def test_every_common_polling_interval_is_shorter_than_the_server_waits() -> None:
    assert max(POLLING_SECONDS) + 10 < KEEP_ALIVE_SECONDS


def test_no_server_is_made_in_another_way() -> None:
    made = re.compile(r"uvicorn\.Config\(")
    found = {str(path.relative_to(ROOT)) for path in MODULES if made.search(path.read_text("utf-8"))}
    assert {path for path in found if path.startswith("linnet/")} == {"linnet/process/web.py"}


def test_port_that_is_taken_is_one_message() -> None:
    with listen("first", "127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"the console cannot listen on 127.0.0.1:{port}: .*another port"):
            listen("console", "127.0.0.1", port)
