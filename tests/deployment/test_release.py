"""The whole release against the real server, with tiny models."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from linnet.config import ReleaseConfig, ServingConfig
from linnet.deployment.pace import Pace
from linnet.deployment.release import _ended, _with_traffic, release
from linnet.deployment.replay import Replayer, Traffic
from linnet.deployment.rollout import Candidate
from linnet.errors import RolloutError
from linnet.records import JudgeVerdict, RolloutDecision, TrainingSetManifest
from tests.serving.packages import CLASSES, make_package
from tests.serving.running import RunningServer, running

# looser margins than a person would choose, so that proof takes seconds instead of half a minute
QUICK = ReleaseConfig(
    steps=(10, 50, 100),
    replay_rps=300.0,
    min_step_seconds=0.3,
    check_interval_seconds=0.1,
    deadline_seconds=180.0,  # a good machine needs ten
    max_latency_ratio=2.0,
    max_error_increase=0.03,
    max_accuracy_drop=0.1,
    # p99 takes a minute to prove: the judge's own tests do that
    metrics=("errors", "validity", "median", "p95", "agreement", "class_mix", "confidence", "accuracy"),
    median_floor_ms=3.0,  # these models answer in a fraction of a millisecond, on a busy machine
    latency_floor_ms=25.0,
)
LASTING = QUICK.model_copy(update={"min_step_seconds": 4.0})
"""A step lasts so long that a test can interrupt it."""
SERVING = ServingConfig(threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages champion, good, permuted, slow, raising, corrupt, and the training set `set`."""
    folder = tmp_path_factory.mktemp("release")
    make_package(folder / "champion")
    make_package(folder / "good")
    make_package(folder / "permuted", broken="permuted")
    make_package(folder / "raising", broken="raising")
    make_package(folder / "slow", broken="slow", slow_rounds=1400)
    make_package(folder / "corrupt", broken="corrupt")
    make_training_set(folder / "set")
    return folder


def make_training_set(folder: Path) -> None:
    """A production split of gray images that the good model knows."""
    levels = np.arange(256, dtype=np.int64)
    folder.mkdir()
    images = np.broadcast_to(levels.astype(np.uint8)[:, None, None, None], (256, 8, 8, 1))
    np.save(folder / "images-production.npy", images)
    np.save(folder / "labels-production.npy", levels * len(CLASSES) // 256)
    TrainingSetManifest(
        classes=tuple(CLASSES),
        features=(),
        feature_service="image_classifier_v1",
        height=8,
        width=8,
        channels=1,
        dataset_digest="d" * 32,
        labels_digest="e" * 32,
        counts={"production": 256, "test": 256},
    ).save(folder / "training_set.json")


def released(
    folder: Path,
    candidate: str,
    out: Path,
    *,
    champion: bool = True,
    config: ReleaseConfig = QUICK,
    server: Path | None = None,
) -> RolloutDecision:
    first = (folder / "champion", "1") if champion else (None, None)
    return release(
        folder / candidate, "2", *first, folder / "set", config, SERVING, "tiny", out, server_state=server
    )


@contextmanager
def users(folder: Path, server: RunningServer) -> Iterator[Replayer]:
    """Traffic beside the replayed: what users of the running server see."""
    with Replayer(
        server.state.url, "tiny", Traffic.of_training_set(folder / "set"), Pace(50.0), seed=9
    ) as replayer:
        yield replayer


@pytest.mark.slow
def test_release_of_a_good_candidate_promotes_it_and_writes_record_and_page(
    folder: Path, tmp_path: Path, state: Path
) -> None:
    seen: list[str] = []
    decision = release(
        folder / "good", "2", folder / "champion", "1", folder / "set", QUICK, SERVING, "tiny",
        tmp_path / "out", progress=lambda what, done, total: seen.append(f"{what} {done}/{total}"),
    )  # fmt: skip
    assert decision.verdict == "promote", decision.reason
    assert RolloutDecision.load(tmp_path / "out" / "rollout.json") == decision
    assert [step.percent for step in decision.steps] == [10, 50, 100]
    assert seen == ["canary at 10 % 0/3", "canary at 50 % 1/3", "canary at 100 % 2/3"]
    assert "Promoted" in (tmp_path / "out" / "rollout.html").read_text()
    assert not list((state / "rollouts").glob("server-*")), "the server that was started has left nothing"


@pytest.mark.slow
def test_release_of_a_first_candidate_promotes_it(folder: Path, tmp_path: Path) -> None:
    decision = released(folder, "good", tmp_path, champion=False)
    assert decision.verdict == "promote", decision.reason
    assert decision.champion is None


@pytest.mark.slow
@pytest.mark.parametrize("candidate", ["permuted", "raising", "corrupt"])
def test_release_of_a_broken_first_candidate_is_refused(folder: Path, tmp_path: Path, candidate: str) -> None:
    config = QUICK.model_copy(update={"max_error_increase": 0.005})
    assert released(folder, candidate, tmp_path, champion=False, config=config).verdict == "rollback"
    assert (tmp_path / "rollout.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        # Which of them is proven first depends on the machine's load.
        ("permuted", "agreement|accuracy|class mix"),
        ("slow", "latency|errors"),  # on a busy machine its answers may not come at all
        ("raising", "errors"),
        ("corrupt", "cannot be loaded"),
    ],
)
def test_release_of_a_broken_candidate_rolls_back_while_the_champion_answers(
    folder: Path, tmp_path: Path, candidate: str, reason: str
) -> None:
    config = QUICK.model_copy(update={"max_error_increase": 0.005})
    with running(tmp_path / "server", folder / "champion") as server:
        with users(folder, server) as people:
            began = time.monotonic()
            decision = released(folder, candidate, tmp_path, config=config, server=server.state_file)
            seconds = time.monotonic() - began
            routes = server.client.routes()
        assert decision.verdict == "rollback", decision.reason
        assert re.search(reason, decision.reason)
        assert seconds < 180
        assert (routes["champion"], routes["candidate"], routes["percent"]) == ("1", None, 0)
        assert list(routes["versions"]) == ["1"]
    assert people.answered["1"] > 0
    assert people.failed["1"] == people.failed["none"] == 0


