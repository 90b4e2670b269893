"""HTTP in and out: reading a body within limits, and what a response is made of."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from linnet.errors import RequestRejected

VERSION_HEADER, REQUEST_HEADER = "linnet-model-version", "linnet-request-id"
JSON = "application/json"
BODY_SECONDS = 10.0
"""A body must have arrived this many seconds after its head."""
_DISCARD = 64 << 20
"""A body that is too large is read and thrown away up to this size, so that its sender hears why."""
_ID_LENGTH = 128


@dataclass(slots=True)
class Response:
    """A response; `after` is called when it has been sent."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    version: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    after: Callable[[], None] | None = None

    @classmethod
    def of(cls, value: Any, status: int = 200) -> Response:
        """A JSON response."""
        return cls(status, json.dumps(value, separators=(",", ":")).encode())

    @classmethod
    def failure(cls, status: int, problem: str) -> Response:
        """An error as the protocol wants it: {"error": problem}."""
        return cls.of({"error": problem}, status)


def request_id(headers: Any) -> str:
    """The request's id: the header `Linnet-Request-Id`, or a new one.

    Raises:
        RequestRejected: 400, the id is empty, longer than 128, or not printable ASCII.
    """
    given = headers.get(REQUEST_HEADER)
    if given is None:
        return uuid.uuid4().hex
    if not 0 < len(given) <= _ID_LENGTH or not (given.isascii() and given.isprintable()):
        raise RequestRejected(400, f"Linnet-Request-Id: must be 1 to {_ID_LENGTH} printable ASCII characters")
    return str(given)


async def read_body(headers: Any, proto: Any, limit: int) -> bytes:
    """The body, at most `limit` bytes, sent whole or chunked.

    Raises:
        RequestRejected: 413, more than `limit` bytes; 415, compressed; 408, it does not arrive.
    """
    if (encoding := headers.get("content-encoding", "identity")) != "identity":
        raise RequestRejected(
            415, f"Content-Encoding: {encoding:.80} is not taken; send the body uncompressed"
        )
    declared = headers.get("content-length")
    too_large = RequestRejected(413, f"the body is larger than {limit} bytes")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            if declared is not None and declared.isdigit():
                if int(declared) > limit:
                    if int(declared) <= _DISCARD:
                        await _read(proto, 0, _DISCARD)
                    raise too_large
                return bytes(await proto())
            body, size = await _read(proto, limit, limit + _DISCARD)
    except TimeoutError as error:
        raise RequestRejected(408, f"the body did not arrive within {BODY_SECONDS:g} seconds") from error
    if size > limit:
        raise too_large
    return body


async def _read(proto: Any, keep: int, most: int) -> tuple[bytes, int]:
    """Reads chunks up to `most` bytes; returns the body if it is at most `keep` bytes, and its size."""
    chunks, size = [], 0
    async for chunk in proto:
        size += len(chunk)
        if size <= keep:
            chunks.append(chunk)
        else:
            chunks.clear()
        if size > most:
            break
    return b"".join(chunks), size
