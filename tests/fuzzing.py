"""Requests made from an OpenAPI description, right and wrong ones, and the same damaged; for any HTTP server.

Schemathesis makes them from the schemas. Each is sent again with some bytes of it changed, so that also what
no schema describes is met.
"""

from __future__ import annotations

import http.client
import json
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

PYTHON_TEXT = (
    b"Traceback (most", b" object at 0x", b"site-packages", b"codec can't", b"NoneType", b"TypeError",
    b"KeyError", b"ValueError", b"AttributeError", b"has no attribute",
    b"not subscriptable", b"unhashable", b"dict_keys",
)  # fmt: skip
"""What an answer has when Python's own words got into it."""
PARTS = 4
"""A proof of 100,000 requests in as many parts, on one server: each can be run by itself."""


def counts(short: int = 2_000) -> list[Any]:
    """How many requests, and which ones: few in every CI run, 100,000 in the proof."""
    proof = [pytest.mark.proof, pytest.mark.timeout(2 * 3600)]
    parts = [pytest.param(100_000 // PARTS, part + 1, marks=proof) for part in range(PARTS)]
    return [pytest.param(short, 0, marks=pytest.mark.slow), *parts]


@dataclass(frozen=True)
class Sent:
    """One request as it goes over the wire."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Fill = Callable[[dict[str, Any], random.Random], None]
"""Puts known names into some path parameters, so that not every request ends at 'no such thing'."""


def requests_of(
    spec: dict[str, Any], count: int, number: int, fill: Fill, each: int = 5, damaged: int = 4
) -> Iterator[Sent]:
    """At least `count` requests, `each` cases of every operation in turn; the same for the same `number`.

    Each case is followed by `damaged` of its copies, as making a case costs far more than damaging it.
    """
    draw, made, round_ = random.Random(number), 0, 0
    schema = schemathesis.openapi.from_dict(spec)
    operations = [found.ok() for found in schema.get_all_operations()]
    while made < count:
        round_ += 1
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                for case in _cases(operation, mode, number * 10_000 + round_, each):
                    one = _sent(case, draw, fill)
                    yield one
                    for _ in range(damaged):
                        yield _damaged(one, draw)
                    made += 1 + damaged


def _cases(operation: Any, mode: GenerationMode, number: int, each: int) -> list[Any]:
    found: list[Any] = []

    @seed(number)
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=each, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def collect(case: Any) -> None:
        found.append(case)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            collect()
        except Unsatisfiable:  # a route without parameters cannot be asked wrongly
            return []
    return found


def _sent(case: Any, draw: random.Random, fill: Fill) -> Sent:
    if isinstance(case.path_parameters, dict):
        fill(case.path_parameters, draw)
    given = case.as_transport_kwargs(base_url="http://fuzzed")
    parts = urlsplit(given["url"])
    query = urlencode(given.get("params") or {}, doseq=True, errors="replace")
    target = parts.path + (f"?{query}" if query else "")
    headers = {
        name: "".join(c for c in str(value) if c.isprintable()).encode("latin-1", "replace").decode("latin-1")
        for name, value in (given.get("headers") or {}).items()
        if name.lower()
        not in ("content-length", "transfer-encoding", "connection", "accept-encoding", "cookie")
    }
    body = given.get("data", b"")
    if "json" in given:
        body, headers["Content-Type"] = json.dumps(given["json"]).encode(), "application/json"
    elif not isinstance(body, bytes):
        body = str(body or "").encode("utf-8", "replace")
    return Sent(given["method"], quote(target, safe="/?&=%+,;:@!$'()*~.-_"), headers, body)


def _damaged(one: Sent, draw: random.Random) -> Sent:
    """The same with a few bytes of its body or its target changed."""
    if one.body and draw.random() < 0.8:
        body = bytearray(one.body)
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(body) or 1)
            kind = draw.randrange(4)
            if kind == 0 and body:
                body[at] ^= 1 << draw.randrange(8)
            elif kind == 1:
                del body[at : at + draw.randint(1, 8)]
            elif kind == 2:
                words = (
                    b"null",
                    b"1e999",
                    b"-1",
                    b"[]",
                    b"{}",
                    b'"\\ud800"',
                    b"\0",
                    b"true",
                    b"9" * 40,
                    b'""',
                )
                body[at:at] = draw.choice(words)
            else:
                body[at:at] = body[at : at + draw.randint(1, 64)]
        return replace(one, body=bytes(body))
    piece = draw.choice(["%00", "%0d%0a", "%ff", "..", "//", "%2f", "?", ";", "%", "a" * 300, "%f0%9f%90%a6"])
    at = draw.randrange(1, len(one.target) + 1)
    return replace(one, target=one.target[:at] + piece + one.target[at:])


class Fuzzer:
    """Sends requests to one server and keeps what is wrong with its answers."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self._address, self._headers = (parts.hostname or "", parts.port or 80), headers or {}
        self._connection = self._connect()
        self.statuses: Counter[int] = Counter()
        self.faults: list[str] = []

    def send(self, one: Sent) -> tuple[int, bytes]:
        """The answer's status and body; a status of 0: the server closed the connection."""
        try:
            self._connection.request(one.method, one.target, one.body, {**one.headers, **self._headers})
            answer = self._connection.getresponse()
            status, content = answer.status, answer.read()
            if answer.will_close:
                self._connection.close()
        except (http.client.HTTPException, OSError):
            self._connection.close()
            self._connection = self._connect()
            status, content = 0, b""
        self.statuses[status] += 1
        # 501: the engine says so of what a whole Kubeflow Pipelines can do and it cannot; 503: overload.
        python = [text for text in PYTHON_TEXT if text in content]
        if (status >= 500 and status not in (501, 503)) or python or (status == 0 and not _malformed(one)):
            self.faults.append(f"{status} {python} for {one!r:.600}: {content[:300]!r}")
        return status, content

    def close(self) -> None:
        self._connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self._address, timeout=60)


def _malformed(one: Sent) -> bool:
    """Whether a request is none, so that a server may hang up after saying so."""
    return any(ord(c) < 33 or ord(c) > 126 for c in one.target)
