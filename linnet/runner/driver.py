"""Drives a run from its first task to its last: what starts when, what is tried again, what is left out.

kfp.local has an orchestrator of its own, but it tells nobody what it does, cannot leave out finished
tasks, cannot stop, runs one branch after another, lets two tasks of one component write to the same
folder, and knows neither retries nor the order of exit handlers. So the graph is walked here.

One thread: `Tasks` starts a program and says what ended; everything else is bookkeeping. Whatever goes
wrong with a task is the task's failure; a run that is stopped still runs its exit tasks.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from linnet.errors import LinnetError, RunError
from linnet.runner import dag
from linnet.runner.condition import evaluate_condition
from linnet.runner.dag import Node, Scope
from linnet.runner.placeholders import Names
from linnet.runner.spec import Spec

LONGEST_WAIT_SECONDS = 1.0
"""Longest pause before a task is tried again. A cluster waits for a machine to come back; here a person
waits, for the same machine."""


@dataclass(frozen=True)
class TaskOutcome:
    """How a task's program ended."""

    worked: bool
    outputs: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class Tasks(Protocol):
    """Runs the programs of tasks."""

    def start(self, node: Node, arguments: dict[str, Any]) -> TaskOutcome | None:
        """Starts a task; an outcome at once if there is nothing to wait for (finished in an earlier life)."""

    def finished(self, node: Node, arguments: dict[str, Any]) -> TaskOutcome | None:
        """How a task ended in an earlier life of the run with the same inputs; None if it did not."""

    def wait(self, until: float | None) -> list[tuple[Node, TaskOutcome]]:
        """What ended; waits for something to end, but not beyond the moment `until` (time.monotonic)."""

    def changed(self, node: Node) -> None:
        """Notes that a task's state is another."""

    def cancel(self) -> None:
        """Ends all programs that are under way."""


