"""Admin routes on a real server under load: swaps, splits, broken versions, mirroring, records."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.errors import RequestRejected
from linnet.records import ServedRecord
from linnet.serving.client import ServerClient
from tests.serving.load import Load, statuses
from tests.serving.packages import RAISING_LEVEL, Broken, make_package
from tests.serving.running import RunningServer, png, running

LEVELS = tuple(range(8, 256, 8))
BODIES = [png(level) for level in LEVELS]
NEXT = {"dark": "dim", "dim": "bright", "bright": "white", "white": "dark"}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("admin")
    with running(folder, make_package(folder / "good")) as server:
        yield server


@pytest.fixture
def server(started: RunningServer, tmp_path: Path) -> RunningServer:
    """The one server, with nothing but version 1 loaded and routed; a good package lies in tmp_path."""
    good = make_package(tmp_path / "good")
    started.client.load("1", good)
    started.client.set_routes("1")
    for version in set(started.client.routes()["versions"]) - {"1"}:
        started.client.unload(version)
    return started


def last(client: ServerClient) -> int:
    """The sequence number of the newest record."""
    page = client.records(0)
    while page.more:
        page = client.records(page.last)
    return page.last


def records_until(client: ServerClient, count: int, after: int) -> list[ServedRecord]:
    """Waits until `count` records were published."""
    found: list[ServedRecord] = []
    until = time.monotonic() + 90
    while len(found) < count and time.monotonic() < until:
        page = client.records(after)
        after, found = page.last, found + list(page.records)
    assert len(found) == count
    return found


def top(client: ServerClient, level: int) -> str:
    return str(client.predict(png(level))["predictions"][0]["class"])


def test_admin_without_the_token_is_refused(server: RunningServer) -> None:
    for token in (None, "", "wrong", server.state.token + "x", server.state.token[:-1]):
        client = ServerClient(server.state.url, token)
        for method, path in (("GET", "routes"), ("PUT", "routes"), ("PUT", "versions/2"), ("GET", "records")):
            status, _, content = client.request(method, f"/admin/models/tiny/{path}", b"{}")
            assert status == 401 and "error" in json.loads(content)
        client.close()
    assert server.client.routes()["champion"] == "1"


def test_wrong_admin_requests_are_told(server: RunningServer, tmp_path: Path) -> None:
    def status(method: str, path: str, body: bytes = b"") -> int:
        return server.client.request(method, path, body)[0]

    assert status("GET", "/admin") == 404
    assert status("POST", "/admin/models/tiny/routes") == 405
    assert status("PUT", "/admin/models/tiny/versions/2", b"[]") == 400
    assert status("PUT", "/admin/models/tiny/routes", b"{") == 400
    assert status("PUT", "/admin/models/tiny/routes", b'{"champion": "9"}') == 409
    assert status("DELETE", "/admin/models/tiny/versions/9") == 404
    assert status("DELETE", "/admin/models/tiny/versions/1") == 409
    assert status("GET", "/admin/models/tiny/records?after=-1") == 400
    make_package(tmp_path / "other", broken="permuted")
    with pytest.raises(RequestRejected, match="another package") as caught:
        server.client.load("1", tmp_path / "other")
    assert caught.value.status == 409
    assert top(server.client, 8) == "dark"


@pytest.mark.parametrize("broken", ["corrupt", "shape", "nan", "golden"])
def test_broken_package_is_refused_while_champion_answers(
    server: RunningServer, tmp_path: Path, broken: Broken
) -> None:
    make_package(tmp_path / "broken", broken=broken)
    with Load(server.state.url, BODIES, connections=2) as load:
        load.wait_for(10)
        with pytest.raises(RequestRejected) as caught:
            server.client.load("2", tmp_path / "broken")
        load.wait_for(len(load.answers) + 10)
    assert caught.value.status == 422 and "\n" not in str(caught.value)
    assert set(server.client.routes()["versions"]) == {"1"}
    assert statuses(load.answers) == {200} and not load.broken


def test_missing_package_is_refused_with_its_path(server: RunningServer, tmp_path: Path) -> None:
    with pytest.raises(RequestRejected, match=r"package\.json is missing"):
        server.client.load("2", tmp_path / "nothing")


def test_swaps_under_load_lose_nothing_and_each_answer_is_its_versions(
    server: RunningServer, tmp_path: Path
) -> None:
    good, permuted = tmp_path / "good", make_package(tmp_path / "permuted", broken="permuted")
    truth = {png(level): top(server.client, level) for level in LEVELS}
    with Load(server.state.url, BODIES) as load:
        load.wait_for(20)
        for i in range(2, 22):  # even versions are permuted; the one before is unloaded each time
            server.client.load(str(i), permuted if i % 2 == 0 else good)
            server.client.set_routes(str(i))
            server.client.unload(str(i - 1))
        load.wait_for(len(load.answers) + 20)
    assert statuses(load.answers) == {200} and not load.broken
    assert len({answer.version for answer in load.answers}) > 10
    for answer in load.answers:
        named = answer.content["predictions"][0]["class"]
        assert answer.content["version"] == answer.version
        expected = truth[answer.body] if int(answer.version) % 2 else NEXT[truth[answer.body]]
        assert named == expected


def test_split_follows_the_routes_and_sticks_to_keys(server: RunningServer, tmp_path: Path) -> None:
    server.client.load("2", make_package(tmp_path / "permuted", broken="permuted"))
    server.client.set_routes("1", "2", percent=25)
    found = [server.client.predict(BODIES[0])["version"] for _ in range(800)]
    assert 140 <= found.count("2") <= 260  # 200 expected, standard deviation 12
    keyed = {
        str(key): {server.client.predict(BODIES[0], key=str(key))["version"] for _ in range(3)}
        for key in range(60)
    }
    assert all(len(versions) == 1 for versions in keyed.values())
    assert len({version for versions in keyed.values() for version in versions}) == 2
    asked = server.client.request("POST", "/v2/models/tiny/versions/2/infer", b"{}")
    assert asked[1]["linnet-model-version"] == "2"


def test_raising_version_fails_only_its_own_requests(server: RunningServer, tmp_path: Path) -> None:
    server.client.load("2", make_package(tmp_path / "raising", broken="raising"))
    server.client.set_routes("1", "2", percent=50)
    bad, before = png(RAISING_LEVEL - 1), last(server.client)
    with Load(server.state.url, [*BODIES[:9], bad], connections=3) as load:
        load.wait_for(400)
    assert not load.broken
    for answer in load.answers:
        failed = answer.version == "2" and answer.body == bad
        assert answer.status == (500 if failed else 200)
        assert not failed or (
            "model tiny failed" in answer.content["error"] and "Traceback" not in str(answer.content)
        )
    assert 500 in statuses(load.answers)
    served = records_until(server.client, len(load.answers), before)
    assert sum(not record.ok for record in served) == sum(a.status == 500 for a in load.answers)
    assert {record.version for record in served if not record.ok} == {"2"}
    server.client.set_routes("1")  # rolled back: nothing fails any more
    assert all(server.client.predict(bad)["version"] == "1" for _ in range(20))


def test_mirrored_requests_say_whether_versions_agree(server: RunningServer, tmp_path: Path) -> None:
    server.client.load("same", tmp_path / "good")
    server.client.load("permuted", make_package(tmp_path / "permuted", broken="permuted"))
    server.client.load("raising", make_package(tmp_path / "raising", broken="raising"))
    after = last(server.client)
    for candidate, level, expected in (
        ("same", 100, True), ("permuted", 100, False), ("raising", 100, True), ("raising", 1, False),
    ):  # fmt: skip
        server.client.set_routes("1", candidate, percent=0, mirror=1)
        for _ in range(10):
            assert server.client.predict(png(level))["version"] == "1"
        records = records_until(server.client, 20, after)
        after += 20
        served = [record for record in records if not record.shadow]
        assert [record.agrees for record in served] == [expected] * 10
        assert {record.version for record in served} == {"1"} and all(record.ok for record in served)
        shadows = [record for record in records if record.shadow]
        assert {record.version for record in shadows} == {candidate} and len(shadows) == 10
        failing = candidate == "raising" and level < RAISING_LEVEL
        assert [record.ok for record in shadows] == [not failing] * 10
    server.client.set_routes("1", "same", percent=0, mirror=0)
    server.client.predict(png(100))
    assert records_until(server.client, 1, after)[0].agrees is None
    assert (
        'linnet_mirrored_total{model="tiny",outcome="differs",version="permuted"} 10'
        in server.client.metrics()
    )


def test_records_say_what_was_answered(server: RunningServer) -> None:
    began, before = time.time(), last(server.client)
    answers = [server.client.predict(body) for body in BODIES]
    with pytest.raises(RequestRejected):
        server.client.predict(b"no image")  # the client's fault is no record
    served = records_until(server.client, len(BODIES), before)
    for answer, record in zip(answers, served, strict=True):
        first = answer["predictions"][0]
        assert (record.predicted, record.confidence) == (first["class"], first["probability"])
        assert record.latency_ms == answer["latency_ms"] and began <= record.at <= time.time()
    assert server.client.records(before + len(BODIES)).records == ()


def test_candidate_without_champion_answers_and_nobody_answers_nothing(
    server: RunningServer, tmp_path: Path
) -> None:
    server.client.load("2", tmp_path / "good")
    server.client.set_routes(None, "2", percent=1)
    assert server.client.predict(BODIES[0])["version"] == "2"
    server.client.set_routes(None, None)
    assert not server.client.ready()
    with pytest.raises(RequestRejected) as caught:
        server.client.predict(BODIES[0])
    assert caught.value.status == 503
    server.client.set_routes("1")
    assert server.client.ready() and server.client.predict(BODIES[0])["version"] == "1"
