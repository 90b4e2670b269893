"""The service by itself: batching, what is refused when too much is in flight, deadlines, isolation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from linnet.errors import RequestRejected
from linnet.serving.fleet import Fleet
from linnet.serving.log import PredictionLog
from linnet.serving.metrics import Metrics
from linnet.serving.predictor import Predictor
from linnet.serving.router import RoutingTable, check_version
from linnet.serving.service import Call, Inputs, PredictionOutcome, Service
from linnet.serving.shared import SharedPage
from tests.serving.packages import RAISING_LEVEL, Broken, image_of, make_package


@pytest.fixture
def page() -> Iterator[SharedPage]:
    page = SharedPage.create()
    yield page
    page.close()


def fleet_of(page: SharedPage, folder: Path, broken: Broken | None = None) -> Fleet:
    fleet = Fleet(page.generation(0))
    fleet.stage("1", make_package(folder, broken=broken))
    fleet.keep("1")
    fleet.prepare(1, RoutingTable(champion="1"))
    page.generation(0).number = 1
    return fleet


def service_of(fleet: Fleet, **settings: float) -> Service:
    return Service(fleet, Metrics("tiny"), PredictionLog(None, 1, 0), **settings)  # type: ignore[arg-type]


def call_of(level: int, rows: int = 1, heavy: bool = False, **more: object) -> Call:
    def prepare(_: Predictor) -> Inputs:
        return np.repeat(image_of(level)[None], rows, axis=0), None

    return Call("r", None, None, prepare, lambda _, p, __: (p.output.tobytes(), None), heavy, **more)  # type: ignore[arg-type]


async def answers(service: Service, calls: list[Call]) -> list[PredictionOutcome]:
    async def one(call: Call) -> PredictionOutcome:
        outcome, finish = await service.answer(call)
        finish()
        return outcome

    return list(await asyncio.gather(*map(one, calls)))


def batches(service: Service) -> list[float]:
    """The histogram of images a run: how many runs, and of how many images together."""
    found = {one[0]: one for family in service.metrics.values() for one in family[3]}
    return [found["linnet_batch_images_count"][2], found["linnet_batch_images_sum"][2]]


def test_request_beyond_the_limit_is_told_to_come_back(tmp_path: Path, page: SharedPage) -> None:
    service = service_of(fleet_of(page, tmp_path), capacity=2)
    go = threading.Event()

    def wait(_: Predictor) -> Inputs:
        go.wait(20)
        return image_of(9)[None], None

    slow = Call("r", None, None, wait, lambda *_: (b"done", None), heavy=True)

    async def ask() -> list[bytes]:
        waiting = [asyncio.ensure_future(service.answer(slow)) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(RequestRejected) as caught:
            await service.answer(slow)
        assert caught.value.status == 429 and service.retry_after() >= 1
        go.set()
        answered = [(await one)[0].body for one in waiting]
        return [*answered, (await service.answer(slow))[0].body]

    assert asyncio.run(ask()) == [b"done", b"done", b"done"]
    service.close()


def test_what_queued_together_runs_together_and_idle_runs_at_once(tmp_path: Path, page: SharedPage) -> None:
    service = service_of(fleet_of(page, tmp_path))
    alone = asyncio.run(answers(service, [call_of(10)]))
    assert batches(service) == [1, 1]
    together = asyncio.run(answers(service, [call_of(10), call_of(100, rows=3), call_of(250)]))
    assert batches(service) == [2, 6]
    assert together[0].body == alone[0].body, "the company changed the answer"
    assert [outcome.prediction.output.shape for outcome in together] == [(1, 4), (3, 4), (1, 4)]  # type: ignore[union-attr]
    service.close()


def test_batch_takes_no_more_than_its_size(tmp_path: Path, page: SharedPage) -> None:
    service = service_of(fleet_of(page, tmp_path), max_batch=4)
    asyncio.run(answers(service, [call_of(level) for level in range(10, 20)]))
    assert batches(service) == [3, 10]
    service.close()


def test_failing_request_fails_alone_in_its_batch(tmp_path: Path, page: SharedPage) -> None:
    service = service_of(fleet_of(page, tmp_path, "raising"))
    calls = [call_of(100), call_of(RAISING_LEVEL - 1), call_of(200)]
    assert [outcome.status for outcome in asyncio.run(answers(service, calls))] == [200, 500, 200]
    assert [record["ok"] for record in service.records] == [True, False, True]
    service.close()


def test_request_that_waited_too_long_is_refused(tmp_path: Path, page: SharedPage) -> None:
    service = service_of(fleet_of(page, tmp_path))
    late = call_of(100, deadline=1e-9)

    async def ask() -> None:
        with pytest.raises(RequestRejected, match="deadline") as caught:
            await service.answer(late)
        assert caught.value.status == 503

    asyncio.run(ask())
    service.close()


def test_table_is_in_force_only_when_the_page_says_so(tmp_path: Path, page: SharedPage) -> None:
    fleet = fleet_of(page, tmp_path)
    fleet.prepare(2, RoutingTable())
    assert fleet.snapshot.leading == "1"
    page.generation(0).number = 2
    assert fleet.snapshot.leading == "none"
    with pytest.raises(RequestRejected, match="not loaded"):
        fleet.prepare(3, RoutingTable(champion="2"))


def test_version_that_cannot_stand_in_a_header_is_refused() -> None:
    with pytest.raises(RequestRejected, match="version") as caught:
        check_version("a\nb")
    assert caught.value.status == 400