class Driver:
    """One run."""

    def __init__(
        self,
        spec: Spec,
        parameters: dict[str, Any],
        tasks: Tasks,
        names: Names,
        width: int = 1,
        closing: str = "",
    ) -> None:
        """One run.

        Args:
            spec: the pipeline.
            parameters: what it was given.
            tasks: what runs its programs.
            names: the placeholders of the run.
            width: how many programs may run at once.
            closing: why the run is over though its worker did not end it: only exit tasks run, and the
                other tasks are as they were.
        """
        self.spec, self.tasks, self.width, self.names = spec, tasks, width, names
        self._closing, self._stopped = closing, False
        self._exits: set[str] = set()
        """Paths of exit tasks that are groups: what they hold runs with them."""
        self.root = Scope.open(spec, "", spec.root, spec.arguments(parameters))
        self._queue: list[Node] = []
        self._active: set[Node] = set()
        self._later: dict[Node, float] = {}

    def run(self) -> bool:
        """Runs all tasks; whether none failed.

        What ends it before its time (an interrupt, a full disk) is raised again when its exit tasks have run;
        a second interrupt ends those too.
        """
        try:
            for node in self.root.nodes.values():
                self.tasks.changed(node)
            self._work()
        except (KeyboardInterrupt, Exception) as reason:
            self._stop(str(reason) or "interrupted")
            self._work()
            raise
        return not (self.root.failed or self.root.canceled)

    def _work(self) -> None:
        while not self._advance(self.root):
            if not (self._queue or self._active or self._later):
                raise RunError(f"the tasks of {self.spec.name} wait for one another")
            self._fill()
            if not self._active and not self._later:
                continue  # what was started ended at once, and others may go on
            until = min(self._later.values()) if self._later and len(self._active) < self.width else None
            for node, outcome in self.tasks.wait(until):
                self._guarded(node, partial(self._ended, outcome))

    def _stop(self, reason: str) -> None:
        """Ends what is under way, and leaves nothing to be begun but exit tasks."""
        self._stopped = True
        self.tasks.cancel()
        active, self._active, self._later, queue = self._active, set(), {}, self._queue
        self._queue = [node for node in queue if self._is_exit(node) and node not in active]
        for node in list(self.nodes()):
            waits = node.state == "PENDING" and not self._is_exit(node)
            if waits or node in active or (node.state == "RUNNING" and not node.is_group):
                self._close(node, "CANCELED", reason)

    def _is_exit(self, node: Node) -> bool:
        """Whether a task is an exit task, or belongs to one."""
        return node.is_exit_task or any(node.path.startswith(f"{path}.") for path in self._exits)

    def outputs(self) -> dict[str, Any]:
        """The pipeline's outputs."""
        return dag.outputs_of(self.root)

    def nodes(self) -> Iterator[Node]:
        """All tasks that are known so far, outer ones first."""
        scopes = [self.root]
        while scopes:
            for node in scopes.pop(0).nodes.values():
                yield node
                scopes += node.inner

    def _advance(self, scope: Scope) -> bool:
        """Starts what may start in a scope and closes groups that came to their end; whether it ended."""
        moved = True
        while moved:
            moved = False
            for node in scope.nodes.values():
                if node in self._later:
                    continue
                if node.state == "PENDING":
                    moved |= self._guarded(node, self._begin)
                elif node.state == "RUNNING" and node.is_group:
                    moved |= self._guarded(node, self._look_into)
        return scope.ended

    def _guarded(self, node: Node, step: Callable[[Node], bool]) -> bool:
        """A task whose inputs, condition or items are wrong has failed; the run goes on to its end."""
        try:
            return step(node)
        except LinnetError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001  a task's trouble, of whatever kind, is that task's failure
            traceback.print_exc()
            problem = f"it cannot be run here: {type(error).__name__}: {error}"
        self._active.discard(node)
        self._close(node, "FAILED", problem)
        return True

    def _begin(self, node: Node) -> bool:
        ready = dag.readiness(node)
        if ready == "wait":
            return False
        if ready == "skip":
            self._close(node, "SKIPPED", "a task that it needs did not succeed")
            return True
        node.inputs, node.arguments = dag.inputs_of(node, self.names), None
        condition = node.task.get("triggerPolicy", {}).get("condition")
        if condition and not evaluate_condition(condition, dag.parameter_values(node)):
            self._close(node, "SKIPPED")
            return True
        node.state = "RUNNING"
        if node.is_group:
            node.attempts += 1
            if node.is_exit_task:
                self._exits.add(node.path)
        if node.is_loop:
            node.inner = dag.iterations(self.spec, node)
        elif node.is_group:
            arguments = dag.argument_values(node)
            node.inner = [Scope.open(self.spec, node.path, node.component, arguments)]
        else:
            node.state = "PENDING"
            if node not in self._queue:
                self._queue.append(node)
            return False
        self.tasks.changed(node)
        return True

    def _look_into(self, group: Node) -> bool:
        """Goes on within a group; whether the group ended by it."""
        limit = group.task.get("iteratorPolicy", {}).get("parallelismLimit") or len(group.inner)
        active = 0
        for scope in group.inner:
            if not scope.ended and active < limit and not self._advance(scope):
                active += 1
        if not all(scope.ended for scope in group.inner):
            return False
        if any(scope.failed or scope.canceled for scope in group.inner):
            if not self._tried_again(group, dag.first_error(group)):
                failed = any(scope.failed for scope in group.inner)
                self._close(group, "FAILED" if failed else "CANCELED", dag.first_error(group))
        else:
            group.outputs = dag.collected(group) if group.is_loop else dag.outputs_of(group.inner[0])
            self._close(group, "SUCCEEDED")
        return True

    def _fill(self) -> None:
        """Starts queued tasks while there is room, those outside conditions first."""
        moment = time.monotonic()
        for node in [node for node, when in self._later.items() if when <= moment]:
            del self._later[node]
            if node.is_group:  # a nested pipeline begins anew
                node.state, node.inner = "PENDING", []
            else:
                self._queue.append(node)
        self._queue.sort(key=lambda node: node.path.count("."))
        while self._queue and len(self._active) < self.width:
            self._guarded(self._queue.pop(0), self._start)

    def _start(self, node: Node) -> bool:
        arguments = dag.argument_values(node)
        if self._closing and not self._is_exit(node):
            known = self.tasks.finished(node, arguments)
            node.outputs = known.outputs if known else {}
            state: dag.State = "CANCELED" if known is None else "SUCCEEDED" if known.worked else "FAILED"
            self._close(node, state, known.error if known else self._closing)
            return True
        node.state, node.attempts = "RUNNING", node.attempts + 1
        self._active.add(node)
        outcome = self.tasks.start(node, arguments)
        if outcome is None:
            self.tasks.changed(node)
        else:
            self._ended(outcome, node)
        return True

    def _ended(self, outcome: TaskOutcome, node: Node) -> bool:
        if node not in self._active:
            return False  # it was closed before: its record could not be written
        self._active.discard(node)
        if outcome.worked or not self._tried_again(node, outcome.error):
            node.outputs = outcome.outputs
            self._close(node, "SUCCEEDED" if outcome.worked else "FAILED", outcome.error)
        return True

    def _tried_again(self, node: Node, error: str) -> bool:
        """Whether a task or nested pipeline that failed will be tried again, as its retry policy says.

        A cluster's compiler has no retry of nested pipelines (container.go in argocompiler); here nothing
        that a pipeline asks for is ignored.
        """
        policy = node.task.get("retryPolicy", {})
        given_up = self._closing or (self._stopped and not self._is_exit(node))
        if given_up or node.attempts > int(policy.get("maxRetryCount", 0)):
            return False
        node.error = error
        self._later[node] = time.monotonic() + min(_pause(policy, node.attempts), LONGEST_WAIT_SECONDS)
        self.tasks.changed(node)
        return True

    def _close(self, node: Node, state: dag.State, error: str = "") -> None:
        node.state, node.error = state, error
        self.tasks.changed(node)


def _pause(policy: dict[str, Any], attempt: int) -> float:
    """Seconds before attempt `attempt` + 1, as the retry policy says."""
    first, factor = _seconds(policy.get("backoffDuration", "0s")), float(policy.get("backoffFactor", 2.0))
    return min(first * factor ** (attempt - 1), _seconds(policy.get("backoffMaxDuration", "3600s")))


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))
