from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from linnet.deployment.evidence import LabeledOutcome
from linnet.deployment.pace import Pace, Window
from linnet.deployment.page import render
from linnet.deployment.release import _with_traffic
from linnet.deployment.replay import Replayer, Traffic
from linnet.errors import RolloutError
from linnet.records import RolloutDecision, TrainingSetManifest, now
from linnet.vision.decode import decode

TRAFFIC = Traffic((b"a", b"b"), ("A", "B"))


class Answering(BaseHTTPRequestHandler):
    """Knows the class of `a` but not of `b`; what else it does, the path of the server decides."""

    protocol_version = "HTTP/1.1"
    behavior = "well"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/predict/tiny" and self.headers["Content-Type"] == "image/png"
        if self.behavior == "hangs up":
            self.connection.close()
            return
        content = json.dumps({"predictions": [{"class": "A", "probability": 1.0}]}).encode()
        if self.behavior == "babbles":
            content = b"<html>"
        self.send_response(500 if self.behavior == "fails" and body == b"b" else 200)
        self.send_header("Linnet-Model", "tiny")
        self.send_header("Linnet-Model-Version", "7")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a connection that was closed on purpose


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    handler = type("Handler", (Answering,), {"behavior": getattr(request, "param", "well")})
    with Quiet(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


def replayed(url: str, rate: float = 200.0, seconds: float = 0.5) -> list[LabeledOutcome]:
    with Replayer(url, "tiny", TRAFFIC, Pace(rate)) as replayer:
        time.sleep(seconds)
    return replayer.outcomes()


def test_replayer_knows_which_answers_were_right(server: str) -> None:
    outcomes = replayed(server)
    assert {outcome.version for outcome in outcomes} == {"7"}
    right = sum(outcome.correct == 1.0 for outcome in outcomes)
    assert 0.25 < right / len(outcomes) < 0.75


def test_replayer_keeps_its_rate_and_stops_by_itself(server: str) -> None:
    with Replayer(server, "tiny", TRAFFIC, Pace(100.0), max_seconds=0.4) as replayer:
        time.sleep(1.0)
        assert replayer.answered.total() + replayer.left_out == 40
        assert len(replayer.outcomes()) == replayer.answered.total() > 30
        assert replayer.outcomes() == []


def test_replayer_ends_with_its_block(server: str) -> None:
    def workers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "replay"]

    with Replayer(server, "tiny", TRAFFIC, Pace(50.0)) as replayer:
        time.sleep(0.2)
        assert len(workers()) > 1
    assert workers() == []
    sent = replayer.answered.total()
    time.sleep(0.2)
    assert replayer.answered.total() == sent < 25


@pytest.mark.parametrize("server", ["fails"], indirect=True)
def test_replayer_leaves_failures_that_name_a_version_to_the_server_s_records(server: str) -> None:
    outcomes = replayed(server)
    failures = [outcome for outcome in outcomes if outcome.correct is None]
    assert failures and {outcome.version for outcome in failures} == {"7"}


@pytest.mark.parametrize("server", ["hangs up", "babbles"], indirect=True)
def test_replayer_reports_requests_without_an_answer(server: str) -> None:
    assert set(replayed(server)) == {LabeledOutcome(None, None)}


