"""One run's or one part's trouble does not stop the others."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from linnet.config import EngineConfig
from linnet.engine.app import build_engine
from linnet.engine.recurring import Recurring
from linnet.engine.store import Resource, ResourceStore
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


def test_recurring_run_that_cannot_be_made_stops_no_other(tmp_path: Path) -> None:
    asked = []

    class Submissions:
        def check(self, body: dict[str, Any], caller: str) -> None:
            pass

        def submit(self, body: dict[str, Any], key: str, actor: str, caller: str) -> None:
            asked.append(body["recurring_run_id"])

    store = ResourceStore(tmp_path / "engine.db")
    recurring = Recurring(store, Submissions())  # type: ignore[arg-type]
    first, second = (
        recurring.create({"trigger": {"periodic_schedule": {"interval_second": "86400"}}}).id
        for _ in range(2)
    )
    for one in (first, second):
        store.change("recurring", one, {"no_catchup": True}, {"last": "2020-01-01T00:00:00Z"})
    store.change("recurring", first, {"trigger": {"cron_schedule": {"cron": "of another version"}}})
    with pytest.raises(RunError, match=f"{first}.*cron"):
        recurring.tick()
    assert asked == [second]
    store.close()
