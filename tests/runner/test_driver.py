"""The driver with programs that break in every way: what is one task's, and what is the run's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from linnet.errors import StorageError
from linnet.runner.dag import Node
from linnet.runner.driver import Driver, TaskOutcome
from linnet.runner.placeholders import Job, Names
from linnet.runner.spec import Spec

NAMES = Names(Job(run_id="run", created_at=datetime.now(UTC)))


class MemoryTasks:
    """`Tasks` that end well: `breaks` holds an exception by the method and task that it comes from."""

    def __init__(self, breaks: dict[tuple[str, str], BaseException] | None = None) -> None:
        self.breaks = breaks or {}
        self.started: list[str] = []
        self.canceled = 0
        self._running: list[Node] = []

    def _break(self, method: str, node: Node) -> None:
        if (method, node.name) in self.breaks:
            raise self.breaks.pop((method, node.name))

    def start(self, node: Node, arguments: dict[str, Any]) -> TaskOutcome | None:
        self._break("start", node)
        self.started.append(node.name)
        self._running.append(node)
        return None

    def finished(self, node: Node, arguments: dict[str, Any]) -> TaskOutcome | None:
        return None

    def wait(self, until: float | None) -> list[tuple[Node, TaskOutcome]]:
        for node in self._running:
            self._break("wait", node)
        ended, self._running = self._running, []
        return [(node, TaskOutcome(True, {"Output": node.name})) for node in ended]

    def changed(self, node: Node) -> None:
        if node.state in ("RUNNING", "SUCCEEDED"):
            self._break("changed", node)

    def cancel(self) -> None:
        self.canceled += 1
        self._running = []


def _spec() -> Spec:
    """`exit-handler-1` holds a, b after a, and c; `last` is its exit task."""

    def task(*after: str, **more: Any) -> dict[str, Any]:
        return {"componentRef": {"name": "comp"}, "dependentTasks": list(after), **more}

    held = {"dag": {"tasks": {"a": task(), "b": task("a"), "c": task()}}}
    root = {
        "exit-handler-1": {"componentRef": {"name": "held"}},
        "last": task("exit-handler-1", triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}),
    }
    return Spec(
        {
            "pipelineInfo": {"name": "p"},
            "root": {"dag": {"tasks": root}},
            "components": {"comp": {"executorLabel": "e"}, "held": held},
            "deploymentSpec": {"executors": {"e": {"container": {}}}},
        }
    )


def _states(driver: Driver) -> dict[str, str]:
    return {node.name: node.state for node in driver.nodes()}


@pytest.mark.parametrize("method", ["start", "changed"])
@pytest.mark.parametrize("error", [OSError(36, "File name too long"), RecursionError(), UnicodeError("x")])
def test_exception_of_one_task_is_its_failure_alone(method: str, error: Exception) -> None:
    tasks = MemoryTasks({(method, "a"): error})
    driver = Driver(_spec(), {}, tasks, NAMES, width=2)
    assert not driver.run()
    states = _states(driver)
    assert (states["a"], states["b"], states["c"], states["last"]) == (
        *("FAILED", "SKIPPED", "SUCCEEDED", "SUCCEEDED"),
    )
    reason = next(node.error for node in driver.nodes() if node.name == "a")
    assert type(error).__name__ in reason and not tasks.canceled


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StorageError("the disk is full"), OSError("gone")])
def test_run_that_cannot_go_on_runs_its_exit_task_and_says_why(error: BaseException) -> None:
    tasks = MemoryTasks({("wait", "a"): error})
    driver = Driver(_spec(), {}, tasks, NAMES)
    with pytest.raises(type(error)):
        driver.run()
    states = _states(driver)
    assert states["last"] == "SUCCEEDED" and tasks.canceled == 1
    assert {states[name] for name in ("a", "b", "c", "exit-handler-1")} == {"CANCELED"}
    assert tasks.started == ["a", "last"]


def test_second_interrupt_ends_exit_task_too() -> None:
    tasks = MemoryTasks({("wait", "a"): KeyboardInterrupt(), ("wait", "last"): KeyboardInterrupt()})
    driver = Driver(_spec(), {}, tasks, NAMES)
    with pytest.raises(KeyboardInterrupt):
        driver.run()
    assert tasks.started == ["a", "last"] and _states(driver)["last"] == "RUNNING"


def test_run_that_is_only_closed_runs_nothing_but_its_exit_task() -> None:
    tasks = MemoryTasks()
    driver = Driver(_spec(), {}, tasks, NAMES, closing="its worker was killed")
    assert not driver.run()
    assert tasks.started == ["last"]
    assert {node.error for node in driver.nodes() if node.name in "abc" and node.state == "CANCELED"} == {
        "its worker was killed"
    }


def test_tasks_that_wait_for_one_another_end_with_reason() -> None:
    spec = _spec()
    spec.pipeline["components"]["held"]["dag"]["tasks"]["a"]["dependentTasks"] = ["b"]
    tasks = MemoryTasks()
    driver = Driver(spec, {}, tasks, NAMES)
    with pytest.raises(Exception, match="wait for one another"):
        driver.run()
    assert tasks.started == ["c", "last"]
