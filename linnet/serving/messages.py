"""What comes in and what goes out: a request, and what a response is made of."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from linnet.errors import RequestRejected

MODEL_HEADER = "linnet-model"
"""The model that answered, percent-encoded as in an address."""
VERSION_HEADER, REQUEST_HEADER = "linnet-model-version", "linnet-request-id"
JSON = "application/json"
_ID_LENGTH = 128


@dataclass(slots=True)
class Request:
    """One HTTP request with its whole body; `headers` have lower-case names."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    rejected: RequestRejected | None = None
    """Why it was refused before it reached a route."""
    keep_alive: bool = True
    held: int = 0
    """Bytes of the budget that it holds until it has been answered."""


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


def is_request_id(text: str) -> bool:
    """Whether a text may be a request's id, in a header as in a label."""
    return 0 < len(text) <= _ID_LENGTH and text.isascii() and text.isprintable()


def request_id(headers: dict[str, str]) -> str:
    """The request's id: the header `Linnet-Request-Id`, or a new one.

    Raises:
        RequestRejected: 400, the id is empty, longer than 128, or not printable ASCII.
    """
    given = headers.get(REQUEST_HEADER)
    if given is None:
        return os.urandom(16).hex()
    if not is_request_id(given):
        raise RequestRejected(400, f"Linnet-Request-Id: must be 1 to {_ID_LENGTH} printable ASCII characters")
    return given


def too_large(size: int, limit: int, setting: str, remedy: str) -> RequestRejected:
    """The refusal of a body of at least `size` bytes, with the setting that says so and what to do."""
    sizes = f"{size / 1e6:.1f} MB, more than {limit / 1e6:g} MB"
    return RequestRejected(413, f"the body has {sizes} ({setting}); {remedy}")
