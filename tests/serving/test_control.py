"""The supervisor's changes over real channels, with workers that say what they were asked."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from linnet.config import ServingConfig
from linnet.errors import RequestRejected
from linnet.serving.models import Models
from linnet.serving.rpc import Channel
from linnet.serving.shared import SharedPage
from linnet.serving.version_manager import Control


def test_version_that_does_not_load_in_time_is_refused_and_dropped_and_the_next_one_loads() -> None:
    asked: list[tuple[str, str]] = []
    loading = asyncio.Lock()

    async def worker(question: str, given: dict[str, Any]) -> Any:
        async with loading:
            assert given["model"] == "tiny"
            asked.append((question, given["version"]))
            if (question, given["version"]) == ("stage", "slow"):
                await asyncio.sleep(0.5)
        return {"name": "tiny", "classes": ["a", "b"]}

    async def scenario() -> None:
        here, there = socket.socketpair()
        page = SharedPage.create()
        workers: dict[int, Channel] = {}
        control = Control("tiny", page.generation(0), workers, load_seconds=0.1)
        workers[1] = await Channel.over(here, worker)
        answering = await Channel.over(there, worker)
        with pytest.raises(RequestRejected, match=r"within 0\.1 s") as caught:
            await control.load("slow", Path("package"))
        assert caught.value.status == 422 and control.versions == {}
        await asyncio.sleep(0.6)
        assert asked == [("stage", "slow"), ("drop", "slow")]
        await control.load("quick", Path("package"))
        assert list(control.versions) == ["quick"]
        for end in (workers[1], answering):
            end.close()
            await end.closed.wait()
        page.close()

    asyncio.run(scenario())


def test_model_that_is_closed_keeps_no_other_from_being_opened() -> None:
    """What it was asked before may take it 15 s; all that opened, closed or replaced waited for that."""
    answered, slots = asyncio.Event(), {}

    async def worker(question: str, given: dict[str, Any]) -> Any:
        if question == "open":
            slots[given["model"]] = given["slot"]
        elif question == "close" and given["model"] == "slow":
            await answered.wait()

    async def scenario() -> None:
        here, there = socket.socketpair()
        page = SharedPage.create()
        models, settings = Models(page), ServingConfig()
        models.workers[1] = await Channel.over(here, worker)
        answering = await Channel.over(there, worker)
        await models.open("slow", settings)
        closing = [asyncio.ensure_future(models.close("slow"))]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            await models.open("other", settings)
            async with models.standing_still():
                assert list(models.controls) == ["other"]
        assert slots["other"] != slots["slow"], "it still counts in the slot of its own"
        again = asyncio.ensure_future(models.open("slow", settings))
        await asyncio.sleep(0.05)
        assert not again.done() and not closing[0].done()
        answered.set()
        await asyncio.gather(again, *closing)
        assert sorted(models.controls) == ["other", "slow"] and slots["slow"] == 0
        for end in (models.workers[1], answering):
            end.close()
            await end.closed.wait()
        page.close()

    asyncio.run(scenario())


def test_model_that_could_not_be_loaded_can_be_given_up() -> None:
    async def scenario() -> None:
        page = SharedPage.create()
        models = Models(page)
        models.unserved["damaged"] = "its digest differs"
        await models.close("damaged")
        assert models.unserved == {}
        with pytest.raises(RequestRejected) as caught:
            await models.close("damaged")
        assert caught.value.status == 404
        page.close()

    asyncio.run(scenario())
