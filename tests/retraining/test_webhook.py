"""The webhook: who may call it, what it takes, and that a storm of alerts is one question."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from linnet.config import RetrainingConfig
from linnet.errors import RetrainingError
from linnet.retraining.ledger import RetrainingLedger
from linnet.retraining.trigger import Trigger
from linnet.retraining.webhook import MAX_BODY, retraining_router, webhook_token
from tests.doubles.training_runs import RunsInMemory
from tests.retraining.evidence import evidence


class Client:
    """Calls an application without a socket."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)


HEADERS = {"Authorization": "Bearer secret"}


@pytest.fixture
def client(tmp_path: Path) -> Client:
    trigger = Trigger(RetrainingLedger("tiny", tmp_path), RunsInMemory(), RetrainingConfig(), evidence)

    def of(model: str) -> Trigger:
        if model != "tiny":
            raise RetrainingError(f"model {model} was never trained here")
        return trigger

    app = FastAPI()
    app.include_router(retraining_router("secret", of, lambda: b"linnet_x 1\n"))
    return Client(app)


def alert(name: str = "LinnetDrift", model: str = "tiny", status: str = "firing") -> dict[str, Any]:
    return {"status": status, "labels": {"alertname": name, "model": model, "retraining": "consider"}}


def test_alerts_of_one_model_are_one_question(client: Client) -> None:
    sent = {"alerts": [alert(), alert(), alert("LinnetAccuracy"), alert(status="resolved")] * 100}
    answer = client.post("/retraining/alerts", json=sent, headers=HEADERS)
    assert answer.status_code == 200
    (decision,) = answer.json()["decisions"]
    assert decision["request"] is True and decision["model"] == "tiny"


@pytest.mark.parametrize("header", [None, "Bearer wrong", "secret", "Basic secret"])
def test_alerts_need_the_token(client: Client, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    assert client.post("/retraining/alerts", json={"alerts": [alert()]}, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"alerts": 3}', b'{"alerts": [3]}', b'{"alerts": [{"labels": 1}]}',
             b'{"alerts": [{"status": "firing", "labels": {"retraining": "consider"}}]}'],
)  # fmt: skip
def test_alerts_that_are_none_are_refused_in_a_sentence(client: Client, body: bytes) -> None:
    answer = client.post("/retraining/alerts", content=body, headers=HEADERS)
    assert answer.status_code == 400 and "not a notification of Alertmanager" in answer.json()["error"]


def test_alerts_beyond_the_limit_are_not_read_to_the_end(client: Client) -> None:
    assert (
        client.post("/retraining/alerts", content=b" " * (MAX_BODY + 1), headers=HEADERS).status_code == 413
    )


def test_alerts_that_ask_for_nothing_decide_nothing(client: Client) -> None:
    silent = {"status": "firing", "labels": {"alertname": "LinnetDown", "model": "tiny"}}
    answer = client.post("/retraining/alerts", json={"alerts": [silent]}, headers=HEADERS)
    assert answer.json() == {"decisions": []}


def test_metrics_need_no_token(client: Client) -> None:
    assert client.get("/retraining/metrics").text == "linnet_x 1\n"


def test_token_is_made_once_for_its_owner_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    assert webhook_token() == webhook_token() != ""
    assert stat.S_IMODE((tmp_path / "retraining" / "token").stat().st_mode) == 0o600


def test_model_that_cannot_be_asked_about_hides_no_other(client: Client) -> None:
    sent = {"alerts": [alert(model="other"), alert()]}
    answer = client.post("/retraining/alerts", json=sent, headers=HEADERS)
    assert answer.status_code == 503, "Alertmanager tries again"
    assert answer.json()["error"] == "other: model other was never trained here"
    assert [(one["model"], one["request"]) for one in answer.json()["decisions"]] == [("tiny", True)]


@pytest.mark.parametrize(
    "unclear", [3, {"labels": 1}, {"status": "firing", "labels": {"retraining": "consider"}}]
)
def test_alert_that_names_no_model_hides_no_other(client: Client, unclear: object) -> None:
    answer = client.post("/retraining/alerts", json={"alerts": [unclear, alert()]}, headers=HEADERS)
    assert answer.status_code == 200 and len(answer.json()["passed_over"]) == 1
    assert [one["model"] for one in answer.json()["decisions"]] == ["tiny"]
