"""Pages that were asked for and that no browser came to show."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from nicegui import Client
from nicegui.page import page

from linnet.console.abandoned_pages import MOST, PATIENCE_SECONDS, forget_abandoned


@pytest.fixture
def asked() -> Iterator[list[Client]]:
    before = dict(Client.instances)

    async def make() -> list[Client]:
        return [Client(page("")) for _ in range(MOST + 50)]

    clients = asyncio.run(make())
    now = time.time()
    for number, client in enumerate(clients):
        client.created = now - 30 + number * 0.01
    yield clients
    Client.instances.clear()
    Client.instances.update(before)


def test_pages_that_nobody_shows_are_dropped_but_for_the_newest(asked: list[Client]) -> None:
    shown = asked[0]
    shown.tab_id = "of a browser"
    assert shown.has_socket_connection
    forget_abandoned()
    left = [client for client in asked if client.id in Client.instances]
    assert left == [shown, *asked[-MOST:]]


def test_page_that_was_just_asked_for_is_kept_however_many_there_are(asked: list[Client]) -> None:
    now = time.time()
    for client in asked:
        client.created = now - PATIENCE_SECONDS / 2
    forget_abandoned(now)
    assert all(client.id in Client.instances for client in asked)