@pytest.mark.slow
def test_release_into_a_running_server_makes_the_candidate_its_champion_at_once(
    folder: Path, tmp_path: Path
) -> None:
    with running(tmp_path / "server", folder / "champion") as server, users(folder, server) as people:
        decision = released(folder, "good", tmp_path, server=server.state_file)
        assert decision.verdict == "promote", decision.reason
        assert server.client.routes()["champion"] == "2"
        assert server.process.poll() is None
    assert sum(people.failed.values()) == 0


@pytest.mark.slow
def test_release_into_a_server_that_fell_behind_first_brings_it_the_champion(
    folder: Path, tmp_path: Path
) -> None:
    with running(tmp_path / "server", folder / "permuted", "0") as server:
        decision = released(folder, "good", tmp_path, server=server.state_file)
        assert (decision.champion, decision.verdict) == ("1", "promote"), decision.reason


def test_release_whose_server_dies_is_not_a_promotion(folder: Path, tmp_path: Path) -> None:
    with running(tmp_path / "server", folder / "champion") as server:
        killer = threading.Timer(2.0, server.process.kill)
        killer.start()
        lasting = QUICK.model_copy(
            update={"min_step_seconds": 1.5}
        )  # three steps: longer than the server lives
        decision = released(folder, "good", tmp_path, server=server.state_file, config=lasting)
        killer.join()
    assert decision.verdict in ("rollback", "inconclusive")
    assert "could not be given back" in decision.reason


SCRIPT = """
import sys
from pathlib import Path
from tests.deployment.test_release import LASTING, released
folder, out, server = map(Path, sys.argv[1:])
released(folder, "good", out, server=server, config=LASTING)
"""


def begun(folder: Path, tmp_path: Path, server: RunningServer) -> subprocess.Popen[bytes]:
    """A release in a process of its own, that has reached its first step."""
    command = [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / "first"), str(server.state_file)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."})
    until = time.monotonic() + 90
    while server.client.routes()["percent"] == 0:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    return process


@pytest.mark.slow
def test_release_after_a_kill_finishes_the_job(folder: Path, tmp_path: Path) -> None:
    with running(tmp_path / "server", folder / "champion") as server:
        process = begun(folder, tmp_path, server)
        process.kill()
        process.communicate(timeout=150)
        assert server.client.routes()["candidate"] == "2", "the kill must have hit in the middle"
        decision = released(folder, "good", tmp_path / "again", server=server.state_file, config=LASTING)
        assert decision.verdict == "promote", decision.reason
        assert decision.reason.startswith("taken up after a kill at 10 %")
        assert server.client.routes()["champion"] == "2"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_release_that_is_interrupted_gives_traffic_back_first(
    folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with running(tmp_path / "server", folder / "champion") as server:
        process = begun(folder, tmp_path, server)
        process.send_signal(number)
        _, words = process.communicate(timeout=150)
        assert process.returncode != 0
        assert b"KeyboardInterrupt" in words
        routes = server.client.routes()
        assert (routes["champion"], routes["candidate"], routes["percent"]) == ("1", None, 0)
        assert list(routes["versions"]) == ["1"]


def test_release_without_a_production_split_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="no readable production split"):
        release(
            folder / "good", "2", None, None, tmp_path / "nothing", QUICK, SERVING, "tiny", tmp_path / "out"
        )  # fmt: skip


def test_release_with_half_a_champion_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="give both or none"):
        release(folder / "good", "2", None, "1", folder / "set", QUICK, SERVING, "tiny", tmp_path)


def test_version_that_was_rolled_back_gets_no_traffic(folder: Path, tmp_path: Path) -> None:
    why = "version 2 was rolled back by ada"
    packages = folder / "good", "2", folder / "champion", "1"
    decision = release(*packages, folder / "set", QUICK, SERVING, "tiny", tmp_path, blocked=why)
    assert (decision.verdict, decision.reason, decision.steps) == ("rollback", why, ())
    assert "rolled back by ada" in (tmp_path / "rollout.html").read_text()


@pytest.mark.parametrize("verdict", ["inconclusive", "promote"])
def test_inconclusive_release_says_what_became_of_the_replayed_requests(verdict: JudgeVerdict) -> None:
    """A candidate that only refused ended with too few requests seen, and nothing said why."""
    ended = _ended(Candidate("shop", "2", Path("p")), "1", verdict, "only 0 of 100 were seen")
    replayer: Any = SimpleNamespace(refused=1234, left_out=5, traffic=SimpleNamespace(cut=""))
    reason = _with_traffic(ended, replayer).reason
    told = "only 0 of 100 were seen; of the replayed requests 1,234 were refused as the server was too busy"
    assert reason.startswith(told) == (verdict == "inconclusive")
    replayer = SimpleNamespace(refused=0, left_out=0, traffic=SimpleNamespace(cut=""))
    assert _with_traffic(ended, replayer).reason == ended.reason
