from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from linnet.config import ServingConfig
from linnet.deployment.local_server import EmbeddedServer, give_back, is_loopback, start_server
from linnet.deployment.traffic import LoadRefused
from linnet.errors import RolloutError
from linnet.process.model_server import ServerState
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, png, running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    make_package(folder / "good")
    make_package(folder / "corrupt", broken="corrupt")
    return folder


@pytest.fixture(scope="module")
def process(folder: Path) -> Iterator[RunningServer]:
    with running(folder / "server", folder / "good") as server:
        yield server


@pytest.fixture
def server(process: RunningServer) -> Iterator[EmbeddedServer]:
    found = EmbeddedServer.find(process.state_file, "tiny", "2")
    assert found is not None
    yield found
    found.route(None, 0, 0.0)
    found.unload("2")
    found.close()


def test_server_routes_and_forgets_a_candidate(server: EmbeddedServer, folder: Path) -> None:
    server.load("2", folder / "good")
    server.route("2", 25, 0.5)
    routes = server.routes()
    assert (routes["champion"], routes["candidate"], routes["percent"], routes["mirror"]) == (
        "1",
        "2",
        25,
        0.5,
    )
    server.route(None, 0, 0.0)
    server.unload("2")
    server.unload("2")
    assert list(server.routes()["versions"]) == ["1"]


def test_server_given_a_damaged_package_refuses_and_keeps_its_champion(
    server: EmbeddedServer, folder: Path
) -> None:
    with pytest.raises(LoadRefused, match=r"digest|damaged|corrupt"):
        server.load("2", folder / "corrupt")
    assert server.champion() == "1"


def test_server_refuses_to_unload_a_version_with_traffic(server: EmbeddedServer) -> None:
    with pytest.raises(RolloutError, match=r"version 1 cannot be unloaded: .*routed"):
        server.unload("1")


def test_server_refuses_to_route_a_version_that_is_not_loaded(server: EmbeddedServer) -> None:
    with pytest.raises(RolloutError, match="not loaded"):
        server.route("2", 5, 0.0)


def test_server_gives_each_record_once(server: EmbeddedServer, process: RunningServer) -> None:
    cursor, nothing = server.records(-1)
    assert nothing == []
    for _ in range(3):
        process.client.predict(png(200))
    found, until = [], time.monotonic() + 90
    while len(found) < 3 and time.monotonic() < until:
        cursor, records = server.records(cursor)
        found += records
    assert [(record.version, record.ok) for record in found] == [("1", True)] * 3
    assert server.records(cursor) == (cursor, [])


def test_records_that_the_server_lost_are_counted() -> None:
    pages = iter(
        [{"last": 9, "lost": 4, "more": True, "records": []}, {"last": 12, "lost": 1, "records": []}]
    )
    target = EmbeddedServer("http://127.0.0.1:1", "t" * 20, "tiny", "2")
    target._client = httpx.Client(
        base_url=target.url, transport=httpx.MockTransport(lambda _: httpx.Response(200, json=next(pages)))
    )
    assert target.records(3) == (12, []) and target.lost == 5
    target.close()


def test_server_s_champion_that_is_the_candidate_itself_does_not_count(process: RunningServer) -> None:
    same = EmbeddedServer.find(process.state_file, "tiny", "1")
    assert same is not None
    assert same.champion() is None
    same.route("1", 100, 0.0)
    assert same.routes()["champion"] == "1"
    same.close()


def test_find_without_a_server_that_answers_finds_none(tmp_path: Path) -> None:
    assert EmbeddedServer.find(tmp_path / "nothing.json", "tiny", "2") is None
    stale = tmp_path / "stale.json"
    stale.write_text(
        json.dumps({"url": "http://127.0.0.1:9", "pid": os.getpid(), "token": "t", "models": ["tiny"]})
    )
    assert EmbeddedServer.find(stale, "tiny", "2") is None
    stale.write_text("{half")
    assert EmbeddedServer.find(stale, "tiny", "2") is None


def test_find_and_give_back_of_a_server_that_runs_and_does_not_answer_say_so(tmp_path: Path) -> None:
    """Nobody may conclude that it serves nothing: the candidate may have its share there."""
    file = tmp_path / "server.json"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ServerState.of(os.getpid(), url, "t", ["tiny"]).write(file)
        with pytest.raises(RolloutError, match=r"does not answer.*linnet down.*again"):
            EmbeddedServer.find(file, "tiny", "2")
        with pytest.raises(RolloutError, match="does not answer"):
            give_back(file, "tiny", "2")


def test_find_of_a_server_that_refuses_our_token_says_so(process: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    ServerState.of(process.state.pid, process.state.url, "wrong", ["tiny"]).write(file)
    with pytest.raises(RolloutError, match="refused"):
        EmbeddedServer.find(file, "tiny", "2")


def test_server_with_a_wrong_token_is_not_ours(process: RunningServer) -> None:
    server = EmbeddedServer(process.state.url, "wrong", "tiny", "2")
    with pytest.raises(RolloutError, match="was refused"):
        server.routes()
    server.close()


def test_process_lives_until_it_is_stopped(folder: Path, tmp_path: Path) -> None:
    started = start_server(folder / "good", "tiny", "1", ServingConfig(threads=1, host="0.0.0.0"), tmp_path)
    server = EmbeddedServer(started.state.url, started.state.token, "tiny", "2")
    assert server.champion() == "1"
    assert is_loopback(server.url), "a server for a release is nobody else's"
    server.close()
    started.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(started.pid, 0)


def test_process_that_cannot_start_says_why(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadRefused, match=r"did not start: .*model.onnx: its digest is"):
        start_server(folder / "corrupt", "tiny", "1", ServingConfig(), tmp_path)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:80", True),
        ("http://localhost:80", True),
        ("http://[::1]:80", True),
        ("http://example.com", False),
        ("http://192.168.0.1:80", False),
        ("nonsense", False),
    ],
)
def test_is_loopback_knows_this_machine(url: str, here: bool) -> None:
    assert is_loopback(url) is here
