"""The model repository extension. It takes the model out of service for a moment."""

from __future__ import annotations

from typing import Any

from benchmarks.protocol.target import Case, Target, outputs_of, refused

INDEX, MODELS = "/v2/repository/index", "/v2/repository/models"


def cases() -> list[Case]:
    return [
        Case("repository", "index", _index),
        Case("repository", "index: fields", _fields),
        Case("repository", "index: only what is ready", _only_ready),
        Case("repository", "index without a body", lambda t: _entries(t, b"")),
        Case("repository", "load of a model that serves", _load_again),
        Case("repository", "load of an unknown model", _load_unknown),
        Case("repository", "unload of an unknown model", _unload_unknown),
        Case("repository", "unload takes out of service, load brings back", _unload_and_load),
    ]


def _entries(target: Target, body: Any) -> list[dict[str, Any]]:
    reply = target.ask("POST", INDEX, body)
    assert reply.status == 200, f"{reply.status}: {reply.body[:160]!r}"
    found = reply.json()
    assert isinstance(found, list), found
    return found


def _index(target: Target) -> None:
    assert target.model in [entry["name"] for entry in _entries(target, {})]


def _fields(target: Target) -> None:
    for entry in _entries(target, {}):
        assert isinstance(entry.get("name"), str) and isinstance(entry.get("state"), str), entry


def _only_ready(target: Target) -> None:
    assert {entry["state"] for entry in _entries(target, {"ready": True})} == {"READY"}


def _act(target: Target, action: str, model: str | None = None) -> int:
    return target.ask("POST", f"{MODELS}/{model or target.model}/{action}", {}).status


def _load_again(target: Target) -> None:
    assert _act(target, "load") == 200
    outputs_of(target.infer(target.document()))


def _load_unknown(target: Target) -> None:
    refused(target.ask("POST", f"{MODELS}/no-such-model/load", {}), 400, 404)


def _unload_unknown(target: Target) -> None:
    refused(target.ask("POST", f"{MODELS}/no-such-model/unload", {}), 400, 404)


def _unload_and_load(target: Target) -> None:
    document = target.document()
    try:
        assert _act(target, "unload") == 200, "unload is refused"
        assert target.ask("GET", f"{target.base}/ready").status >= 400, "it says that it is ready"
        refused(target.infer(document), 400, 404, 503)
    finally:
        loaded = _act(target, "load")
    assert loaded == 200, f"load gives {loaded}"
    outputs_of(target.infer(document))
