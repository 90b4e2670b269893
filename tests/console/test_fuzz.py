"""Schema-driven fuzzing of every route of the console, its login gate and its websocket."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.console.browser import console
from tests.console.test_frames import GARBAGE, GOOD
from tests.e2e.use_case import UseCase
from tests.fuzzing import Fuzzer, Sent, counts, requests_of

MOST_GROWTH_MB = 250.0
UNEXPECTED = b"This did not work; the server"
"""What a page says of an error that was meant for nobody."""
SOCKET = "/_nicegui_ws/socket.io/"
STRING: dict[str, Any] = {"schema": {"type": "string"}}
FORM = {
    "content": {
        "application/x-www-form-urlencoded": {
            "schema": {
                "type": "object",
                "properties": {"token": {"type": "string"}, "next": {"type": "string"}},
            }
        }
    }
}
BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@dataclass(frozen=True)
class Console:
    """A console with the records of three runs, and who may ask it."""

    url: str
    process: int
    tokens: dict[str, str]
    log: Path
    runs: list[str]

    def fuzzer(self, role: str = "") -> Fuzzer:
        """Who has the role, or nobody's session, and comes from the console's own pages."""
        headers = {"Origin": self.url}
        if role:
            headers["Cookie"] = self.cookie(role)
        return Fuzzer(self.url, headers)

    def cookie(self, role: str) -> str:
        """A fresh session."""
        parts = urlsplit(self.url)
        asked = HTTPConnection(parts.hostname or "", parts.port or 80)
        asked.request("GET", f"/login?token={self.tokens[role]}")
        cookie = asked.getresponse().headers["set-cookie"].partition(";")[0]
        asked.close()
        return cookie

    def memory_mb(self) -> float:
        """Resident memory of its process."""
        lines = Path(f"/proc/{self.process}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@pytest.fixture(scope="module")
def fuzzed(use_case: UseCase) -> Iterator[Console]:
    with console(use_case) as (url, tokens):
        state = json.loads((use_case.state / "console" / "console.json").read_text())
        runs = [folder.name for folder in use_case.runs()]
        found = Console(url, state["pid"], tokens, use_case.folder / "console.log", runs)
        serves(found)
        yield found


def description(case: UseCase) -> dict[str, Any]:
    """All routes as the console has them, and those that its gate and the websocket answer."""
    command = [sys.executable, "-m", "tests.console.described"]
    place = case.place() | {"cwd": Path(__file__).parents[2]}
    spec: dict[str, Any] = json.loads(
        subprocess.run(command, **place, capture_output=True, check=True).stdout
    )
    words = [{"name": name, "in": "query", **STRING} for name in ("token", "next")]
    polling = [
        {"name": name, "in": "query", **STRING}
        for name in ("EIO", "transport", "sid", "client_id", "tab_id", "document_id", "implicit_handshake")
    ]
    answer = {"responses": {"200": {"description": ""}}}
    spec["paths"] |= {
        "/login": {
            "get": {"parameters": words, **answer},
            "post": {"requestBody": FORM, **answer},
        },
        SOCKET: {
            "get": {"parameters": polling, **answer},
            "post": {"parameters": polling, "requestBody": BYTES, **answer},
        },
    }
    spec["paths"]["/try/ask"]["post"]["requestBody"] = BYTES
    return spec


def serves(there: Console) -> None:
    """Its first page and that of a run are as they should be."""
    one = there.fuzzer("viewer")
    for path in ("/", f"/runs/{there.runs[0]}", "/models/photos/1"):
        status, page = one.send(Sent("GET", path))
        assert status == 200 and b"Linnet" in page and UNEXPECTED not in page, (path, status)
    one.close()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("count", "part"), counts())
def test_no_request_makes_the_console_fail_grow_or_speak_python(
    fuzzed: Console, use_case: UseCase, count: int, part: int
) -> None:
    def known(parameters: dict[str, Any], draw: random.Random) -> None:
        """Most requests are for what is there."""
        there = {
            "run_id": fuzzed.runs,
            "model": ["photos"],
            "version": ["1", "2"],
            "name": ["photos", "drift"],
        }
        for name in set(parameters) & set(there):
            if draw.random() < 0.6:
                parameters[name] = draw.choice(there[name])

    roles = [fuzzed.fuzzer(), fuzzed.fuzzer("viewer"), fuzzed.fuzzer("operator"), fuzzed.fuzzer("operator")]
    stranger = roles[0]
    before, unexpected = fuzzed.memory_mb(), []
    for number, one in enumerate(requests_of(description(use_case), count, part, known, 2)):
        fuzzer = roles[number // 5 % len(roles)]
        status, content = fuzzer.send(one)
        if UNEXPECTED in content:
            unexpected.append(f"{one!r:.400}")
        if fuzzer is stranger:
            opened = status == 200 and not one.target.startswith("/login")
            assert not opened, f"without a session: {one}"
        if number % 500 == 0:
            serves(fuzzed)
            print(number, f"{fuzzed.memory_mb() - before:.0f} MB more", flush=True)
    faults = [fault for one in roles for fault in one.faults]
    assert not faults, f"{len(faults)} faults: " + "\n".join(sorted(set(faults))[:12])
    assert not unexpected, f"{len(unexpected)} unexpected: " + "\n".join(unexpected[:12])
    found = sum((one.statuses for one in roles), start=type(stranger.statuses)())
    print(found, f"{fuzzed.memory_mb() - before:.0f} MB more")
    assert found[200] and found[401] and found[404] and found[422], found
    assert fuzzed.memory_mb() - before < MOST_GROWTH_MB
    serves(fuzzed)
    said = fuzzed.log.read_text()
    assert "Traceback" not in said, said[said.index("Traceback") - 300 :][:4000]
    for one in roles:
        one.close()


FORGED = "operator.9999999999.00.00"


def opened(
    there: Console, headers: dict[str, str], query: str = "EIO=4&transport=websocket"
) -> ClientConnection:
    url = there.url.replace("http://", "ws://") + f"{SOCKET}?{query}"
    return connect(url, additional_headers=headers, origin=None, open_timeout=30, close_timeout=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Cookie": ""},
        {"Cookie": f"linnet_console={FORGED}"},
        {"Cookie": "\x00\xff; =; ;;"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"X-Forwarded-Host": "127.0.0.1"},
    ],
)
def test_websocket_opens_for_no_stranger(fuzzed: Console, headers: dict[str, str]) -> None:
    """Neither without a session, nor with one from a page of somebody else's."""
    name = fuzzed.cookie("operator").partition("=")[0]
    foreign = "Host" in headers or headers.get("Origin") is not None
    given = {"Origin": fuzzed.url, **headers}
    if foreign:
        given["Cookie"] = fuzzed.cookie("operator")
    elif "Cookie" in given:
        given["Cookie"] = given["Cookie"].replace("linnet_console=", f"{name}=")
    with pytest.raises((InvalidStatus, InvalidHandshake)) as refused:
        opened(fuzzed, given)
    assert getattr(refused.value, "response", None) is None or refused.value.response.status_code in (
        400,
        401,
        403,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("count", "part"), counts(200))
def test_no_frame_on_the_websocket_makes_the_console_fail_or_grow(
    fuzzed: Console, count: int, part: int
) -> None:
    draw, before, sent, refused = random.Random(part), fuzzed.memory_mb(), 0, 0
    headers = {"Origin": fuzzed.url, "Cookie": fuzzed.cookie("viewer")}
    while sent < count:
        with opened(fuzzed, headers) as socket:
            assert str(socket.recv(30)).startswith("0{")
            try:
                for frame in ["40", *draw.choices(GOOD, k=draw.randint(0, 3)), draw.choice(GARBAGE), "2"]:
                    sent += 1
                    socket.send(frame)
                while True:
                    socket.recv(30)
            except ConnectionClosed as closed:
                refused += closed.rcvd is not None and closed.rcvd.code == 4400
    print(f"{sent} frames, {refused} sockets refused, {fuzzed.memory_mb() - before:.0f} MB more")
    assert refused > 0
    serves(fuzzed)
    assert fuzzed.memory_mb() - before < MOST_GROWTH_MB
    said = fuzzed.log.read_text()
    assert "Traceback" not in said, said[said.index("Traceback") - 300 :][:4000]
