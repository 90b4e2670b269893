"""Runs from submission to their end: the queue, the workers, what a kill leaves behind."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from linnet.config import EngineConfig
from linnet.engine.api_errors import ApiError
from linnet.engine.listing import timestamp
from linnet.engine.store import Resource, ResourceStore
from linnet.errors import LinnetError
from linnet.process import tree
from linnet.process.cpus import available_cpus
from linnet.process.state import started_at
from linnet.records import RunRecord, TaskRecord, now
from linnet.run import ending, runs
from linnet.runner import worker_pool
from linnet.runner.containers import sweep
from linnet.runner.spec import Spec
from linnet.runner.worker_pool import Workers
from linnet.storage.files import listed

GRACE_SECONDS = 4.6
"""How long a worker may take to stop its programs, after which everything of the run is killed."""
EXIT_SECONDS = 60.0
"""How long the exit tasks of a run that was stopped may take."""
ACTIVE = ["RUNNING", "CANCELING"]
_LOOK_SECONDS = 0.01
_STATES = {"succeeded": "SUCCEEDED", "rejected": "SUCCEEDED", "failed": "FAILED", "interrupted": "FAILED"}
_GONE = "the run's process is gone: `linnet runs resume {}` goes on where it stopped"


class RunSupervisor:
    """Starts waiting runs as there is room, and closes those whose worker ended."""

    def __init__(self, store: ResourceStore, pool: Workers, config: EngineConfig) -> None:
        self.store, self.pool, self.config = store, pool, config
        self.every_second: list[Callable[[], None]] = []
        """What else is looked at once a second."""
        self.also_busy: list[Callable[[], bool]] = []
        """What else keeps the engine from ending for want of work."""
        self.after_run: list[Callable[[], None]] = []
        """What is started when a run has ended."""
        self._deadlines: dict[str, float] = {}
        self._stuck: set[str] = set()
        """Runs whose beginning or end could not be written; they are tried again, also by a later engine."""
        self._unheard: set[str] = set()
        """Runs that were terminated while their worker was being started: it hears of it once it is there."""
        self._interrupting = threading.Lock()
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Begins to work. Runs that were under way when an earlier server died go on, or are closed."""
        for run in self.store.where("run", state=ACTIVE):
            if run.body["state"] == "CANCELING":
                self._deadlines[run.id] = time.monotonic() + GRACE_SECONDS
        self._thread.start()

    def stop(self) -> None:
        """Ends the work, not the workers."""
        self._ended = True
        self._wake.set()
        self._thread.join(10)

    def submitted(self) -> None:
        """Says that a run waits."""
        self._wake.set()

    def busy(self) -> bool:
        """Whether a run is under way or waits; not one whose beginning or end the disk does not take."""
        under_way = self.store.where("run", state=["PENDING", *ACTIVE])
        return any(run.id not in self._stuck for run in under_way) or any(busy() for busy in self.also_busy)

    def terminate(self, run_id: str, by: str) -> None:
        """Ends a run: at once if it waits, within five seconds if it is under way. `by`: who asked for it.

        Raises:
            ApiError: it has ended already.
        """
        with self.store.transaction():
            run = self.store.get("run", run_id)
            if run.body["state"] == "PENDING":
                (folder_of(run) / runs.TERMINATED).write_text(by, "utf-8")
                ending.finish(folder_of(run), worked=False, interrupted=True)
                self._close(run, "CANCELED", f"terminated by {by} before it began")
                return
            if run.body["state"] not in ACTIVE:
                raise ApiError("FAILED_PRECONDITION", f"the run {run_id} has ended: {run.body['state']}")
            with contextlib.suppress(OSError):  # a full disk must not keep it alive
                (folder_of(run) / runs.TERMINATED).write_text(by, "utf-8")
            set_state(self.store, run, "CANCELING")
            self._deadlines[run_id] = time.monotonic() + GRACE_SECONDS
        with self._interrupting:
            if not worker_pool.interrupt(folder_of(run)):
                self._unheard.add(run_id)

    def retry(self, run_id: str) -> None:
        """Lets a run that failed or was terminated go on: tasks that succeeded are not run again.

        Raises:
            ApiError: it has not ended, or succeeded.
        """
        with self.store.transaction():
            run = self.store.get("run", run_id)
            if run.body["state"] not in ("FAILED", "CANCELED"):
                raise ApiError(
                    "FAILED_PRECONDITION",
                    f"the run {run_id} is {run.body['state']}: "
                    "only one that failed or was terminated is retried",
                )
            self.make_room()
            self._unheard.discard(run_id)
            ending.reopen(folder_of(run))
            self.store.change("run", run_id, {"finished_at": None, "error": None})
            set_state(self.store, self.store.get("run", run_id), "PENDING")
        self.submitted()

    def make_room(self) -> None:
        """Refuses what the queue has no room for."""
        if len(self.store.where("run", state="PENDING")) >= self.config.max_queued_runs:
            raise ApiError(
                "RESOURCE_EXHAUSTED",
                f"{self.config.max_queued_runs} runs wait already: try again later, "
                "or raise engine.max_queued_runs",
            )

    def _watch(self) -> None:
        beat = 0.0
        while not self._ended:
            try:
                active = self.tick()
                if time.monotonic() - beat >= 1.0:
                    beat = time.monotonic()
                    self._each_second()
            except Exception as error:  # noqa: BLE001  one run's trouble must not stop the others
                _log(error)
                active = True
                time.sleep(0.2)
            self._wake.wait(_LOOK_SECONDS if active else 0.5)
            self._wake.clear()

    def _each_second(self) -> None:
        for work in self.every_second:
            try:
                work()
            except Exception as error:  # noqa: BLE001  nor one part's trouble the others
                _log(error)

    def tick(self) -> bool:
        """Closes what ended and starts what waits; whether anything is under way."""
        active = self.store.where("run", state=ACTIVE)
        for run in active:
            if not runs.alive(folder_of(run)):
                self._try(run, self._finish)
            elif self._is_overdue(run):
                worker_pool.end(folder_of(run))
        under_way = self.store.where("run", state=ACTIVE)
        room = self.config.concurrent_runs - len(under_way)
        for run in self.store.where("run", state="PENDING")[: max(room, 0)]:
            self._try(run, self._begin)
            under_way.append(run)
        return any(run.id not in self._stuck for run in under_way)

    def _try(self, run: Resource, step: Callable[[Resource], None]) -> None:
        try:
            step(run)
        except (OSError, LinnetError) as error:
            if run.id not in self._stuck:
                _log(error)
            self._stuck.add(run.id)
        else:
            self._stuck.discard(run.id)

    def _begin(self, run: Resource) -> None:
        with self.store.transaction():
            if self.store.get("run", run.id).body["state"] != "PENDING":
                return  # terminated meanwhile
            set_state(self.store, run, "RUNNING")
        try:
            self.pool.start(folder_of(run), width(self.config), containers=self.config.containers)
            with self._interrupting:
                if run.id in self._unheard:
                    worker_pool.interrupt(folder_of(run))
        except (LinnetError, OSError) as error:
            ending.finish(folder_of(run), worked=False, error=str(error))
            self._finish(run)

    def _finish(self, run: Resource) -> None:
        """Closes a run whose worker is gone, whatever became of it."""
        folder = folder_of(run)
        sweep(folder)  # of a worker that was killed
        record = RunRecord.load(folder / "run.json")
        asked = self.store.get("run", run.id).body["state"] == "CANCELING"
        if record.state == "running" and self._close_by_exit_tasks(run, folder, asked):
            return
        if record.state == "running":
            full = not asked and ending.disk_full(folder)
            gone = ending.termination(folder) if asked else ending.FULL if full else _GONE.format(run.id)
            record = ending.finish(folder, worked=False, interrupted=not full, error=gone)
        close_tasks(folder)
        state = "CANCELED" if asked and record.state == "interrupted" else _STATES[record.state]
        self._close(run, state, record.error, record.ended_at)

    def _is_overdue(self, run: Resource) -> bool:
        """Whether a run that was stopped takes longer than it may."""
        with contextlib.suppress(OSError):  # its exit tasks run, also those that an earlier engine started
            return time.time() - (folder_of(run) / runs.CLOSING).stat().st_mtime > EXIT_SECONDS
        return time.monotonic() > self._deadlines.get(run.id, float("inf"))

    def _close_by_exit_tasks(self, run: Resource, folder: Path, asked: bool) -> bool:
        """Starts a worker that runs the exit tasks of a run whose own worker was killed; whether it did."""
        if (folder / runs.CLOSING).exists() or not (folder / "tasks").exists() or ending.disk_full(folder):
            return False
        try:
            if not Spec.from_text((folder / "pipeline.json").read_bytes()).has_exit_tasks:
                return False
            (folder / runs.CLOSING).touch()
            why = ending.termination(folder) if asked else _GONE.format(run.id)
            self.pool.start(folder, width(self.config), why, self.config.containers)
        except (LinnetError, OSError) as error:
            _log(error)
            return False
        return True

    def _close(self, run: Resource, state: str, error: str, ended: datetime | None = None) -> None:
        told = {"code": 1 if state == "CANCELED" else 2, "message": error} if error else None
        with self.store.transaction():
            self.store.change("run", run.id, {"finished_at": timestamp(ended or now()), "error": told})
            set_state(self.store, self.store.get("run", run.id), state)
            if state == "CANCELED":
                # As on a cluster, whose terminated workflows fail: the SDK's wait knows no other end.
                set_state(self.store, self.store.get("run", run.id), "FAILED")
        self._deadlines.pop(run.id, None)
        for work in self.after_run:
            work()


