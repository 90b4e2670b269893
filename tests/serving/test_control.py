"""The supervisor's changes over real channels, with workers that say what they were asked."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from linnet.errors import RequestRejected
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
