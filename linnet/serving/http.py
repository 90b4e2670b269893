"""HTTP/1.1 on one event loop: httptools parses, this class keeps limits, time and order.

Why not a ready server: inference runs on the loop that reads the sockets, so that a request crosses no
thread; and every limit is exact (a body to the byte, chunked or not; a request to the second, however
slowly its bytes trickle in; an answer to every request that was accepted before the end).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import httptools

from linnet.errors import RequestRejected
from linnet.serving.budget import Budget
from linnet.serving.messages import Request, Response, too_large

MAX_HEAD = 32_768
"""Most bytes of a request line with its headers."""
MAX_HEADERS = 100
"""The same two bounds hold for the trailers of a chunked body, which are read and dropped."""
PIPELINE = 16
"""Requests of one connection that may be read ahead; then reading stops until an answer has gone."""
IDLE_SECONDS = 75.0
"""A connection without a request is closed after this long."""
SWEEP_SECONDS = 0.25
DRAIN_IDLE_SECONDS = 0.25
"""At the end, a connection that was just used may still send its next request; its answer says close."""
WRITE_SECONDS = 10.0
"""A client that takes nothing of its answer for this long is cut off."""
_DISCARD = 64 << 20
"""A body that is too large is read and thrown away up to this size, so that its sender hears why."""
_STATUS = {status: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

Handler = Callable[[Request], Awaitable[Response]]


_BODY = ("serving.max_body_mb", "send a smaller image")


class HttpServer:
    """The connections of one process: `handle` answers, `max_body` bytes, `seconds` for a whole request."""

    def __init__(self, handle: Handler, max_body: int, seconds: float, budget: Budget) -> None:
        self.budget = budget
        self.handle, self.max_body, self.seconds = handle, max_body, seconds
        self.connections: set[Connection] = set()
        self.draining = False
        self.changed: Callable[[int], None] = lambda _count: None
        """Told the number of connections whenever it changes."""
        self._date = (0, b"")

    def date(self) -> bytes:
        """The header line `date`, made once a second."""
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, f"date: {formatdate(now, usegmt=True)}\r\n".encode())
        return self._date[1]

    async def sweep(self) -> None:
        """Closes, for ever, connections whose time is up."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            for connection in [one for one in self.connections if one.deadline < now]:
                connection.on_timeout()

    async def drain(self, seconds: float) -> None:
        """Answers what was accepted, for at most `seconds`; idle connections are closed at once."""
        self.draining = True
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.connections and loop.time() < until:
            for connection in list(self.connections):
                connection.close_if_idle(DRAIN_IDLE_SECONDS)
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()


