"""Runs the programs of a run's tasks, keeps their records, and knows what an earlier life finished."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import select
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from linnet.cache.key import source_states
from linnet.config import ContainerSetting
from linnet.errors import LinnetError, RunError
from linnet.process import tree
from linnet.process.state import started_at
from linnet.records import ArtifactRecord, TaskRecord, now
from linnet.records.task import task_file
from linnet.run import ending, runs
from linnet.runner import failure, remote, task_log, task_process
from linnet.runner.containers import STOP_SECONDS as CONTAINER_STOP_SECONDS
from linnet.runner.containers import Container, sweep
from linnet.runner.dag import ENDED, Node, argument_values
from linnet.runner.driver import TaskOutcome
from linnet.runner.executor_io import is_artifact
from linnet.runner.input_artifacts import digest_of
from linnet.runner.placeholders import Names
from linnet.runner.spec import Spec
from linnet.runner.task_io import ExecutorTask
from linnet.storage.files import listed

logger = logging.getLogger(__name__)
STOP_SECONDS = 4.0
"""How long a program may take to stop after SIGINT, before it is killed: a release gives traffic back."""


@dataclass
class _Running:
    node: Node
    leaf: ExecutorTask
    pid: int
    deadline: float
    seconds: float
    descriptor: int
    """A pidfd, or -1 where the system has none."""
    said: int
    """Where in its log this attempt's output begins."""
    oom_kills: int
    """Processes that had been ended for want of memory when it began."""
    container: Container | None = None

    def kill(self) -> None:
        """Ends its program and all that it started; a container is no child of the one that asked for it."""
        tree.kill_tree(self.pid)
        self.remove_container()

    def remove_container(self) -> None:
        """Ends its container, if one is left."""
        if self.container is not None:
            self.container.remove()