def test_replayer_reports_a_server_that_is_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        outcomes = replayed(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert len(outcomes) > 50
    assert set(outcomes) == {LabeledOutcome(None, None)}


class Crowded(Answering):
    """One request at a time, a while each: what all cores are busy beside."""

    turn = threading.Lock()

    def do_POST(self) -> None:
        with self.turn:
            time.sleep(0.06)
            super().do_POST()


def test_replayer_of_a_server_that_cannot_keep_up_holds_back_and_gets_every_answer() -> None:
    """Sixteen requests in flight take 1 s; whoever waits for half of that would call each one lost."""
    with Quiet(("127.0.0.1", 0), Crowded) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        url = f"http://127.0.0.1:{http.server_address[1]}"
        with Replayer(url, "tiny", TRAFFIC, Pace(100.0, patience=0.5, late=0.2)) as replayer:
            time.sleep(2.5)
        http.shutdown()
        thread.join()
    assert not replayer.failed
    assert replayer.answered["7"] >= 20, "the server is kept busy"


def test_window_grows_with_answers_in_time_and_halves_with_late_ones() -> None:
    window = Window(most=16, late=1.0)
    entered = 0
    for _ in range(200):
        entered += window.enter()
        window.leave(0.01)
    assert entered == 200
    assert sum(window.enter() for _ in range(40)) == 16
    for _ in range(16):
        window.leave(1.5)
    assert sum(window.enter() for _ in range(40)) == 1
    window.leave(None)  # no answer at all says that a version hangs, not that there is a queue
    assert window.enter() and not window.enter()


@pytest.mark.parametrize(
    "url", ["http://example.com:80", "http://10.0.0.1:8090", "http://127.0.0.1.evil.org"]
)
def test_replayer_refuses_any_other_machine(url: str) -> None:
    with pytest.raises(RolloutError, match="this machine only"):
        Replayer(url, "tiny", TRAFFIC, Pace(1.0))


def training_set(folder: Path, count: int, side: int = 4) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    np.save(folder / "images-production.npy", images)
    np.save(folder / "labels-production.npy", np.arange(count) % 2)
    TrainingSetManifest(
        classes=("x", "y"),
        features=(),
        feature_service="image_classifier_v1",
        height=side,
        width=side,
        channels=3,
        dataset_digest="d" * 32,
        labels_digest="e" * 32,
        counts={"production": count},
    ).save(folder / "training_set.json")
    return folder


def test_traffic_of_a_training_set_has_its_pixels_and_labels(tmp_path: Path) -> None:
    traffic = Traffic.of_training_set(training_set(tmp_path, 10))
    images = np.load(tmp_path / "images-production.npy")
    expected = {(image.tobytes(), "xy"[index % 2]) for index, image in enumerate(images)}
    found = {(decode(body).pixels.tobytes(), name) for body, name in zip(*shown(traffic), strict=True)}
    assert found == expected


def shown(traffic: Traffic) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    return traffic.bodies, traffic.labels


def test_traffic_of_a_large_training_set_is_bounded(tmp_path: Path) -> None:
    traffic = Traffic.of_training_set(training_set(tmp_path, 5000))
    assert len(traffic.bodies) == 4096
    told = "the replay sends 4,096 of 5,000 images of the production split, drawn at random"
    assert traffic.cut == told
    start = now()
    ended = RolloutDecision(
        model="m", version="2", champion="1", verdict="promote", steps=(), reason="proven",
        started_at=start, ended_at=start,
    )  # fmt: skip
    replayer = Replayer("http://127.0.0.1:1", "m", traffic, Pace(1.0))
    assert told in render(_with_traffic(ended, replayer), []), "as if all had been asked about"
    assert Traffic.of_training_set(training_set(tmp_path, 10)).cut == ""


def test_half_of_the_traffic_is_of_what_windows_taught(tmp_path: Path) -> None:
    """However few their samples are: a candidate that lost them must be seen."""
    folder = training_set(tmp_path, 1000)
    np.savez(folder / "cohorts-production.npz", source=np.array(["dataset"] * 980 + ["window-1"] * 20))
    traffic, source = Traffic.of_training_set(folder), random.Random(4)
    images = np.load(folder / "images-production.npy")
    taught = {image.tobytes() for image in images[980:]}
    drawn = [decode(traffic.bodies[traffic.draw(source)]).pixels.tobytes() in taught for _ in range(2000)]
    assert 900 < sum(drawn) < 1100
    assert len(traffic.bodies) == 1000 and len(Traffic.of_training_set(folder, windows=False).bodies) == 980


def test_traffic_of_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="is empty"):
        Traffic.of_training_set(training_set(tmp_path, 0))
