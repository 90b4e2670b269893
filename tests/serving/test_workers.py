"""Several worker processes as one server: one routing table, one sum of metrics, and no request lost."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.serving.client import ServerClient
from linnet.serving.predictor import Predictor
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, noise_png, running

BODIES = [noise_png(seed) for seed in range(40)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running(tmp_path / "run", make_package(tmp_path / "1"), "1", "--workers", "2") as started:
        yield started


def workers_of(server: RunningServer) -> list[int]:
    """The server's child processes."""
    return [
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if (text := _read(stat)) and int(text.rpartition(")")[2].split()[1]) == server.process.pid
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def value(client: ServerClient, name: str) -> float:
    lines = [line for line in client.metrics().splitlines() if line.startswith(name)]
    return float(lines[0].split()[-1]) if lines else 0.0


def asked_by(server: RunningServer, clients: int, each: int) -> list[tuple[bytes, dict[str, object]]]:
    """Answers over several connections at once, none tried again."""
    found: list[tuple[bytes, dict[str, object]]] = []

    def ask(start: int) -> None:
        client = ServerClient(server.state.url)
        for i in range(each):
            body = BODIES[(start + i) % len(BODIES)]
            status, _, content = client.request("POST", "/predict", body)
            found.append((body, {"status": status, **json.loads(content)}))
        client.close()

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_connections_are_shared_and_counts_add_up(server: RunningServer) -> None:
    answers = asked_by(server, clients=8, each=20)
    assert [answer["status"] for _, answer in answers] == [200] * 160
    assert value(server.client, 'linnet_requests_total{model="tiny",outcome="ok",version="1"}') == 160
    page = server.client.records(0)
    assert len(page.records) == 160 and page.lost == 0
    assert value(server.client, 'linnet_workers{state="running"}') == 2
    pids = {path.name.split("-")[2] for path in _log_after(server)}
    assert len(pids) == 2, "one worker took all connections"


def _log_after(server: RunningServer) -> list[Path]:
    assert server.stop() == 0
    return list(server.log_dir.glob("served-*.parquet"))


def test_sticky_keys_and_a_switch_hold_on_every_worker(server: RunningServer, tmp_path: Path) -> None:
    server.client.load("2", make_package(tmp_path / "2", broken="permuted"))
    server.client.set_routes("1", "2", percent=50)
    for key in map(str, range(12)):
        found = set()
        for _ in range(6):  # a new connection each, so that both workers are met
            client = ServerClient(server.state.url)
            found.add(client.predict(BODIES[0], key=key)["version"])
            client.close()
        assert len(found) == 1
    for version in ("2", "1", "2"):  # once the switch is confirmed no worker answers with another
        server.client.set_routes(version)
        assert {answer["version"] for _, answer in asked_by(server, 6, 5)} == {version}


@pytest.mark.slow
def test_worker_that_dies_is_replaced_with_the_routes_in_force(server: RunningServer, tmp_path: Path) -> None:
    server.client.load("2", make_package(tmp_path / "2", broken="permuted"))
    server.client.set_routes("2")
    asked_by(server, 4, 5)
    before = value(server.client, 'linnet_requests_total{model="tiny",outcome="ok",version="2"}')
    victims = workers_of(server)
    assert len(victims) == 2
    os.kill(victims[0], signal.SIGKILL)
    client, until = ServerClient(server.state.url), time.monotonic() + 60
    while value(client, 'linnet_workers{state="running"}') < 2 or set(workers_of(server)) == set(victims):
        assert time.monotonic() < until, "it was not replaced"
        time.sleep(0.1)
    client.close()
    answers = asked_by(server, 8, 5)
    assert {(answer["status"], answer["version"]) for _, answer in answers} == {(200, "2")}
    after = value(server.client, 'linnet_requests_total{model="tiny",outcome="ok",version="2"}')
    assert after == before + 40, "what the dead worker had counted is gone"


@pytest.mark.slow
@pytest.mark.parametrize("swaps", [15, pytest.param(100, marks=pytest.mark.proof)])
def test_swaps_lose_nothing_and_every_answer_is_the_replay_of_its_version(
    server: RunningServer, tmp_path: Path, swaps: int
) -> None:
    """Requests fall due 200 a second, over 8 connections, each sent once; none is left out."""
    packages = [tmp_path / "1", make_package(tmp_path / "2", broken="permuted")]
    answers: list[tuple[bytes, int, dict[str, object]]] = []
    stop, start = threading.Event(), time.monotonic()

    def ask(number: int) -> None:
        client, i = ServerClient(server.state.url), number
        while not stop.is_set():
            time.sleep(max(0.0, start + i / 200 - time.monotonic()))
            body = BODIES[i % len(BODIES)]
            status, _, content = client.request("POST", "/predict", body)
            answers.append((body, status, json.loads(content)))
            i += 8
        client.close()

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    try:
        for swap in range(2, swaps + 2):
            server.client.load(str(swap), packages[(swap + 1) % 2])
            server.client.set_routes(str(swap))
            server.client.unload(str(swap - 1))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for _, status, _ in answers} == {200}
    assert len({answer["version"] for _, _, answer in answers}) > swaps // 2
    replays = [Predictor.load("r", package, 1) for package in packages]
    expected = {(body, odd): replays[odd].predict_upload(body).output[0] for body in BODIES for odd in (0, 1)}
    for body, _, answer in answers:
        probabilities = expected[body, (int(str(answer["version"])) + 1) % 2]
        found = {one["class"]: one["probability"] for one in answer["predictions"]}  # type: ignore[index, attr-defined]
        for name, probability in found.items():
            index = replays[0].classes.index(name)
            assert probability == float(probabilities[index]), "not the bits of its version"
