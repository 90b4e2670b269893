"""A budget of memory: who sleeps to make room, who is woken by a request, and what is said meanwhile."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.config import ServingConfig
from linnet.errors import RequestRejected
from linnet.serving import worker
from linnet.serving.memory import Loaded, to_unload
from linnet.serving.metrics import Metrics
from linnet.serving.served_model import ServedModel
from linnet.serving.shared import SharedPage
from linnet.serving.totals import Totals
from linnet.serving.worker import Worker
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, png, running
from tests.serving.test_isolation import processes_of
from tests.serving.test_several_models import client_of, models_flags, said

A, B, C = Loaded("a", 100.0, 3, True), Loaded("b", 50.0, 1, True), Loaded("c", 80.0, 2, False)


@pytest.mark.parametrize(
    ("needed", "budget", "unloaded"),
    [
        (0.0, 230.0, []),
        (10.0, 230.0, ["b"]),
        (60.0, 230.0, ["b", "a"]),
        (500.0, 230.0, ["b", "a"]),  # c is being rolled out: it stays, and the budget is overdrawn
    ],
)
def test_model_that_was_asked_longest_ago_makes_room(
    needed: float, budget: float, unloaded: list[str]
) -> None:
    assert to_unload([A, B, C], needed, budget) == unloaded


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    for name in ("one", "two", "three"):
        make_package(folder / name, name=name)
    return folder


@pytest.fixture
def server(packages: Path, tmp_path: Path) -> Iterator[RunningServer]:
    """Three models on one worker, with a budget that one of them overdraws."""
    flags = models_flags(
        *({"name": name, "version": "1", "package": packages / name} for name in ("one", "two", "three"))
    )
    with running(tmp_path / "run", None, "", *flags, "--config-json", BUDGET) as started:
        yield started


BUDGET = json.dumps({"workers": 1, "memory_mb": 1})


def states(server: RunningServer, path: str = "/v2/models") -> dict[str, str]:
    method = "POST" if path.endswith("index") else "GET"
    return {
        entry["name"]: entry["state"] + (": " + entry["reason"] if entry["reason"] else "")
        for entry in json.loads(server.client.request(method, path)[2])
    }


def test_label_of_a_model_that_sleeps_wakes_it_and_is_taken(server: RunningServer) -> None:
    body = json.dumps({"request_id": "r", "label": "dim"}).encode()
    status, _, content = server.client.request("POST", "/feedback/one", body)
    assert (status, json.loads(content)) == (200, {"written": 1, "known": 0})
    token = {"Authorization": f"Bearer {server.state.token}"}
    unload = "/v2/repository/models/one/unload"
    assert server.client.request("POST", unload, b"", token)[0] == 200
    status, _, content = server.client.request("POST", "/feedback/one", body)
    assert status == 503 and "load it first" in json.loads(content)["error"]


def test_models_beyond_the_budget_are_loaded_by_their_first_request_and_the_oldest_sleeps(
    server: RunningServer, packages: Path
) -> None:
    asleep = "UNAVAILABLE: not loaded, to save memory: the next request loads it"
    beginning = {"one": asleep, "two": asleep, "three": asleep}
    assert states(server) == states(server, "/v2/repository/index") == beginning, "none fits into 1 MB"
    for name in beginning:
        assert server.client.request("GET", f"/v2/models/{name}/ready")[0] == 200
    assert states(server) == beginning, "whether it is ready is not a use"
    status, _, content = server.client.request("GET", "/v2/models/three")
    assert status == 200 and json.loads(content)["name"] == "three"
    for name in ("two", "three", "one", "two"):
        assert said(server, name) == (name, "1", "dark")
        assert states(server)[name] == "READY" and len(processes_of(name)) == 1
        others = {other for other in ("one", "two", "three") if other != name}
        assert all(states(server)[other] == asleep and not processes_of(other) for other in others)
        text = server.client.metrics()
        assert f'linnet_model_loaded{{model="{name}",role="champion",version="1"}} 1.0' in text
        assert all(client_of(server, other).routes()["asleep"] == "1" for other in others)
        assert client_of(server, name).routes()["asleep"] is None
        assert all(
            f'linnet_model_loaded{{model="{o}",role="asleep",version="1"}} 1.0' in text for o in others
        )
    with pytest.raises(RequestRejected, match="its package is of one"):
        client_of(server, "three").load("2", packages / "one")
    three = client_of(server, "three")
    three.load("2", packages / "three")
    three.set_routes("1", "2", percent=50)
    assert said(server, "one")[0] == "one"
    assert states(server)["three"] == "READY", "it is being rolled out: its judge asks it"


def test_request_that_would_wait_long_is_told_to_come_again_and_asks_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "WAKE_SECONDS", 0.05)
    asked: list[str] = []
    loaded = asyncio.Event()

    class Supervisor:
        async def ask(self, question: str, model: str) -> None:
            asked.append(f"{question} {model}")
            await loaded.wait()

    async def scenario() -> None:
        page = SharedPage.create()
        here = Worker(socket.socket(), page, 0)
        here._channel = Supervisor()  # type: ignore[assignment]
        model = ServedModel("one", page.generation(0), page.asked(0), ServingConfig())
        refused = await asyncio.gather(*(here._wake(model) for _ in range(3)), return_exceptions=True)
        assert [(type(one), getattr(one, "status", 0)) for one in refused] == [(RequestRejected, 503)] * 3
        assert asked == ["wake one"]
        loaded.set()
        await here._wake(model)
        assert asked == ["wake one"]
        await here._wake(model)
        assert len(asked) == 2
        await model.end(1.0)
        here._listener.close()
        page.close()

    asyncio.run(scenario())


def test_metrics_of_long_unloaded_versions_are_forgotten(packages: Path, tmp_path: Path) -> None:
    with running(tmp_path / "run", packages / "one", "0", "--name", "one", "--workers", "1") as server:
        for number in range(1, 25):
            server.client.load(str(number), packages / "one")
            server.client.set_routes(str(number))
            server.client.predict(png(8))
            server.client.unload(str(number - 1))
        text = server.client.metrics()
        shown = {
            int(line.split('version="')[1].split('"')[0])
            for line in text.splitlines()
            if line.startswith("linnet_request_seconds_count")
        }
        assert shown == set(range(4, 25)), "the one that serves, and the twenty before it"


def test_counts_of_a_forgotten_version_leave_the_sums_of_workers_that_ended() -> None:
    metrics, totals = Metrics("tiny"), Totals()
    for version in ("1", "2"):
        metrics.answered(version, "ok", 0.1, 0.1)
    totals.update(0, metrics.values())
    totals.ended(0)
    totals.forget("tiny", "1")
    text = totals.text({}, []).decode()
    assert 'version="2"' in text and 'version="1"' not in text
