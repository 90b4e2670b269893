"""The webhook receiver: who may speak, what is queued, and that a replay changes nothing."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from linnet.labels.rounds import Rounds
from linnet.labels.store import database
from linnet.labels.webhook import (
    PATH,
    SECRET_HEADER,
    SIGNATURE_HEADER,
    TIME_HEADER,
    routes,
    secret_file,
    sign,
    webhook_secret,
)

MESSAGE = json.dumps({"action": "ANNOTATION_CREATED", "annotation": {"id": 1}}).encode()
NOW = 1_800_000_000.0


class Hook:
    def __init__(self) -> None:
        self.woken = 0
        self.app = Starlette(routes=routes("d", self._wake, lambda: NOW))

    def _wake(self) -> None:
        self.woken += 1

    def post(self, body: bytes, headers: dict[str, str], name: str = "d") -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://linnet") as client:
                return await client.post(PATH.format(name=name), content=body, headers=headers)

        return asyncio.run(send())


def test_message_with_the_secret_is_queued_and_a_replay_only_wakes() -> None:
    hook, headers = Hook(), {SECRET_HEADER: webhook_secret("d")}
    began = time.process_time()
    assert hook.post(MESSAGE, headers).status_code == 202
    assert time.process_time() - began < 1
    assert hook.post(MESSAGE, headers).status_code == 200
    assert hook.woken == 2 and [action for _, action in Rounds("d").events()] == ["ANNOTATION_CREATED"]


def test_signed_message_is_taken_while_it_is_fresh_and_untouched() -> None:
    hook, secret = Hook(), webhook_secret("d")

    def signed(moment: str, body: bytes = MESSAGE, key: str = secret) -> dict[str, str]:
        return {TIME_HEADER: moment, SIGNATURE_HEADER: sign(key, moment, body)}

    assert hook.post(MESSAGE, signed(str(NOW))).status_code == 202
    for headers, says in (
        (signed(str(NOW - 301)), "too old"),
        (signed(str(NOW + 301)), "too old"),
        (signed("nan"), "too old"),
        (signed("soon"), "not a number"),
        (signed(str(NOW), b"other"), "signature is wrong"),
        (signed(str(NOW), key="guess"), "signature is wrong"),
    ):
        answer = hook.post(MESSAGE, headers)
        assert answer.status_code == 401 and says in answer.json()["error"]
    assert hook.woken == 1


@pytest.mark.parametrize("headers", [{}, {SECRET_HEADER: ""}, {SECRET_HEADER: "guess"}, {SECRET_HEADER: "ü"}])
def test_message_without_the_secret_is_refused_and_not_queued(headers: dict[str, str]) -> None:
    hook = Hook()
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    assert hook.post(MESSAGE, raw).status_code == 401  # type: ignore[arg-type]
    assert hook.woken == 0 and Rounds("d").events() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"event": 1}', b"\xff"])
def test_message_that_is_none_is_refused(body: bytes) -> None:
    hook = Hook()
    assert hook.post(body, {SECRET_HEADER: webhook_secret("d")}).status_code == 400
    assert hook.woken == 0


def test_message_too_large_or_for_another_dataset_is_refused() -> None:
    hook, headers = Hook(), {SECRET_HEADER: webhook_secret("d")}
    assert hook.post(b" " * (5 << 20), headers).status_code == 413
    assert hook.post(MESSAGE, headers, name="other").status_code == 404


def test_message_that_cannot_be_queued_is_not_acknowledged() -> None:
    headers = {SECRET_HEADER: webhook_secret("d")}
    database("d").write_bytes(b"damaged" * 1000)
    assert Hook().post(MESSAGE, headers).status_code == 503


def test_secret_is_made_once_and_only_its_owner_reads_it(state: Path) -> None:
    assert webhook_secret("d") == webhook_secret("d") and len(webhook_secret("d")) > 30
    assert secret_file("d").stat().st_mode & 0o777 == 0o600
    assert webhook_secret("other") != webhook_secret("d")
