"""Health, metadata and HTTP itself."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

from benchmarks.protocol.target import DTYPES, Case, Target, outputs_of, refused


def cases() -> list[Case]:
    return [*_health(), *_server(), *_model(), *_unknown(), *_http()]


def _health() -> list[Case]:
    def ok(path: str) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            reply = target.ask("GET", path.replace("{model}", target.base))
            assert reply.status == 200, f"status {reply.status}"

        return check

    def version_ready(target: Target) -> None:
        version = target.metadata()["versions"][0]
        assert target.ask("GET", f"{target.base}/versions/{version}/ready").status == 200

    return [
        Case("health", "live", ok("/v2/health/live")),
        Case("health", "ready", ok("/v2/health/ready")),
        Case("health", "model ready", ok("{model}/ready")),
        Case("health", "a version is ready", version_ready),
        Case("health", "live with a query string", ok("/v2/health/live?probe=1")),
    ]


def _server() -> list[Case]:
    def field(name: str, kind: type) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            reply = target.ask("GET", "/v2")
            assert reply.status == 200 and isinstance(reply.json().get(name), kind), reply.body[:120]

        return check

    def texts(target: Target) -> None:
        assert all(isinstance(one, str) for one in target.ask("GET", "/v2").json()["extensions"])

    def kind(target: Target) -> None:
        assert "json" in target.ask("GET", "/v2").headers["content-type"]

    return [
        Case("server", "name", field("name", str)),
        Case("server", "version", field("version", str)),
        Case("server", "extensions", field("extensions", list)),
        Case("server", "extensions are texts", texts),
        Case("server", "content type", kind),
    ]


def _model() -> list[Case]:
    def has(name: str, right: Callable[[Any, Target], bool]) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            value = target.metadata().get(name)
            assert right(value, target), f"{name} is {value!r:.120}"

        return check

    def tensors(side: str, right: Callable[[dict[str, Any]], bool]) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            for tensor in target.metadata()[side]:
                assert right(tensor), f"{side}: {tensor!r:.160}"

        return check

    def of_version(target: Target) -> None:
        about = target.metadata()
        reply = target.ask("GET", f"{target.base}/versions/{about['versions'][0]}")
        assert reply.status == 200 and reply.json()["name"] == target.model

    def shapes(tensor: dict[str, Any]) -> bool:
        return all(isinstance(size, int) and size >= -1 for size in tensor["shape"])

    def kinds(tensor: dict[str, Any]) -> bool:
        return tensor["datatype"] in {*DTYPES, "BYTES"}

    def names(tensor: dict[str, Any]) -> bool:
        return isinstance(tensor["name"], str) and bool(tensor["name"])

    found = [
        Case("model", "name", has("name", lambda v, t: bool(v == t.model))),
        Case("model", "versions", has("versions", lambda v, _: isinstance(v, list) and len(v) > 0)),
        Case("model", "versions are texts", has("versions", lambda v, _: all(isinstance(n, str) for n in v))),
        Case("model", "platform", has("platform", lambda v, _: isinstance(v, str))),
        Case("model", "of a version", of_version),
    ]
    for side in ("inputs", "outputs"):
        found += [
            Case("model", side, has(side, lambda v, _: isinstance(v, list) and len(v) > 0)),
            Case("model", f"{side}: names", tensors(side, names)),
            Case("model", f"{side}: datatypes", tensors(side, kinds)),
            Case("model", f"{side}: shapes", tensors(side, shapes)),
        ]
    return found


def _unknown() -> list[Case]:
    def absent(method: str, path: str, *statuses: int, body: Any = None) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            refused(target.ask(method, path.replace("{model}", target.base), body), *statuses)

        return check

    return [
        Case("unknown", "model metadata", absent("GET", "/v2/models/no-such-model", 404)),
        Case("unknown", "model ready", absent("GET", "/v2/models/no-such-model/ready", 404)),
        Case(
            "unknown",
            "model infer",
            absent("POST", "/v2/models/no-such-model/infer", 404, body={"inputs": []}),
        ),
        Case("unknown", "version metadata", absent("GET", "{model}/versions/no-such", 404)),
        Case("unknown", "version ready", absent("GET", "{model}/versions/no-such/ready", 404)),
        Case(
            "unknown",
            "version infer",
            absent("POST", "{model}/versions/no-such/infer", 404, body={"inputs": []}),
        ),
        Case("unknown", "route", absent("GET", "/v2/no-such-route", 404)),
        Case("unknown", "route of a model", absent("GET", "{model}/no-such-route", 404)),
        Case("unknown", "GET of infer", absent("GET", "{model}/infer", 405)),
        Case("unknown", "PUT of infer", absent("PUT", "{model}/infer", 405, body={})),
        Case("unknown", "DELETE of a model", absent("DELETE", "{model}", 405)),
        Case("unknown", "POST of live", absent("POST", "/v2/health/live", 405, body={})),
        Case("unknown", "POST of server metadata", absent("POST", "/v2", 405, body={})),
    ]


def _raw(target: Target, data: bytes, answers: int = 1) -> bytes:
    """What a server says to bytes, until it has begun `answers` answers or hangs up."""
    said = b""
    with socket.create_connection(target.address, timeout=10) as connection:
        connection.sendall(data)
        try:
            while said.count(b"HTTP/1.1 ") < answers or not said.rstrip().endswith((b"}", b"]")):
                part = connection.recv(65_536)
                if not part:
                    break
                said += part
        except TimeoutError:
            pass
    return said


def _http() -> list[Case]:
    def request(target: Target, *more: str, seed: int = 0) -> bytes:
        body = json.dumps(target.document(seed=seed)).encode()
        lines = [f"POST {target.base}/infer HTTP/1.1", "Host: x", "Content-Type: application/json"]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", *more, "", ""]).encode() + body

    def chunked(target: Target) -> None:
        body = json.dumps(target.document()).encode()
        parts = iter([body[i : i + 100] for i in range(0, len(body), 100)])
        outputs_of(target.infer(parts, {"Transfer-Encoding": "chunked"}))

    def twice(target: Target) -> None:
        said = _raw(target, request(target) + request(target, "Connection: close", seed=1), 2)
        assert said.count(b"HTTP/1.1 200") == 2, said[:200]

    def closes(target: Target) -> None:
        said = _raw(target, request(target, "Connection: close")).lower()
        assert b"http/1.1 200" in said

    def expects(target: Target) -> None:
        said = _raw(target, request(target, "Expect: 100-continue", "Connection: close"), 2)
        assert b"HTTP/1.1 200" in said, said[:200]

    def malformed(data: bytes) -> Callable[[Target], None]:
        def check(target: Target) -> None:
            said = _raw(target, data)
            assert said == b"" or said.startswith(b"HTTP/1.1 4"), said[:120]
            assert target.ask("GET", "/v2/health/live").status == 200

        return check

    long_line = b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    both = b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    length = b"POST /v2/x HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\n"
    return [
        Case("http", "chunked body", chunked),
        Case("http", "two requests sent at once on one connection", twice),
        Case("http", "connection: close", closes),
        Case("http", "expect: 100-continue", expects),
        Case(
            "http",
            "no HTTP at all",
            malformed(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n"),
        ),
        Case("http", "endless request line", malformed(long_line)),
        Case("http", "length and chunks at once", malformed(both)),
        Case("http", "negative length", malformed(length)),
    ]
