"""The server under test: its model as its own metadata describes it, requests, and what a right answer is."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

DTYPES = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
HEAD = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Case:
    """One demand of the protocol. `check` raises AssertionError where the server does not meet it."""

    group: str
    name: str
    check: Callable[[Target], None]

    @property
    def id(self) -> str:
        return f"{self.group}: {self.name}"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Target:
    """A server at `url` with the model `model`; `token` for repository routes."""

    url: str
    model: str
    token: str | None = None
    _inputs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"/v2/models/{quote(self.model, safe='')}"

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """One request over a connection of its own; `body` bytes, an iterator (chunked), or JSON values."""
        sent = dict(headers or {})
        if self.token is not None and path.startswith("/v2/repository"):
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None and not isinstance(body, bytes | Iterator):
            body = json.dumps(body).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        try:
            connection.request(method, path, body, sent, encode_chunked=isinstance(body, Iterator))
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def metadata(self) -> dict[str, Any]:
        reply = self.ask("GET", self.base)
        assert reply.status == 200, f"model metadata gives {reply.status}"
        values: dict[str, Any] = reply.json()
        return values

    def inputs(self) -> list[dict[str, Any]]:
        if not self._inputs:
            self._inputs = self.metadata()["inputs"]
        return self._inputs

    def arrays(self, rows: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Values for every input, `rows` of them along the first dimension."""
        rng = np.random.default_rng(seed)
        found = {}
        for tensor in self.inputs():
            shape = [rows, *(1 if size < 0 else size for size in tensor["shape"][1:])]
            dtype = DTYPES[tensor["datatype"]]
            found[tensor["name"]] = rng.integers(0, 2 if dtype is np.bool_ else 100, shape).astype(dtype)
        return found

    def document(self, rows: int = 1, seed: int = 0, nested: bool = False, **more: Any) -> dict[str, Any]:
        """A JSON infer request."""
        kinds = {tensor["name"]: tensor["datatype"] for tensor in self.inputs()}
        tensors = [
            {
                "name": name, "shape": list(values.shape), "datatype": kinds[name],
                "data": (values if nested else values.ravel()).tolist(),
            }
            for name, values in self.arrays(rows, seed).items()
        ]  # fmt: skip
        return {"inputs": tensors, **more}

    def binary(
        self, rows: int = 1, seed: int = 0, as_json: int = 0, **more: Any
    ) -> tuple[bytes, dict[str, str]]:
        """An infer request with binary tensors, the first `as_json` of them as JSON: body and headers."""
        document, raw = self.document(rows, seed, **more), b""
        for tensor, values in list(zip(document["inputs"], self.arrays(rows, seed).values(), strict=True))[
            as_json:
        ]:
            data = np.ascontiguousarray(values).tobytes()
            del tensor["data"]
            tensor["parameters"] = {"binary_data_size": len(data)}
            raw += data
        return with_head(document, raw)

    def infer(self, body: Any, headers: dict[str, str] | None = None, path: str = "/infer") -> Reply:
        return self.ask("POST", self.base + path, body, headers)


def with_head(document: Any, raw: bytes) -> tuple[bytes, dict[str, str]]:
    """A body of JSON and binary data, and the headers that say so."""
    head = json.dumps(document).encode()
    return head + raw, {HEAD: str(len(head)), "Content-Type": "application/octet-stream"}


def outputs_of(reply: Reply) -> dict[str, np.ndarray]:
    """The numeric outputs of an answer, whichever way they came; checks every field of them."""
    assert reply.status == 200, f"{reply.status}: {reply.body[:200]!r}"
    length = reply.headers.get(HEAD.lower())
    head = reply.body if length is None else reply.body[: int(length)]
    raw = b"" if length is None else reply.body[int(length) :]
    found: dict[str, np.ndarray] = {}
    for output in json.loads(head)["outputs"]:
        assert {"name", "shape", "datatype"} <= set(output), f"an output lacks a field: {sorted(output)}"
        shape, dtype = output["shape"], DTYPES.get(output["datatype"])
        size = (output.get("parameters") or {}).get("binary_data_size")
        if size is not None:
            data, raw = raw[:size], raw[size:]
            assert len(data) == size, "the binary data ends early"
            if dtype is not None:
                found[output["name"]] = np.frombuffer(data, dtype).reshape(shape)
            continue
        flat = np.asarray(output["data"]).ravel()
        assert flat.size == int(np.prod(shape)), f"{output['name']}: shape {shape}, but {flat.size} values"
        if dtype is not None:
            found[output["name"]] = flat.astype(dtype).reshape(shape)
    assert not raw, f"{len(raw)} bytes follow the last output"
    return found


def refused(reply: Reply, *statuses: int) -> None:
    """The answer is one of the statuses (400 if none is given) with {"error": text}."""
    assert reply.status in (statuses or (400,)), f"status {reply.status}: {reply.body[:160]!r}"
    try:
        answer = reply.json()
    except ValueError:
        raise AssertionError(f"the error is not JSON: {reply.body[:80]!r}") from None
    assert isinstance(answer, dict) and isinstance(answer.get("error"), str), (
        f"no error text: {answer!r:.120}"
    )


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    """Two answers say the same."""
    assert set(a) == set(b), f"outputs differ: {sorted(a)} and {sorted(b)}"
    for name, values in a.items():
        assert np.allclose(values, b[name], atol=1e-5), f"{name}: the values differ"
