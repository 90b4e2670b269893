"""A model that is taken out of service while it is asked: nothing is lost, nobody waits for ever."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import parquet

from linnet.config import ServingConfig
from linnet.errors import RequestRejected
from linnet.records.prediction_log import served_files
from linnet.serving.router import RoutingTable
from linnet.serving.served_model import ServedModel
from linnet.serving.service import Call, PredictionOutcome
from linnet.serving.shared import SharedPage
from tests.serving.packages import make_package
from tests.serving.running import png, running
from tests.serving.test_service import call_of
from tests.serving.test_several_models import client_of, models_flags

PATIENCE = 20.0


@pytest.fixture
def page() -> Iterator[SharedPage]:
    page = SharedPage.create()
    yield page
    page.close()


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 10 ms an image: it runs in a thread, and others wait for it."""
    return make_package(tmp_path_factory.mktemp("slow"), broken="slow", slow_rounds=400)


def served(page: SharedPage, package: Path, log_dir: Path | None, table: RoutingTable) -> ServedModel:
    settings = ServingConfig(max_batch=1)
    model = ServedModel("tiny", page.generation(0), page.asked(0), settings, log_dir=log_dir)
    for version in table.versions:
        model.fleet.stage(version, package)
        model.fleet.keep(version)
    model.fleet.prepare(1, table)
    page.generation(0).number = 1
    return model


async def asked(model: ServedModel, call: Call) -> PredictionOutcome | RequestRejected:
    try:
        outcome, finish = await asyncio.wait_for(model.service.answer(call), PATIENCE)
    except RequestRejected as error:
        return error
    finish()
    return outcome


def rows(log_dir: Path) -> int:
    return sum(parquet.read_metadata(path).num_rows for path in served_files(log_dir))


def test_model_that_ends_answers_and_logs_what_it_was_asked_before(
    tmp_path: Path, page: SharedPage, slow: Path
) -> None:
    async def ask() -> list[PredictionOutcome | RequestRejected]:
        model = served(page, slow, tmp_path, RoutingTable(champion="1"))
        model.start()
        calls = [
            call_of(100),
            *(call_of(level, heavy=True) for level in (10, 20)),
            *map(call_of, range(30, 36)),
        ]
        waiting = [asyncio.ensure_future(asked(model, call)) for call in calls]
        await asyncio.sleep(0.01)
        assert not all(task.done() for task in waiting), "nothing waited"
        await model.end(PATIENCE)
        found = list(await asyncio.gather(*waiting))
        late = await asked(model, call_of(100))
        assert isinstance(late, RequestRejected) and late.status == 503 and "try again" in late.problem
        return found

    assert [one.status for one in asyncio.run(ask())] == [200] * 9
    assert rows(tmp_path) == 9


def test_what_a_model_cannot_answer_in_the_time_that_it_has_is_refused(
    tmp_path: Path, page: SharedPage, slow: Path
) -> None:
    async def ask() -> list[PredictionOutcome | RequestRejected]:
        model = served(page, slow, tmp_path, RoutingTable(champion="1"))
        model.start()
        waiting = [asyncio.ensure_future(asked(model, call_of(level))) for level in range(10, 30)]
        await asyncio.sleep(0.01)
        await model.end(0.0)
        return list(await asyncio.gather(*waiting))

    found = Counter(one.status for one in asyncio.run(ask()))
    assert set(found) == {200, 503} and sum(found.values()) == 20
    assert rows(tmp_path) == found[200]


def test_copy_that_a_shadow_did_not_get_to_is_no_failure_of_it(page: SharedPage, slow: Path) -> None:
    async def ask() -> ServedModel:
        model = served(page, slow, None, RoutingTable("1", "2", 0.0, 1.0))
        await asyncio.gather(*(asked(model, call_of(level)) for level in range(10, 20)))
        await model.end(0.0)
        return model

    model = asyncio.run(ask())
    records = model.records()["records"]
    assert len([one for one in records if not one.get("shadow")]) == 10, "an answered request has no record"
    skipped = [one for one in records if one["agrees"] is None and not one.get("shadow")]
    assert skipped and all(one["agrees"] in (None, 1.0) for one in records)
    text = str(model.metrics.values())
    assert "'outcome': 'skipped'" in text and "'outcome': 'failed'}, 1" not in text


@pytest.mark.slow
def test_model_that_is_closed_under_load_loses_no_request(slow: Path, tmp_path: Path) -> None:
    flags = models_flags(
        {"name": "slow", "version": "1", "package": slow},
        {"name": "other", "version": "1", "package": make_package(tmp_path / "other")},
    )
    with running(tmp_path / "run", None, "", *flags, "--workers", "1") as server:
        statuses: list[int] = []
        texts: set[str] = set()

        def ask() -> None:
            client = client_of(server, "slow")
            while True:
                status, _, content = client.request("POST", "/predict/slow", png(100))
                statuses.append(status)
                if status != 200:
                    texts.add(json.loads(content)["error"])
                if status == 404:
                    return

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(12)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + PATIENCE
        while len(statuses) < 20 and time.monotonic() < until:
            time.sleep(0.01)
        token = {"Authorization": f"Bearer {server.state.token}"}
        assert server.client.request("DELETE", "/admin/models/slow", b"", token)[0] == 200
        for thread in threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in threads), "a request was never answered"
        found = Counter(statuses)
        assert set(found) <= {200, 404, 503} and found[200] >= 20, (found, texts)
        server.stop()
        assert rows(server.log_dir) == found[200]