class Connection(asyncio.Protocol):
    """One client. Requests are answered in the order in which they came."""

    _url: bytes
    _headers: dict[str, str]
    _parts: list[bytes]
    _unread: int
    """Bytes of a body's section since its last byte of content: trailers, extensions of chunks."""
    _rejected: RequestRejected | None

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._begin()
        self._closing = self._last = False
        self._idle_since = 0.0
        self.deadline = self._loop.time() + server.seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport: Any = transport
        self._idle_since = self._loop.time()
        self._server.connections.add(self)
        self._server.changed(len(self._server.connections))

    def connection_lost(self, _error: Exception | None) -> None:
        """The client has gone; what it asked for is computed nevertheless, and logged."""
        self._closing = True
        self._writable.set()
        self._drop_body()
        self._server.connections.discard(self)
        self._server.changed(len(self._server.connections))

    def data_received(self, data: bytes) -> None:
        """Parses what came; anything that is not HTTP/1.1 is refused and ends the connection."""
        if self._closing:
            return
        if not self._head_done:
            if not self._head_size and not self._waiting and self._answering is None:
                self.deadline = self._loop.time() + self._server.seconds
            self._head_size += len(data)
        size = self._size
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(RequestRejected(400, "this server does not change to another protocol"))
        except httptools.HttpParserError as error:
            self._refuse(RequestRejected(400, f"the request is not HTTP/1.1: {error}"))
        else:
            if not self._head_done and self._head_size > MAX_HEAD:
                self._refuse(RequestRejected(431, f"the request's head is larger than {MAX_HEAD} bytes"))
            elif self._head_done and self._size == size:  # trailers, or what stands behind a chunk's length
                self._unread += len(data)
                if self._unread > MAX_HEAD:
                    problem = f"trailers or chunk extensions are larger than {MAX_HEAD} bytes"
                    self._refuse(RequestRejected(431, problem))
            else:
                self._unread = 0

    def eof_received(self) -> bool:
        """The client will send no more; it may still wait for an answer."""
        if self._answering is None:
            return False
        self._last = True
        return True

    def pause_writing(self) -> None:
        """The client does not take its answer."""
        self._writable.clear()
        self.deadline = self._loop.time() + WRITE_SECONDS

    def resume_writing(self) -> None:
        """It does again."""
        self._writable.set()
        self.deadline = self._loop.time() + IDLE_SECONDS

    # What the parser calls, in this order.

    def on_message_begin(self) -> None:
        """A request line begins."""
        self._begin()
        self._head_size = 1

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._url += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header. Repeated ones are joined by a comma, as RFC 9110 has it.

        A trailer never becomes a header: it comes after the decision who may send the body (RFC 9110, 6.5.1).
        """
        if self._head_done:
            self._trailers += 1
            self._trailer_bytes += len(name) + len(value) + 4
            if self._trailers > MAX_HEADERS or self._trailer_bytes > MAX_HEAD:
                problem = f"there are more than {MAX_HEADERS} trailers or {MAX_HEAD} bytes of them"
                self._rejected = self._rejected or RequestRejected(431, problem)
            return
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text
        self._count += 1
        self._head_bytes += len(name) + len(value) + 4

    def on_headers_complete(self) -> None:
        """Decides whether the body may come."""
        self._head_done = True
        headers, limit = self._headers, self._server.max_body
        if self._count > MAX_HEADERS or self._head_bytes > MAX_HEAD:
            problem = f"the request's head has more than {MAX_HEADERS} headers or {MAX_HEAD} bytes"
            self._rejected = RequestRejected(431, problem)
        elif (encoding := headers.get("content-encoding", "identity")) != "identity":
            problem = f"Content-Encoding: {encoding:.80} is not taken; send the body uncompressed"
            self._rejected = RequestRejected(415, problem, "protocol")
        elif int(headers.get("content-length", "0") or 0) > limit:
            self._rejected = too_large(int(headers["content-length"]), limit, *_BODY)
        elif (length := int(headers.get("content-length", "0") or 0)) and not self._server.budget.room(
            length, length
        ):
            self._rejected = self._no_room()
        if headers.get("expect", "").lower() == "100-continue":
            if self._rejected is not None:
                self._refuse(self._rejected)
            elif self._answering is None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        """A part of the body; what is over the limit is thrown away."""
        self._size += len(part)
        if self._rejected is None and self._size > self._server.max_body:
            self._rejected = too_large(self._size, self._server.max_body, *_BODY)
            self._drop_body()
        if self._rejected is None and not self._server.budget.take(len(part), self._size):
            self._rejected = self._no_room()
            self._drop_body()
        if self._rejected is None:
            self._held += len(part)
            self._parts.append(part)
        elif self._size > self._server.max_body + _DISCARD:
            self._refuse(self._rejected)

    def on_message_complete(self) -> None:
        """The request is here, whole."""
        if self._closing:
            return
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._take(self._request(body, self._rejected, self._parser.should_keep_alive(), self._held))
        self._begin()

    # What the server calls.

    def on_timeout(self) -> None:
        """The request did not arrive in time, the answer was not taken, or nothing was asked for long."""
        if self._head_size and not self._closing and not self._transport.get_write_buffer_size():
            what = "body" if self._head_done else "head"
            problem = f"the request's {what} did not arrive within {self._server.seconds:g} seconds"
            self._refuse(RequestRejected(408, problem))
        else:
            self.abort()

    def close_if_idle(self, seconds: float) -> None:
        """Closes the connection if for so long no request was being read or answered."""
        idle = self._answering is None and not self._head_size
        if idle and self._loop.time() - self._idle_since >= seconds:
            self._transport.close()

    def abort(self) -> None:
        """Cuts the connection off."""
        self._closing = True
        self._transport.abort()

    # Inside.

    def _begin(self) -> None:
        self._url, self._headers, self._parts = b"", {}, []
        self._count = self._size = self._head_size = self._head_bytes = 0
        self._trailers = self._trailer_bytes = self._unread = 0
        self._held = 0
        self._head_done = False
        self._rejected = None

    def _request(self, body: bytes, rejected: RequestRejected | None, keep: bool, held: int) -> Request:
        """What was read so far; without an address while its end may still be to come."""
        named = self._head_done or self._count > 0
        method = self._parser.get_method().decode("latin-1") if named else ""
        target, _, query = (self._url if named else b"").partition(b"?")
        return Request(
            method,
            target.decode("latin-1"),
            query.decode("latin-1"),
            self._headers,
            body,
            rejected,
            keep,
            held,
        )

    def _take(self, request: Request) -> None:
        """Has a request answered when those before it are."""
        self._waiting.append(request)
        self.deadline = float("inf")  # from now on the server's own time counts
        if self._answering is None:
            self._answering = self._loop.create_task(self._answer())
        elif len(self._waiting) >= PIPELINE:
            self._transport.pause_reading()

    def _refuse(self, refusal: RequestRejected) -> None:
        """Ends the connection with what is wrong, which is answered and counted as any request is."""
        if not self._closing:
            self._closing = True
            self._drop_body()
            self._take(self._request(b"", refusal, keep=False, held=0))

    def _drop_body(self) -> None:
        """Forgets what came of a body."""
        self._server.budget.give(self._held)
        self._held, self._parts = 0, []

    def _no_room(self) -> RequestRejected:
        limit = self._server.budget.limit / 1e6
        return RequestRejected(
            503, f"the server holds as much of requests and answers as it may ({limit:g} MB); try again later"
        )

    async def _answer(self) -> None:
        """Answers what waits, one after the other."""
        while self._waiting:
            request = self._waiting.popleft()
            response = await self._server.handle(request)
            keep = request.keep_alive and not self._server.draining and not self._last
            keep = keep and response.status != 408
            if not self._transport.is_closing():
                self._write(response, keep, request.method == "HEAD")
            if response.after is not None:
                response.after()
            self._server.budget.give(request.held)
            if not keep:
                self._closing = True
                self._transport.close()
                self.deadline = self._loop.time() + WRITE_SECONDS
                for left in self._waiting:
                    self._server.budget.give(left.held)
                self._waiting.clear()
            await self._taken()
        self._answering, self._idle_since = None, self._loop.time()
        if not self._closing:
            self._transport.resume_reading()
            within = self._server.seconds if self._head_size else IDLE_SECONDS
            if self._transport.get_write_buffer_size() == 0:
                self.deadline = self._loop.time() + within
            else:
                self.deadline = min(self.deadline, self._loop.time() + WRITE_SECONDS)

    async def _taken(self) -> None:
        """Waits until the client has taken most of what was written: answers never pile up unread."""
        if not self._writable.is_set():
            size = self._transport.get_write_buffer_size()
            self._server.budget.hold(size)
            try:
                await self._writable.wait()
            finally:
                self._server.budget.give(size)

    def _write(self, response: Response, keep: bool, head_only: bool = False) -> None:
        lines = [f"{name}: {value}\r\n" for name, value in response.headers]
        lines.append(f"content-type: {response.content_type}\r\ncontent-length: {len(response.body)}\r\n")
        if not keep:
            lines.append("connection: close\r\n")
        status = _STATUS[HTTPStatus(response.status)]
        head = b"".join((status, self._server.date(), "".join(lines).encode("latin-1", "replace"), b"\r\n"))
        self._transport.write(head if head_only else head + response.body)
