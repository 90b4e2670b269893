"""A candidate's share ends by itself when its judge is gone: killed, hung, or cut off; and that is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.automation.abandoned_rollouts import settle_abandoned
from linnet.deployment.journal import Journal
from linnet.deployment.local_server import EmbeddedServer
from linnet.errors import RequestRejected
from linnet.registry.ledger import Ledger
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, running

LEASE = 2.0
JUDGE = """
import sys, threading, time
from pathlib import Path
from linnet.config import ReleaseConfig
from linnet.deployment.local_server import EmbeddedServer
from linnet.deployment.rollout import Candidate, Rollout
state, package, journal = map(Path, sys.argv[1:4])
server = EmbeddedServer.find(state, {model}"2")
config = ReleaseConfig(steps=(50, 100), min_requests=10**9, deadline_seconds=600, metrics=("errors",))
print(Rollout(server, Candidate("tiny", "2", package), config, list, journal).run().reason)
"""
HOLDER = """
import sys, time
from pathlib import Path
from linnet.deployment.journal import Journal
with Journal(Path(sys.argv[1])).held():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("lease")
    settings = json.dumps({"workers": 1, "lease_seconds": LEASE})
    with running(folder, make_package(folder / "package"), "1", "--config-json", settings) as started:
        started.client.load("2", folder / "package")
        yield started


def share(server: RunningServer) -> tuple[str | None, float]:
    routes = server.client.routes()
    return routes["candidate"], routes["percent"]


def wait_for_share(server: RunningServer, wanted: tuple[str | None, float], seconds: float) -> float:
    began = time.monotonic()
    while share(server) != wanted:
        assert time.monotonic() - began < seconds, f"{share(server)} after {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - began


def lapses(server: RunningServer) -> float:
    line = next(
        one for one in server.client.metrics().splitlines() if one.startswith("linnet_rollouts_lapsed_total")
    )
    return float(line.split()[-1])


def test_share_that_nobody_renews_goes_back_to_the_champion_and_is_told(server: RunningServer) -> None:
    before = lapses(server)
    server.client.set_routes("1", "2", 50, 0.5)
    assert wait_for_share(server, (None, 0.0), LEASE + 5) > LEASE - 0.5
    routes = server.client.routes()
    assert routes["champion"] == "1" and routes["mirror"] == 0
    assert routes["lapsed"]["candidate"] == "2" and routes["lapsed"]["percent"] == 50
    assert lapses(server) == before + 1
    assert "nobody looks after version 2 any more" in server.errors.read_text()


@pytest.mark.slow
def test_renewed_share_stays_and_one_that_lapsed_is_not_renewed(server: RunningServer) -> None:
    server.client.set_routes("1", "2", 5)
    until = time.monotonic() + 2 * LEASE
    while time.monotonic() < until:
        assert server.client.renew("2") == LEASE
        time.sleep(0.2)
    assert share(server) == ("2", 5)
    wait_for_share(server, (None, 0.0), LEASE + 5)
    with pytest.raises(RequestRejected, match="no share") as caught:
        server.client.renew("2")
    assert caught.value.status == 409


@pytest.mark.slow
def test_person_may_ask_for_a_longer_share_but_not_for_one_without_end(server: RunningServer) -> None:
    server.client.set_routes("1", "2", 5, lease_seconds=3600)
    time.sleep(LEASE + 2)
    assert share(server) == ("2", 5)
    server.client.set_routes("1")
    for wrong in (0, -1, 1e999, 86_401, True, "60", []):
        with pytest.raises(RequestRejected, match=r"lease_seconds|not JSON"):
            server.client.set_routes("1", "2", 5, lease_seconds=wrong)  # type: ignore[arg-type]
    assert share(server) == (None, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_traffic_goes_back_when_the_judge_is_killed_or_hangs(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: signal.Signals
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("LINNET_HOME", str(home))
    journal = Journal(home / "rollouts" / "tiny.json")
    model = '"tiny", ' if "model" in EmbeddedServer.find.__annotations__ else ""
    words = [sys.executable, "-c", JUDGE.replace("{model}", model), str(server.state_file)]
    package = server.state_file.parent / "package"
    judge = subprocess.Popen([*words, str(package), str(journal.path)], env={**os.environ})
    try:
        wait_for_share(server, ("2", 50.0), 60)
        time.sleep(2 * LEASE)
        assert share(server) == ("2", 50)  # it is renewed while the judge looks
        before = lapses(server)
        judge.send_signal(end)
        wait_for_share(server, (None, 0.0), LEASE + 5)
        assert lapses(server) == before + 1
        if end == signal.SIGSTOP:  # it comes back, and does not take the traffic again
            judge.send_signal(signal.SIGCONT)
            assert judge.wait(120) == 0 and share(server) == (None, 0.0)
            assert journal.read()["phase"] == "inconclusive"
            return
        judge.wait(120)
        os.utime(journal.path, (0, 0))  # it stood still for long
        assert settle_abandoned(journal) and not settle_abandoned(journal)
        (line,) = Ledger(home / "ledger" / "promotions.jsonl").entries("tiny")
        assert (line.action, line.version, line.previous) == ("canary", "2", "1")
        assert "process was gone at 50 %" in line.reason and line.evidence["verdict"] == "inconclusive"
        assert journal.read()["phase"] == "running"  # the same command still goes on from here
    finally:
        judge.kill()
        judge.wait()


def test_rollout_that_is_carried_out_is_not_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    journal = Journal(tmp_path / "rollouts" / "tiny.json")
    state = {"phase": "running", "model": "tiny", "candidate": "2", "champion": "1", "percent": 5}
    journal.write({**state, "started_at": "2026-01-01T00:00:00+00:00", "at": "2026-01-01T00:00:00+00:00"})
    assert not settle_abandoned(journal)  # a moment ago it still wrote
    os.utime(journal.path, (0, 0))
    held = subprocess.Popen([sys.executable, "-c", HOLDER, str(journal.path)], stdout=subprocess.PIPE)
    assert held.stdout is not None
    try:
        assert held.stdout.readline() == b"held\n"
        assert not settle_abandoned(journal)
        journal.write({**journal.read(), "phase": "promote"})
        os.utime(journal.path, (0, 0))
    finally:
        held.kill()
        held.wait()
        held.stdout.close()
    assert not settle_abandoned(journal)  # it ended
    assert not (tmp_path / "ledger").exists()
