"""One model's native crash, overload or reload harms no other: real processes that really die."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from linnet.errors import RequestRejected
from linnet.process.model_server import ServerState
from linnet.serving.client import ServerClient
from linnet.serving.isolated_session import IsolatedSession
from linnet.serving.predictor import Predictor
from tests.serving.packages import image_of, make_package
from tests.serving.running import RunningServer, png, running
from tests.serving.test_several_models import models_flags
from tests.serving.test_workers import workers_of

FACES = ("frown", "smile", "yawn")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    make_package(folder / "faces", name="faces", classes=FACES)
    make_package(folder / "slow", name="slow", broken="slow", slow_rounds=280)
    return folder


def processes_of(title: str) -> list[int]:
    """Ids of the processes that a model's sessions run in."""
    found = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().rstrip() == title:
                found.append(int(comm.parent.name))
        except OSError:  # it ended meanwhile
            continue
    return found


@contextmanager
def asking(server: RunningServer, model: str, threads: int) -> Iterator[list[tuple[int, float, bytes]]]:
    """Asks a model all the time; status, seconds and body of every answer; -1: there was none."""
    answers: list[tuple[int, float, bytes]] = []
    stop = threading.Event()

    def ask() -> None:
        client = ServerClient(server.state.url)
        while not stop.is_set():
            began = time.monotonic()
            try:
                status, _, body = client.request("POST", f"/predict/{model}", png(8))
            except Exception as error:  # noqa: BLE001  told by who looks at the answers
                status, body = -1, repr(error).encode()
            answers.append((status, time.monotonic() - began, body))
        client.close()

    asked = [threading.Thread(target=ask) for _ in range(threads)]
    for one in asked:
        one.start()
    try:
        yield answers
    finally:
        stop.set()
        for one in asked:
            one.join()


def test_session_in_another_process_gives_the_same_bits(packages: Path) -> None:
    here = Predictor.load("1", packages / "faces", 1)
    there = Predictor.load("1", packages / "faces", 1, open_with=IsolatedSession)
    images = image_of(90, 8, 8)[None].repeat(5, axis=0)
    a, b = here.predict(images, None), there.predict(images, None)
    assert (a.output == b.output).all() and (a.embedding == b.embedding).all()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_crashed_session_answers_the_next_request(packages: Path, number: signal.Signals) -> None:
    predictor = Predictor.load("1", packages / "faces", 1, open_with=IsolatedSession)
    session = predictor.model._session
    before = predictor.predict(image_of(90, 8, 8)[None], None).output
    pid = session.pid
    os.kill(pid, number)
    assert (predictor.predict(image_of(90, 8, 8)[None], None).output == before).all()
    assert session.pid not in (None, pid)
    ended = session.pid
    del predictor, session
    assert not Path(f"/proc/{ended}").exists(), "a version that is forgotten leaves no process"


@pytest.mark.slow
def test_crashes_of_one_model_under_load_lose_no_answer_of_any(packages: Path, tmp_path: Path) -> None:
    """Its processes are ended again and again; both models answer every request, and no worker ends."""
    flags = models_flags(
        {"name": "crashing", "version": "1", "package": packages / "faces"},
        {"name": "faces", "version": "4", "package": packages / "faces"},
    )
    with running(tmp_path / "run", None, "", *flags, "--workers", "2") as server:
        workers = workers_of(server)
        assert len(processes_of("crashing")) == len(processes_of("faces")) == 2
        with asking(server, "faces", 2) as faces, asking(server, "crashing", 2) as crashing:
            for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL) * 2:
                count = len(crashing)
                for pid in processes_of("crashing"):
                    os.kill(pid, number)
                until = time.monotonic() + 60
                while len(crashing) < count + 10:
                    assert time.monotonic() < until, "it does not answer again"
                    time.sleep(0.02)
        assert {status for status, _, _ in faces} == {200} and len(faces) > 20
        assert all(b'"model":"faces"' in body for _, _, body in faces)
        assert {status for status, _, _ in crashing} == {200}
        assert workers_of(server) == workers, "a worker ended"
        assert "model crashing: its process ended with status -11" in server.errors.read_text()
    assert not processes_of("crashing") and not processes_of("faces"), "the server leaves no process"


def test_single_model_stays_in_the_worker_until_a_second_one_comes(packages: Path, tmp_path: Path) -> None:
    with running(tmp_path / "run", packages / "faces", "4", "--name", "alone", "--workers", "1") as server:
        with pytest.raises(RequestRejected):
            server.client.open_model("second", "1", tmp_path / "nothing")
        assert not processes_of("alone"), "what failed to come changes nothing"
        server.client.open_model("second", "1", packages / "faces")
        state = ServerState.read(server.state_file)
        assert state is not None and state.models == server.client.models(), "commands go by what it says"
        assert len(processes_of("alone")) == len(processes_of("second")) == 1
        assert server.client.predict(png(8))["model"] == "alone"


@pytest.mark.slow
def test_overload_and_reloads_of_a_slow_model_hold_up_no_other(packages: Path, tmp_path: Path) -> None:
    """Slow has its queue full and is loaded anew meanwhile; faces goes on answering in time."""
    flags = models_flags(
        {"name": "slow", "version": "1", "package": packages / "slow", "config": {"max_in_flight": 8}},
        {"name": "faces", "version": "4", "package": packages / "faces"},
    )
    with running(tmp_path / "run", None, "", *flags, "--workers", "1") as server:
        with asking(server, "faces", 1) as quiet:
            time.sleep(1.0)
        slow = ServerClient(server.state.url, server.state.token, model="slow")
        with asking(server, "slow", 12) as flooded, asking(server, "faces", 1) as faces:
            for version in ("2", "3"):
                slow.load(version, packages / "slow")
                slow.set_routes(version)
        assert 429 in {status for status, _, _ in flooded}, "it was not overloaded"
        assert {status for status, _, _ in faces} == {200}
        median = sorted(seconds for _, seconds, _ in faces)[len(faces) // 2]
        before = sorted(seconds for _, seconds, _ in quiet)[len(quiet) // 2]
        assert median < 10 * before + 0.05, (median, before)
