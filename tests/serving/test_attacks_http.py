"""Attacks on the reading of HTTP: trailers, chunks, heads, framing, odd spellings of routes, slow takers."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.serving.attacking import (
    PYTHON_TEXT,
    answers,
    bounded_growth,
    connect,
    heard,
    statuses,
    warm_up,
)
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, png, running
from tests.waiting import until

LAST = b"Connection: close\r\n"  # then nobody need wait to know that no more comes
CHUNKED = b"Transfer-Encoding: chunked\r\n"
BUFFERS_MB = 24
BODY = 3_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("attacks")
    settings = {"workers": 2, "read_timeout_seconds": 5.0, "max_body_mb": 4.0, "buffers_mb": BUFFERS_MB}
    flags = ("--config-json", json.dumps(settings))
    with running(folder, make_package(folder / "package"), "1", *flags) as started:
        warm_up(started)
        yield started


def chunked(path: bytes, after: bytes, method: bytes = b"POST", head: bytes = b"") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + CHUNKED + b"\r\n" + after


def still_serves(server: RunningServer) -> None:
    assert server.client.request("POST", "/predict", png(100))[0] == 200


MEGABYTE = b"A" * (1 << 20)
FIELDS = b"".join(b"T%d: %s\r\n" % (i, b"A" * 1000) for i in range(1000))


@pytest.mark.parametrize(
    ("first", "more"),
    [
        pytest.param(b"3\r\nabc\r\n0\r\n", [FIELDS] * 60, id="many trailers"),
        pytest.param(b"3\r\nabc\r\n0\r\nT: ", [MEGABYTE] * 60, id="one endless trailer value"),
        pytest.param(b"3\r\nabc\r\n0\r\n", [MEGABYTE] * 60, id="one endless trailer name"),
        pytest.param(b"3\r\nabc\r\n0\r\n" + b"T:\r\n" * 200, [], id="many empty trailers"),
        pytest.param(b"3;", [MEGABYTE] * 60, id="an endless chunk extension"),
        pytest.param(b'3;a="', [MEGABYTE] * 60, id="an endless quoted chunk extension"),
        pytest.param(b"0" * 60_000, [b"0" * 60_000] * 20, id="an endless chunk length"),
    ],
)
def test_trailers_and_extensions_are_bounded(server: RunningServer, first: bytes, more: list[bytes]) -> None:
    with bounded_growth(server, 12):
        said = answers(server, chunked(b"/predict", first), more=[*more, b"\r\n\r\n"])
    assert not said or statuses(said)[0] in (400, 431), said[:200]
    still_serves(server)


def test_trailer_with_the_token_opens_no_admin_route(server: RunningServer) -> None:
    trailer = f"0\r\nAuthorization: Bearer {server.state.token}\r\n\r\n".encode()
    for method in (b"GET", b"PUT"):
        assert statuses(answers(server, chunked(b"/admin/routes", trailer, method))) == [401]


def test_trailer_does_not_become_a_header_of_the_next_request(server: RunningServer) -> None:
    trailer = f"0\r\nX: 1\r\nAuthorization: Bearer {server.state.token}\r\n\r\n".encode()
    following = b"GET /admin/routes HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    found = statuses(answers(server, chunked(b"/predict", trailer) + following))
    assert found[1:] in ([], [401]) and found[0] == 415


@pytest.mark.parametrize("name", [b"Content-Length: 40", b"Transfer-Encoding: chunked", b"Connection: close",
                                  b"Linnet-Request-Id: mine", b"Content-Encoding: gzip", b"Host: other"])  # fmt: skip
def test_framing_trailers_change_nothing(server: RunningServer, name: bytes) -> None:
    image = png(100)
    body = b"%x\r\n" % len(image) + image + b"\r\n0\r\n" + name + b"\r\n\r\n"
    said = answers(
        server,
        chunked(b"/predict", body)
        + b"GET /v2/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    )
    assert set(statuses(said)) <= {200, 400} and b"linnet-request-id: mine" not in said
    still_serves(server)


SMUGGLED = b"GET /admin/routes HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(SMUGGLED)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(LENGTH + CHUNKED, id="length and chunked"),
        pytest.param(CHUNKED + LENGTH, id="chunked and length"),
        pytest.param(LENGTH + b"Content-Length: 0\r\n", id="two lengths"),
        pytest.param(b"Content-Length: 0, 40\r\n", id="a list of lengths"),
        pytest.param(b"Content-Length: +40\r\n", id="a signed length"),
        pytest.param(b"Content-Length: -1\r\n", id="a negative length"),
        pytest.param(b"Content-Length: 0x28\r\n", id="a hexadecimal length"),
        pytest.param(b"Content-Length: 4 0\r\n", id="a length with a space"),
        pytest.param(b"Content-Length: 99999999999999999999999\r\n", id="an endless length"),
        pytest.param(b"Content-Length : 40\r\n", id="a space before the colon"),
        pytest.param(b"X: 1\r\n Content-Length: 40\r\n", id="a folded line"),
        pytest.param(b"X: 1\nContent-Length: 40\r\n", id="a bare line feed"),
        pytest.param(b"X: a\0b\r\n", id="a NUL in a value"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n" + LENGTH, id="an unknown coding"),
        pytest.param(b"Transfer-Encoding: chunked, identity\r\n", id="chunked not last"),
        pytest.param(b"Transfer-Encoding:\x0bchunked\r\n" + LENGTH, id="a vertical tab before the coding"),
        pytest.param(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", id="two codings"),
    ],
)
def test_ambiguous_framing_is_refused_and_smuggles_nothing(server: RunningServer, head: bytes) -> None:
    said = answers(server, b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n" + SMUGGLED)
    assert statuses(said) in ([400], [415], []), said[:300]
    assert b"401" not in said  # the smuggled request would have been answered
    still_serves(server)


@pytest.mark.parametrize(
    "line",
    [
        b"GET /admin/routes HTTP/2.0", b"PRI * HTTP/2.0", b"GET /admin/routes", b"GET  /admin/routes HTTP/1.1",
        b"GET /admin/routes HTTP/1.1 HTTP/1.1", b"G\0T / HTTP/1.1", b"CONNECT localhost:22 HTTP/1.1",
        b"TRACE / HTTP/1.1", b"OPTIONS * HTTP/1.1", b"get / HTTP/1.1", b"GET /nowhere HTTP/1.1\r\nUpgrade: h2c",
        b"GET /nowhere HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade", b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET http://169.254.169.254/latest/meta-data HTTP/1.1",
    ],
)  # fmt: skip
def test_odd_request_lines_are_refused_in_words(server: RunningServer, line: bytes) -> None:
    said = answers(server, line + b"\r\nHost: 127.0.0.1\r\n\r\n")
    assert statuses(said) and set(statuses(said)) <= {400, 401, 404, 405}, said[:200]
    assert not any(word.encode() in said for word in PYTHON_TEXT)


@pytest.mark.parametrize(
    "path",
    [
        "/admin/routes", "//admin/routes", "/admin%2froutes", "/%61dmin/routes", "/admin/./routes", "/ADMIN/routes",
        "/x/../admin/routes", "/admin/routes%00", "/admin/routes/", "/admin;a=b/routes", "/admin/routes?token=x",
        "/admin%252froutes", "/v2/../admin/routes", "/v2/repository/models/tiny/unload", "/admin\\routes",
        "/v2/repository%2fmodels/tiny/unload", "/%c0%af/admin/routes", "/admin/records?after=-1",
    ],
)  # fmt: skip
def test_admin_route_by_any_spelling_needs_the_token(server: RunningServer, path: str) -> None:
    for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
        status, _, content = raw(server, method, path)
        assert status in (401, 404), (method, path, status)
        assert not any(word in content for word in PYTHON_TEXT)


@pytest.mark.parametrize(
    "head",
    [
        "Authorization: Bearer ", "Authorization: bearer {token}", "Authorization: Basic {token}",
        "Authorization: Bearer {token}x", "Authorization: Bearer  {token}", "Proxy-Authorization: Bearer {token}",
        "Authorization: Bearer {half}", "X-HTTP-Method-Override: GET", "Cookie: token={token}",
        "Authorization: Bearer lk_00000000_", "Authorization: Bearer lk__", "Authorization: Bearer \xff\xfe",
        "Authorization: Bearer {token}\r\nAuthorization: Bearer {token}", "X-Forwarded-For: 127.0.0.1",
    ],
)  # fmt: skip
def test_nothing_but_the_very_token_opens_admin_routes(server: RunningServer, head: str) -> None:
    token = server.state.token
    line = head.format(token=token, half=token[: len(token) // 2]).encode("latin-1")
    said = answers(server, b"GET /admin/routes HTTP/1.1\r\nHost: 127.0.0.1\r\n" + LAST + line + b"\r\n\r\n")
    assert statuses(said) == [401], said[:200]


def raw(server: RunningServer, method: str, path: str) -> tuple[int, bytes, str]:
    said = answers(
        server, f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode("latin-1")
    )
    return statuses(said)[0], said, said.decode("latin-1")


def test_pipelined_requests_whose_answers_nobody_takes_pile_up_nothing(server: RunningServer) -> None:
    many = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 200
    with bounded_growth(server, 25), contextlib.ExitStack() as stack:
        takers = [stack.enter_context(connect(server)) for _ in range(8)]
        end = time.monotonic() + 4
        while time.monotonic() < end:
            for taker in takers:
                taker.setblocking(False)
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    taker.send(many)
            time.sleep(0.01)
    still_serves(server)


def announced(size: int, head: bytes = b"") -> bytes:
    return b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"Content-Length: %d\r\n\r\n" % size


def held_bodies(
    server: RunningServer, stack: contextlib.ExitStack, count: int, start: bytes, part: bytes
) -> int:
    """Sends all but the end of many bodies; returns how many connections took it all."""
    taken = 0
    for _ in range(count):
        connection = stack.enter_context(connect(server))
        with contextlib.suppress(ConnectionError, socket.timeout):
            connection.sendall(start + part)
            taken += 1
    return taken


@pytest.mark.slow
@pytest.mark.parametrize(
    "start", [announced(BODY), chunked(b"/predict", b"%x\r\n" % BODY)], ids=["length", "chunked"]
)
def test_bodies_in_flight_have_one_budget_over_all_workers(server: RunningServer, start: bytes) -> None:
    with bounded_growth(server, BUFFERS_MB + 15), contextlib.ExitStack() as stack:
        held_bodies(server, stack, 60, start, b"A" * (BODY - 1))
        said = answers(server, announced(BODY, LAST) + b"A" * BODY)
        assert statuses(said) == [503] and b"retry-after:" in said and b"try again later" in said
        still_serves(server)  # a small one has room
    until(  # read_timeout_seconds: what was held is given back
        lambda: statuses(answers(server, announced(BODY, LAST) + b"A" * BODY)) == [415], "there is room again"
    )
    assert statuses(
        answers(server, chunked(b"/predict", b"%x\r\n" % BODY + b"A" * BODY + b"\r\n0\r\n\r\n"))
    ) == [415]


def test_pipelined_bodies_count_against_the_budget(server: RunningServer) -> None:
    one = announced(BODY) + b"A" * BODY
    with bounded_growth(server, BUFFERS_MB + 15):
        said = answers(server, one * 16)
    assert set(statuses(said)) <= {415, 503} and len(statuses(said)) == 16
    still_serves(server)


def test_budget_is_given_back_by_every_way_a_body_can_end(server: RunningServer) -> None:
    for _ in range(4):
        with contextlib.ExitStack() as stack:  # gone in the middle
            held_bodies(server, stack, 6, announced(BODY), b"A" * 1_000_000)
        answers(server, announced(5_000_000, LAST) + b"A" * 5_000_000)  # larger than a body may be
        answers(server, chunked(b"/predict", b"%x\r\n" % 5_000_000 + b"A" * 5_000_000 + b"\r\n0\r\n\r\n"))
        answers(server, chunked(b"/predict", b"100000\r\n" + b"A" * 0x100000 + b"no chunk"))  # not HTTP
        answers(server, announced(BODY, LAST) + b"A" * BODY)  # answered
    time.sleep(0.5)
    whole = BUFFERS_MB * 1_000_000 * 3 // 4 // BODY  # exactly as many as there is room for
    with contextlib.ExitStack() as stack:
        held_bodies(server, stack, whole - 1, announced(BODY), b"A" * (BODY - 1))
        assert statuses(answers(server, announced(BODY, LAST) + b"A" * BODY)) == [415]


def test_expected_body_is_refused_before_it_is_sent_when_there_is_no_room(server: RunningServer) -> None:
    def refused() -> bytes:
        with (
            contextlib.ExitStack() as stack
        ):  # for read_timeout_seconds: a busy machine may be too late for once
            held_bodies(server, stack, 8, announced(BODY), b"A" * (BODY - 1))
            said = answers(server, announced(BODY, LAST + b"Expect: 100-continue\r\n"))
        return said if statuses(said) == [503] else b""

    assert b"retry-after" in until(refused, "a body is refused before it is sent")


def test_passed_on_requests_are_bounded(server: RunningServer) -> None:
    body = json.dumps(
        {"labels": [{"request_id": "a", "label": "no class", "source": "s" * 100}] * 900}
    ).encode()
    one = b"POST /feedback HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with bounded_growth(server, 60), contextlib.ExitStack() as stack:
        senders = [stack.enter_context(connect(server)) for _ in range(300)]
        for sender in senders:
            sender.sendall(one)
        with ThreadPoolExecutor(30) as readers:
            found = {
                status
                for said in readers.map(partial(heard, patience=0.05), senders)
                for status in statuses(said)
            }
    assert found <= {400, 503} and 400 in found
    still_serves(server)