class TaskRunner:
    """The `Tasks` of a driver, in a run's folder: tasks/, logs/ and artifacts/."""

    def __init__(
        self,
        folder: Path,
        spec: Spec,
        names: Names,
        environment: Mapping[str, str],
        close: list[int],
        closing: bool = False,
        containers: ContainerSetting = "auto",
    ) -> None:
        """The programs of a run.

        Args:
            folder: the run's.
            spec: the pipeline.
            names: the placeholders of the run.
            environment: what its programs get, beside what a task sets.
            close: descriptors that a program must not inherit.
            closing: whether only exit tasks will run; what failed in an earlier life is known then too.
            containers: what runs container components.
        """
        self.folder, self.spec, self.environment, self._close = folder, spec, environment, close
        self.names, self._closing, self._containers = names, closing, containers
        self._running: dict[int, _Running] = {}
        self._records: dict[str, TaskRecord] = {}
        self._digests: dict[Node, tuple[dict[str, Any], str]] = {}
        self._loaded = source_states()
        self._stop = False
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        counts = Counter(
            name
            for component in [spec.root, *spec.pipeline.get("components", {}).values()]
            for name in component.get("dag", {}).get("tasks", {})
        )
        self._unique = {name for name, count in counts.items() if count == 1}
        self._earlier = self._kill_previous_attempt()

    def interrupt(self) -> None:
        """Makes `wait` raise KeyboardInterrupt; safe in a signal handler."""
        self._stop = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"!")

    def start(self, node: Node, arguments: dict[str, Any]) -> TaskOutcome | None:
        """Starts a task's program, unless an earlier life finished the same task with the same inputs."""
        if (known := self.finished(node, arguments)) is not None:
            return known
        leaf = self._task(node, arguments)
        if leaf.is_claim_operation:
            return TaskOutcome(True, leaf.change_claim())
        log = task_log.log_file(self.folder, node.path)
        prepare = leaf.fetched if leaf.is_importer else leaf.prepare
        program = prepare(log, self._containers)
        fresh = source_states() != self._loaded
        log.parent.mkdir(exist_ok=True)
        self._note(node, leaf)
        close = [*self._close, self._read, self._write]
        environment = {**self.environment, **program.environment}
        program = replace(program, environment=environment, fresh=fresh)
        said, oom_kills = log.stat().st_size if log.exists() else 0, failure.oom_kills()
        pid = task_process.start(program, close)
        with contextlib.suppress(OSError):  # the child does it too: whoever comes first
            os.setpgid(pid, pid)
        descriptor = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
        limit = time.monotonic() + leaf.timeout if leaf.timeout else float("inf")
        self._running[pid] = _Running(
            node, leaf, pid, limit, leaf.timeout, descriptor, said, oom_kills, program.container
        )
        return None

    def finished(self, node: Node, arguments: dict[str, Any]) -> TaskOutcome | None:
        """How a task ended in an earlier life with the same inputs; an importer's artifact at once."""
        leaf = self._task(node, arguments)
        if leaf.is_importer and not remote.is_remote(leaf.address):
            return TaskOutcome(True, leaf.imported())
        if leaf.is_importer:
            here = remote.known(leaf.address) if self._closing else None
            return TaskOutcome(True, leaf.imported(str(here))) if here else None
        before = self._earlier.get(node.path)
        if before is None or node.is_exit_task or before.inputs != self._inputs_digest(node):
            return None
        if before.state == "FAILED":
            return TaskOutcome(False, error=before.error)
        outputs = leaf.recorded(before)
        if outputs is None:
            self._log_line(f"{node.path}: what it wrote is not there as it was any more: it is run again")
            return None
        self._log_line(f"{node.path}: finished earlier, not run again")
        self._records[node.path] = before
        return TaskOutcome(True, outputs)

    def _task(self, node: Node, arguments: dict[str, Any]) -> ExecutorTask:
        return ExecutorTask(self.spec, node, arguments, self.folder, self._place(node), self.names)

    def wait(self, until: float | None) -> list[tuple[Node, TaskOutcome]]:
        """What ended.

        Raises:
            KeyboardInterrupt: the run was interrupted.
        """
        while True:
            if self._stop:
                self._stop = False
                with contextlib.suppress(BlockingIOError):
                    os.read(self._read, 4096)
                raise KeyboardInterrupt(ending.termination(self.folder))
            ended = [done for running in list(self._running.values()) if (done := self._poll(running))]
            moment = time.monotonic()
            if ended or (until is not None and moment >= until):
                return ended
            nearest = min(
                [r.deadline for r in self._running.values()] + ([until] if until else []), default=moment
            )
            pause = min(max(nearest - moment, 0.0), 60.0)
            descriptors = [r.descriptor for r in self._running.values() if r.descriptor >= 0]
            if len(descriptors) < len(self._running):
                pause = min(pause, 0.02)
            select.select([self._read, *descriptors], [], [], pause)

    def changed(self, node: Node) -> None:
        """Writes the task's record."""
        self._records[node.path] = record = self._record(node)
        record.save(self.folder / "tasks" / f"{task_file(node.path)}.json")

    def cancel(self) -> None:
        """Interrupts all programs, and kills what does not end within `STOP_SECONDS`."""
        for pid, running in self._running.items():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM if running.container else signal.SIGINT)
        began = time.monotonic()
        left = dict(self._running)
        while left:
            passed = time.monotonic() - began
            for pid, running in list(left.items()):
                if os.waitpid(pid, os.WNOHANG) != (0, 0):
                    del left[pid]
                elif passed > (CONTAINER_STOP_SECONDS if running.container else STOP_SECONDS):
                    running.kill()
                    os.waitpid(pid, 0)
                    del left[pid]
            time.sleep(0.01)
        for running in self._running.values():
            if running.descriptor >= 0:
                os.close(running.descriptor)
            task_log.add_to_run(self.folder, running.node.path, running.said)
        self._running.clear()
        self._end_leftovers()
        if self.spec.has_exit_tasks:
            (self.folder / runs.CLOSING).touch()  # they need a while

    def _poll(self, running: _Running) -> tuple[Node, TaskOutcome] | None:
        """The outcome of a program that ended, or ran out of time."""
        pid, status = os.waitpid(running.pid, os.WNOHANG)
        overdue = time.monotonic() > running.deadline
        if pid == 0 and not overdue:
            return None
        if pid == 0:
            running.kill()
            os.waitpid(running.pid, 0)
        elif os.WIFSIGNALED(status):
            running.remove_container()
        del self._running[running.pid]
        self._end_leftovers()
        if running.descriptor >= 0:
            os.close(running.descriptor)
        task_log.add_to_run(self.folder, running.node.path, running.said)
        running.leaf.note_changed_inputs()
        self._note(running.node, running.leaf)
        code = os.waitstatus_to_exitcode(status)
        if overdue and pid == 0:
            return running.node, TaskOutcome(False, error=f"took longer than its {running.seconds:g} seconds")
        if code != 0:
            log = task_log.log_file(self.folder, running.node.path)
            memory = failure.oom_kills() > running.oom_kills
            reason = failure.failure(log, running.said, code, memory)
            return running.node, TaskOutcome(False, error=reason)
        leaf = running.leaf
        try:
            outcome = TaskOutcome(True, leaf.outputs())
        except LinnetError as error:
            outcome = TaskOutcome(False, error=str(error))
        except Exception as error:  # noqa: BLE001  whatever a program wrote is its own failure
            outcome = TaskOutcome(False, error=f"its outputs cannot be read: {type(error).__name__}: {error}")
        self._note(running.node, leaf)
        return running.node, outcome

    def _end_leftovers(self) -> None:
        """Ends what a program that ended had started and left, as the end of a pod does.

        A program takes its orphans in as long as it lives; then they are this process's own children. So
        are, once one of them is killed, those that it had started: until none is left.
        """
        while left := [pid for pid in tree.children(os.getpid()) if pid not in self._running]:
            for pid in left:
                tree.kill_tree(pid)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _note(self, node: Node, leaf: ExecutorTask) -> None:
        """Says in the run's log and in the task's, which the console shows, what is not as on a cluster."""
        for note in dict.fromkeys(leaf.notes):
            self._log_line(f"{node.path}: {note}")
            task_log.add_note(self.folder, node.path, note)
        leaf.notes.clear()

    def _log_line(self, line: str) -> None:
        print(line, flush=True)

    def _place(self, node: Node) -> Path:
        """Where a task's outputs go: short where its name is unique and no loop is around it."""
        plain = node.name in self._unique and not any(part.isdigit() for part in node.path.split("."))
        name = task_file(node.name if plain else node.path)
        return self.folder / "artifacts" / task_file(self.spec.name) / name

    def _record(self, node: Node) -> TaskRecord:
        before = self._records.get(node.path)
        moment = now()
        done = node.state in ENDED
        kind = "loop" if node.is_loop else "group" if node.is_group else "program"
        if kind == "program" and "importer" in self.spec.executor(node.component):
            kind = "importer"
        if before is not None and before.state == "SUCCEEDED" and node.state == "SUCCEEDED":
            return before  # finished in an earlier life
        started = before.started_at if before else None
        if node.state != "PENDING" and started is None and node.state != "SKIPPED":
            started = moment
        parameters, artifacts = recorded_outputs(node.outputs, digests=done and kind == "program")
        running = next((r for r in self._running.values() if r.node is node), None)
        return TaskRecord.model_validate(
            {
                "path": node.path,
                "name": node.label,
                "parent": node.scope.path,
                "kind": kind,
                "state": node.state,
                "attempts": node.attempts,
                "created_at": before.created_at if before else moment,
                "started_at": started,
                "ended_at": moment if done else None,
                "error": node.error,
                "process": (running.pid, started_at(running.pid) or 0) if running else None,
                "inputs": "" if node.is_group or node.state == "SKIPPED" else self._inputs_digest(node),
                "parameters": parameters,
                "artifacts": artifacts,
            }
        )

    def _inputs_digest(self, node: Node) -> str:
        """Digest of a task's inputs, worked out once for what it was given; empty where they are wrong."""
        try:
            arguments = argument_values(node)
        except RunError:
            return ""
        known = self._digests.get(node)
        if known is None or known[0] is not arguments:
            known = self._digests[node] = arguments, _digest(arguments)
        return known[1]

    def _kill_previous_attempt(self) -> dict[str, TaskRecord]:
        """The finished tasks of this run before its worker was gone; a program that outlived it is ended."""
        finished = {}
        sweep(self.folder)
        for file in listed(self.folder / "tasks", "[!.]*.json"):
            try:
                record = TaskRecord.load(file)
                known = ("SUCCEEDED", "FAILED") if self._closing else ("SUCCEEDED",)
                if record.state in known and record.kind == "program":
                    finished[record.path] = record
                elif record.process and started_at(record.process[0]) == record.process[1]:
                    tree.kill_tree(record.process[0])
                if record.state != "SUCCEEDED" or record.kind != "program":
                    file.unlink()
            except LinnetError as error:
                logger.warning("its task is run again: %s", error)
        return finished


def recorded_outputs(
    outputs: Mapping[str, Any], digests: bool = False
) -> tuple[dict[str, Any], list[ArtifactRecord]]:
    """A task's outputs as values and records; `digests`: with those of the artifacts' bytes."""
    parameters, artifacts = {}, []
    for name, value in outputs.items():
        items = value if isinstance(value, list) else [value]
        if is_artifact(value):
            artifacts += [
                ArtifactRecord(
                    output=name,
                    uri=item.uri,
                    type=item.schema_title,
                    metadata=item.metadata,
                    digest=digest_of(item.local or item.uri) if digests or item.local else "",
                )
                for item in items
            ]
        else:
            parameters[name] = value
    return parameters, artifacts


def _digest(arguments: Mapping[str, Any]) -> str:
    """Digest of a task's inputs: values of parameters, places of artifacts."""

    def plain(value: Any) -> Any:
        if not is_artifact(value):
            return str(value)
        return {"uri": value.uri, **({"local": value.local} if value.local else {})}

    text = json.dumps(arguments, sort_keys=True, default=plain)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
