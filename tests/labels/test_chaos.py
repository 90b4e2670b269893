"""Webhooks lost, doubled and reordered, and kill -9 at each write: no label is lost or counted twice.

The stand-in server carries the volume; tests/e2e/test_labelling.py has the real one.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from linnet.config import LabelsConfig
from linnet.labels import store
from linnet.labels.export import export
from linnet.labels.label_studio import LabelStudio
from linnet.labels.reconcile import pull
from linnet.labels.rounds import Rounds
from linnet.labels.table import LabelTable
from linnet.labels.webhook import PATH, SECRET_HEADER, routes, webhook_secret
from linnet.records import now
from tests.labels.contract import choice
from tests.labels.queue import fill
from tests.labels.sample_tables import CLASSES, QUESTION
from tests.labels.stand_in import TOKEN, StandIn

CONFIG = LabelsConfig(annotators=1)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    yield server
    server.stop()


def until_it_lives(work: Callable[[], object]) -> int:
    """Runs `work` in forked processes, the n-th killed at its n-th write, until one gets through; kills.

    A write is a commit that changed something, or a request that is no GET; each is two moments: just
    before, and just after.
    """
    for moment in itertools.count(1):
        child = os.fork()
        if child == 0:
            _die_at(moment)
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, "the work failed by itself"
            return moment - 1
        assert os.WTERMSIG(status) == signal.SIGKILL
    raise AssertionError


def _die_at(moment: int) -> None:
    passed = itertools.count(1)

    def point() -> None:
        if next(passed) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    class Connection(sqlite3.Connection):
        def commit(self) -> None:
            writes = self.total_changes > 0
            if writes:
                point()
            super().commit()
            if writes:
                point()

    request = httpx.Client.request

    def dangerous(self: httpx.Client, method: str, *words: Any, **more: Any) -> httpx.Response:
        if method != "GET":
            point()
        answer = request(self, method, *words, **more)
        if method != "GET":
            point()
        return answer

    httpx.Client.request = dangerous  # type: ignore[method-assign]
    store.sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)  # type: ignore[assignment]


def loop_under_fire(stand_in: StandIn, count: int, waves: int, seed: int = 0) -> None:
    draw = random.Random(seed)
    requests = fill(count)

    def exporting() -> None:
        with LabelStudio(stand_in.url, TOKEN) as server:
            export("d", server, CONFIG, QUESTION)

    def collecting() -> None:
        with LabelStudio(stand_in.url, TOKEN) as server:
            pull("d", server, CONFIG, QUESTION)

    kills = until_it_lives(exporting)
    tasks = {task["meta"]["linnet"]: task["id"] for task in stand_in.state.tasks.values()}
    assert len(stand_in.state.tasks) == len(tasks) == count, "a task is missing or was made twice"
    assert set(tasks) == {f"b1:{one.sample_id}" for one in requests}
    assert len(stand_in.state.projects) == 1

    receiver = Receiver()
    order = sorted(tasks.items())
    draw.shuffle(order)
    truth: dict[str, str] = {}
    given: dict[str, int] = {}
    corrections = 0
    for wave in range(waves):
        messages = []
        for key, task in order[wave::waves]:
            messages.append(_answer(stand_in, task, key, draw, truth, given))
        for key in draw.sample(sorted(given), len(given) // 20):  # people correct themselves
            messages.append(_answer(stand_in, tasks[key], key, draw, truth, given))
            corrections += 1
        receiver.deliver(_chaos(messages, draw))
        if receiver.woken or wave == waves - 1:
            kills += until_it_lives(collecting)
    collecting()

    table = LabelTable("d")
    rows = table.as_of(now() + timedelta(days=1))
    found = {f"{row.batch}:{row.sample_id}": row.label or row.status for row in rows}
    assert found == truth and len(rows) == count, "lost or changed"
    sources = Counter(row.source for row in table.history())
    assert max(sources.values()) == 1 and table.quarantined() == [], "doubled"
    assert list(Rounds("d").closed()) == ["b1"]
    assert kills > 2 * waves, "the kills did not happen"
    print(f"{count} labels, {kills} kills, {receiver.sent} webhooks of {len(given) + corrections} delivered")


def _answer(
    stand_in: StandIn, task: int, key: str, draw: random.Random, truth: dict[str, str], given: dict[str, int]
) -> bytes:
    """A person answers, or changes their answer, straight on the server; what it would post about it."""
    handler = stand_in._server.RequestHandlerClass
    kind = draw.choices([*CLASSES, "cannot tell", "skip"], [30, 30, 30, 5, 5])[0]
    body = (
        {"result": [], "was_cancelled": True} if kind == "skip" else {**choice(kind), "was_cancelled": False}
    )
    with stand_in.state.lock:
        _, made = handler._annotate(  # type: ignore[attr-defined]
            _Bound(stand_in.state), task, body, f"{TOKEN}-ann", given.get(key, 0)
        )
    truth[key] = {"skip": "skipped", "cannot tell": "cannot_tell"}.get(kind, kind)
    action = "ANNOTATION_UPDATED" if key in given else "ANNOTATION_CREATED"
    given[key] = made["id"]
    return json.dumps({"action": action, "annotation": made}).encode()


class _Bound:
    def __init__(self, state: Any) -> None:
        self.state = state


def _chaos(messages: list[bytes], draw: random.Random) -> list[bytes]:
    """30 % of the messages: a third is dropped, a third comes twice, a third comes at another time."""
    sent: list[bytes] = []
    late: list[bytes] = []
    for message in messages:
        fate = draw.random()
        if fate < 0.1:
            continue
        if fate < 0.2:
            sent += [message, message]
        elif fate < 0.3:
            late.append(message)
        else:
            sent.append(message)
    for message in late:
        sent.insert(draw.randrange(len(sent) + 1), message)
    return sent


class Receiver:
    """The real webhook routes, called as a server would."""

    def __init__(self) -> None:
        self.woken = self.sent = 0
        self._app = Starlette(routes=routes("d", self._wake))
        self._headers = {SECRET_HEADER: webhook_secret("d")}

    def _wake(self) -> None:
        self.woken += 1

    def deliver(self, messages: list[bytes]) -> None:

        async def send() -> None:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://linnet") as client:
                for message in messages:
                    answer = await client.post(PATH.format(name="d"), content=message, headers=self._headers)
                    assert answer.status_code in (200, 202)
                    self.sent += 1

        self.woken = 0
        asyncio.run(send())


@pytest.mark.slow
def test_loop_under_kills_and_webhook_chaos_loses_and_doubles_nothing(stand_in: StandIn) -> None:
    loop_under_fire(stand_in, 600, waves=3)


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_ten_thousand_labels_under_kills_and_webhook_chaos(stand_in: StandIn) -> None:
    loop_under_fire(stand_in, 10_000, waves=10)
