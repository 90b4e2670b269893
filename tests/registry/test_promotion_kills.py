"""Promotion and rollback, killed at 50 points: alias, traffic and ledger always come to agree.

The real registry and the real server. A process is killed as soon as it has run a given line of the code
that moves the champion; whoever comes next finishes the move, or forgets it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from linnet.errors import LinnetError, ServingError
from linnet.registry.champion import ModelRegistry, interrupted_moves
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.registry.promotion import champions
from linnet.serving.champion_traffic import ServerTraffic
from linnet.storage.paths import server_state_file
from tests.engine.engines import RunningEngine
from tests.registry.conftest import Submit
from tests.registry.forked import kill_self, start, wait
from tests.serving.running import RunningServer, running

MOVING = ("registry/champion.py", "registry/ledger.py", "records/ledger.py", "storage/files.py",
          "serving/champion_traffic.py", "serving/client.py")  # fmt: skip
"""The code whose lines are counted: all that a move does, but MLflow's own."""
READING = ("follow", "_check", "digest_of_line", "<listcomp>", "<genexpr>")
"""What runs for each line of the ledger is not counted: each kill adds some, which would shift the points."""
POINTS = 25
"""Of each of promotion and rollback, spread evenly over the lines."""


def registry_of(actor: str) -> ModelRegistry:
    return ModelRegistry(MlflowRegistry(), actor, traffic=ServerTraffic())


@pytest.fixture
def server(database: Path, submit: Submit, tmp_path: Path) -> Iterator[RunningServer]:
    """tiny with two registered versions, 1 and then 2 promoted, and 2 served."""
    registry = registry_of("ada@lab")
    for sharpness in (60.0, 50.0):
        registry.register(submit(sharpness))
    for version, before in (("1", None), ("2", "1")):
        registry.promote("tiny", version, before, override="by hand")
    folder = registry.package_folder(registry.version("tiny", "2"))
    with running(tmp_path / "run", folder, "2", "--name", "tiny", "--workers", "1") as started:
        server_state_file().parent.mkdir(parents=True, exist_ok=True)
        server_state_file().write_bytes(started.state_file.read_bytes())
        yield started


def counted(work: Callable[[], object], kill_at: int | None) -> int:
    """How many lines of MOVING `work` runs; the process is killed after line `kill_at`."""
    lines = 0

    def local(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
            if lines == kill_at:
                kill_self()
        return local

    def trace(frame: FrameType, _event: str, _arg: Any) -> Any:
        moving = frame.f_code.co_filename.endswith(MOVING) and frame.f_code.co_name not in READING
        return local if moving else None

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return lines


def lines_of(work: Callable[[], object]) -> int:
    """The same, in a child process that ends well."""
    reading, writing = os.pipe()

    def child() -> int:
        os.write(writing, str(counted(work, None)).encode())
        return 0

    assert wait(start(child)) == 0
    count = int(os.read(reading, 20))
    os.close(reading)
    os.close(writing)
    return count


def agreed(server: RunningServer) -> str:
    """The version that alias, traffic and ledger all name."""
    registry = registry_of("who came next")
    registry.repair("tiny")
    champion = registry.champion("tiny")
    assert champion is not None
    line = champions(registry.ledger.entries("tiny"))
    assert (server.client.routes()["champion"], line[-1]) == (champion.version, champion.version)
    assert not list(Path(os.environ["LINNET_HOME"]).glob("registry/*.intent.json"))
    return champion.version


@pytest.mark.slow
def test_promotion_and_rollback_killed_at_fifty_points_leave_alias_traffic_and_ledger_agreeing(
    server: RunningServer,
) -> None:
    def promote() -> None:
        registry_of("killed@lab").promote("tiny", "2", "1", override="by hand")

    def roll_back() -> None:
        registry_of("killed@lab").rollback("tiny", "complaints")

    ended: list[tuple[str, str]] = []
    for work, before, after in ((roll_back, "2", "1"), (promote, "1", "2")):
        whole = lines_of(work)
        assert agreed(server) == after and whole > POINTS
        for number in range(POINTS):
            if agreed(server) != before:
                registry = registry_of("ada@lab")
                if before == "2":
                    registry.promote("tiny", "2", "1", override="by hand")
                else:
                    registry.rollback("tiny", "back for the next kill")
            kill_at = 1 + number * whole // POINTS

            def killed(work: Callable[[], None] = work, kill_at: int = kill_at) -> int:
                counted(work, kill_at)
                return 0

            assert wait(start(killed)) == -signal.SIGKILL, f"line {kill_at} of {whole} was never reached"
            found = agreed(server)
            assert found in (before, after)
            ended.append((work.__name__, found))
    assert len(ended) == 2 * POINTS
    assert set(ended) == {("promote", "1"), ("promote", "2"), ("roll_back", "1"), ("roll_back", "2")}


@pytest.mark.slow
def test_engine_finishes_or_forgets_moves_of_every_model_that_a_kill_cut_short(
    server: RunningServer, submit: Submit, monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    """Nobody runs a command on the models: the engine alone sees to it, when it starts and later."""

    def die(*_: object) -> None:
        kill_self()

    def killed(where: str, work: Callable[[], object]) -> None:
        def child() -> int:
            monkeypatch.setattr(where, die)
            work()
            return 0

        assert wait(start(child)) == -signal.SIGKILL

    registry = registry_of("ada@lab")
    for sharpness in (60.0, 50.0):
        registry.register(submit(sharpness, model="other"))
    registry.promote("other", "1", None, override="by hand")
    killed(
        "linnet.registry.ledger.Ledger.append",
        lambda: registry_of("k").promote("other", "2", "1", override="x"),
    )
    killed(
        "linnet.registry.mlflow_registry.MlflowRegistry.set_alias",
        lambda: registry_of("k").rollback("tiny", "x"),
    )
    assert server.client.routes()["champion"] == "1", "the traffic of tiny had moved, its alias had not"
    engine = RunningEngine(state).start()
    try:
        _wait_until_settled(state)
        assert server.client.routes()["champion"] == "2"
        lines = registry.ledger.entries()
        assert champions([line for line in lines if line.model == "tiny"]) == ["1", "2"]
        assert champions([line for line in lines if line.model == "other"]) == ["1", "2"]
        killed("linnet.registry.ledger.Ledger.append", lambda: registry_of("k").rollback("tiny", "x"))
        _wait_until_settled(state)
        assert server.client.routes()["champion"] == "1"
        assert champions(registry.ledger.entries("tiny")) == ["1"]
    finally:
        engine.stop()


def _wait_until_settled(state: Path) -> None:
    until = time.monotonic() + 60
    while interrupted_moves(state):
        assert time.monotonic() < until, "the engine left it"
        time.sleep(0.05)


def test_rollback_whose_version_the_server_cannot_load_changes_nothing(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 14: the alias moved and the ledger was written, and then the traffic failed."""
    registry = registry_of("ada@lab")
    lines = len(registry.ledger.entries())

    def refuse(*_: object) -> None:
        raise ServingError("its file is damaged")

    with monkeypatch.context() as patch:
        patch.setattr("linnet.serving.client.ServerClient.load", refuse)
        with pytest.raises(LinnetError, match="damaged"):
            registry.rollback("tiny", "complaints")
    assert agreed(server) == "2" and len(registry.ledger.entries()) == lines
    assert registry.rollback("tiny", "complaints").version == "1" and agreed(server) == "1"
