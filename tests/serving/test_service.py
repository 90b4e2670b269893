"""The service by itself: what is refused when too much is in flight."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from linnet.errors import RequestRejected
from linnet.serving.fleet import start_fleet
from linnet.serving.log import PredictionLog
from linnet.serving.metrics import Metrics
from linnet.serving.predictor import Prediction, Predictor
from linnet.serving.ring import ServedRing
from linnet.serving.service import Call, Service
from tests.serving.packages import image_of, make_package


def test_request_beyond_the_limit_is_told_to_come_back(tmp_path: Path) -> None:
    fleet = start_fleet("1", make_package(tmp_path), threads=1)
    service = Service(
        fleet, Metrics("tiny"), PredictionLog(None, 1, 0), ServedRing(), workers=1, max_in_flight=2
    )
    go = threading.Event()

    def work(predictor: Predictor) -> Prediction:
        go.wait(20)
        return predictor.predict(image_of(9)[None], None)

    call = Call("r", None, None, work, lambda *_: (b"done", None))

    async def ask() -> list[bytes]:
        waiting = [asyncio.ensure_future(service.answer(call)) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(RequestRejected) as caught:
            await service.answer(call)
        assert caught.value.status == 429
        go.set()
        answered = [(await one)[0].body for one in waiting]
        return [*answered, (await service.answer(call))[0].body]

    assert asyncio.run(ask()) == [b"done", b"done", b"done"]
    service.close()


def test_version_that_cannot_stand_in_a_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestRejected, match="version") as caught:
        start_fleet("a\nb", make_package(tmp_path), threads=1)
    assert caught.value.status == 400
