"""The reconciler as a service: a webhook makes it look, a server that is away makes it wait, not end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from linnet.config import LabelsConfig
from linnet.errors import LabelServerError
from linnet.labels import service
from linnet.labels.export_after_run import offer
from linnet.labels.metrics import text
from linnet.labels.rounds import Rounds
from linnet.labels.server import ServerTask
from linnet.labels.service import Reconciler, app
from linnet.labels.table import LabelTable
from linnet.labels.trigger import MemoryTrigger
from linnet.labels.webhook import PATH, SECRET_HEADER, webhook_secret
from tests.doubles.label_server import MemoryLabelServer
from tests.labels.queue import CHOICES, fill
from tests.labels.sample_tables import QUESTION


class Flaky(MemoryLabelServer):
    away = False

    def tasks(
        self, project: int, since: datetime | None = None, answers: bool = True
    ) -> Iterator[ServerTask]:
        if self.away:
            raise LabelServerError("memory:", "does not answer", transient=True)
        return super().tasks(project, since, answers)


def call(reconciler: Reconciler, method: str, path: str, **more: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app(reconciler))
        async with httpx.AsyncClient(transport=transport, base_url="http://linnet") as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def test_webhook_brings_answers_in_and_a_complete_round_asks_for_one_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "QUIET_SECONDS", 0.01)
    server, trigger, told = Flaky(CHOICES), MemoryTrigger(), []
    fill(2)
    one = Reconciler("d", server, LabelsConfig(), QUESTION, trigger, poll_seconds=3600, told=told.append)
    one.start()
    try:
        until(lambda: one.last_look)
        (project,) = server.projects
        first, second = list(server.tasks(project))
        body = json.dumps({"action": "ANNOTATION_CREATED", "id": 1}).encode()
        headers = {SECRET_HEADER: webhook_secret("d")}
        server.answer(first.id, "ann", "bag")
        assert call(one, "POST", PATH.format(name="d"), content=body, headers=headers).status_code == 202
        until(lambda: LabelTable("d").history())
        until(lambda: not Rounds("d").events())
        assert trigger.runs == {}

        server.away = True
        one.wake()
        until(lambda: one.last_error)
        assert call(one, "GET", "/labels/healthz").status_code == 503
        server.answer(second.id, "ann", None)
        server.away = False
        one.wake()
        until(lambda: trigger.runs)
        until(lambda: call(one, "GET", "/labels/healthz").status_code == 200)
    finally:
        one.stop()
    assert trigger.calls == 1 and any("caused run" in line for line in told)
    assert sum("does not answer" in line for line in told) == 1
    shown = call(one, "GET", "/labels/metrics").text
    assert 'linnet_label_answers_total{dataset="d",status="skipped"} 1.0' in shown


def test_answer_that_breaks_a_look_does_not_end_the_looks() -> None:
    """The thread ended, and `/labels/healthz` went on to say that all was well."""

    class Broken(MemoryLabelServer):
        broken = True

        def find_project(self, title: str) -> int | None:
            if self.broken:
                raise KeyError("results")
            return super().find_project(title)

    server, told = Broken(CHOICES), []
    fill(1)
    one = Reconciler("d", server, LabelsConfig(), QUESTION, None, poll_seconds=0.01, told=told.append)
    one.start()
    try:
        until(lambda: one.last_error)
        assert call(one, "GET", "/labels/healthz").status_code == 503
        server.broken = False
        until(lambda: one.last_look)
    finally:
        one.stop()
    assert sum("cannot collect answers" in line for line in told) == 1


def test_webhook_is_registered_once_a_project_and_anew_for_a_new_one() -> None:
    server = MemoryLabelServer(CHOICES)
    fill(1)
    one = Reconciler("d", server, LabelsConfig(), QUESTION, None)
    one.look()
    assert server.hooks == {}
    one.register_webhook("http://127.0.0.1:8089/labels/d/webhook")
    one.look()
    (project,) = server.projects
    hook = ("http://127.0.0.1:8089/labels/d/webhook", {SECRET_HEADER: webhook_secret("d")})
    assert server.hooks.pop(project) == hook
    one.look()
    assert server.hooks == {}, "a look does not register it again"
    del server.projects[project]
    one.look()
    (again,) = server.projects
    assert again != project and server.hooks == {again: hook}


def test_metrics_are_prometheus_text_with_latency_backlog_and_agreement() -> None:
    server = MemoryLabelServer(CHOICES)
    config = LabelsConfig(annotators=2)
    fill(3)
    one = Reconciler("d", server, config, QUESTION, None)
    one.look()
    (project,) = server.projects
    for task in list(server.tasks(project))[:2]:
        server.answer(task.id, "ann", "bag")
        server.answer(task.id, "bob", "bag")
    one.look()
    shown = text("d").decode()
    assert 'linnet_labelling_latency_hours_count{dataset="d"} 4.0' in shown
    assert 'linnet_labelling_latency_hours_bucket{dataset="d",le="0.1"} 4.0' in shown
    assert 'linnet_label_tasks{dataset="d",state="open"} 1.0' in shown
    assert 'linnet_label_tasks{dataset="d",state="done"} 2.0' in shown
    assert 'linnet_label_agreement_ratio{dataset="d"} 1.0' in shown
    assert 'linnet_label_fleiss_kappa{dataset="d"} 1.0' in shown


def test_offer_without_a_server_leaves_the_requests_queued_and_the_run_alone() -> None:
    assert offer("d", LabelsConfig()) == {}
    fill(2)
    assert offer("d", LabelsConfig()) == {}
    told = offer("d", LabelsConfig(server="http://127.0.0.1:1"))
    assert "no token is given" in told["not_exported"] and len(Rounds("d").unexported()) == 2
