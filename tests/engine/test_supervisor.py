"""One run's or one part's trouble does not stop the others."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from linnet.config import EngineConfig
from linnet.engine.app import build_engine
from linnet.engine.store import Resource
from linnet.errors import RunError


def test_run_that_cannot_begin_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    engine = build_engine(tmp_path / "engine", EngineConfig(concurrent_runs=2))
    for name in ("first", "second"):
        engine.store.add("run", name, {"state": "PENDING"})
    begun = []

    def begin(run: Resource) -> None:
        begun.append(run.id)
        if run.id == "first":
            raise RunError("its folder is damaged")

    monkeypatch.setattr(engine.supervisor, "_begin", begin)
    assert engine.supervisor.tick(), "the second is under way"
    assert begun == ["first", "second"]
    engine.store.close()


def test_part_that_fails_each_second_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    engine = build_engine(tmp_path / "engine", EngineConfig())
    worked = threading.Event()

    def fail() -> None:
        raise RunError("a schedule is damaged")

    engine.supervisor.every_second[:] = [fail, worked.set]
    engine.supervisor.start()
    try:
        assert worked.wait(5)
    finally:
        engine.supervisor.stop()
        engine.store.close()