def _log(error: Exception) -> None:
    """Tells the engine's log; on a full disk nobody hears it."""
    with contextlib.suppress(OSError):
        print(f"supervisor: {type(error).__name__}: {error}", flush=True)


def folder_of(run: Resource) -> Path:
    """The run's folder."""
    return runs.runs_dir() / run.id


def set_state(store: ResourceStore, run: Resource, state: str) -> None:
    """Changes a run's state, and notes when."""
    history = [*run.body.get("state_history", []), {"update_time": timestamp(now()), "state": state}]
    store.change("run", run.id, {"state": state, "state_history": history})


def close_tasks(folder: Path) -> None:
    """Marks as canceled what a worker that is gone left running or waiting."""
    for file in listed(folder / "tasks", "[!.]*.json"):
        try:
            task = TaskRecord.load(file)
            if task.process and started_at(task.process[0]) == task.process[1]:
                tree.kill_tree(task.process[0])  # it outlived its worker
            if task.state in ("RUNNING", "PENDING"):
                ended = {"state": "CANCELED", "ended_at": now(), "error": ending.termination(folder)}
                task.model_copy(update=ended).save(file)
        except LinnetError as error:
            _log(error)


def width(config: EngineConfig) -> int:
    """How many tasks of a run may work at once."""
    return config.parallel_tasks or max(1, available_cpus() // 4)


def parameters_of(folder: Path) -> dict[str, Any]:
    """The parameters that a run was given."""
    found: dict[str, Any] = json.loads((folder / "parameters.json").read_text("utf-8"))
    return found
