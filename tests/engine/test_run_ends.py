"""A run always ends with a reason, and its exit tasks always run; what is resumed is what was written."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, List

import pytest
from kfp import dsl
from kfp.compiler import Compiler

from linnet.launch.client import Host
from linnet.launch.submit import Submitted
from linnet.process import tree
from linnet.process.state import started_at
from linnet.records import RunRecord, RunRequest
from linnet.run import runs
from linnet.runner import worker_pool
from linnet.runner.worker_pool import Workers
from tests.engine.engines import RunningEngine, quiet, run_of, wait_for
from tests.engine.parity import parts

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@dsl.component(base_image="python:3.11")
def sleep(seconds: float) -> None:
    import time

    time.sleep(seconds)


@dsl.component(base_image="python:3.11")
def note(folder: str, status: dsl.PipelineTaskFinalStatus) -> None:
    """Writes down the state that it was told, one file per time."""
    import os
    import uuid

    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, uuid.uuid4().hex), "w") as file:
        file.write(f"{status.state} {status.error_message}")


@dsl.component(base_image="python:3.11")
def hang(folder: str, status: dsl.PipelineTaskFinalStatus) -> None:
    import os
    import time

    os.makedirs(folder, exist_ok=True)
    open(os.path.join(folder, "begun"), "w").close()
    time.sleep(120)


@dsl.component(base_image="python:3.11")
def note_pid(file: str) -> None:
    """Writes down its process id, and works for a while the first time."""
    import os
    import time

    first = not os.path.exists(file)
    with open(file, "w") as out:
        out.write(str(os.getpid()))
    if first:
        time.sleep(120)


@dsl.component(base_image="python:3.11")
def large(by: int) -> List[int]:
    return [2**53 + by, by]


@dsl.component(base_image="python:3.11")
def is_large(values: List[int]) -> None:
    assert values == [2**53 + 1, 1], values


@dsl.component(base_image="python:3.11")
def write_counted(folder: str, out: dsl.Output[dsl.Dataset]) -> None:
    import os
    import uuid

    os.makedirs(folder, exist_ok=True)
    open(os.path.join(folder, uuid.uuid4().hex), "w").close()
    with open(out.path, "w") as file:
        file.write("as written")


@dsl.component(base_image="python:3.11")
def read_when_there(file: str, data: dsl.Input[dsl.Dataset]) -> None:
    import os

    assert os.path.exists(file), f"{file} is not there"
    assert open(data.path).read() == "as written"


@dsl.pipeline(name="handled")
def handled(folder: str, seconds: float = 60.0) -> None:
    with dsl.ExitHandler(note(folder=folder)):
        parts.text(value=parts.text(value="before").output)
        sleep(seconds=seconds)


@dsl.pipeline(name="handled-within")
def handled_within(folder: str) -> None:
    with dsl.ParallelFor([1]):
        handled(folder=folder)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    running = RunningEngine(tmp_path_factory.mktemp("ends") / "state", {"concurrent_runs": 3}).start()
    yield running
    running.stop()


@pytest.fixture
def client(engine: RunningEngine) -> Any:
    return engine.client()


def under_way(client: Any, run_id: str, task: str = "sleep") -> None:
    until = time.monotonic() + 60
    while not any(
        t.display_name == task and t.state == "RUNNING"
        for t in client.get_run(run_id).run_details.task_details
    ):
        assert time.monotonic() < until
        time.sleep(0.05)


def told(folder: Path) -> list[str]:
    return sorted(file.read_text() for file in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("pipeline", [handled, handled_within], ids=lambda pipeline: str(pipeline.name))
def test_exit_task_of_a_terminated_run_runs(client: Any, tmp_path: Path, pipeline: Any) -> None:
    run_id = run_of(client, pipeline, {"folder": str(tmp_path / "told")})
    under_way(client, run_id)
    client.terminate_run(run_id)
    run = wait_for(client, run_id)
    assert told(tmp_path / "told") == ["CANCELED terminated by a guest of the engine"]
    states = {t.display_name: t.state for t in run.run_details.task_details}
    assert (states["sleep"], states["note"]) == ("CANCELED", "SUCCEEDED")
    assert (
        "CANCELED" in [s.state for s in run.state_history]
        and run.error.message == "terminated by a guest of the engine"
    )


@pytest.mark.parametrize("pipeline", [handled, handled_within], ids=lambda pipeline: str(pipeline.name))
def test_exit_task_of_a_run_whose_worker_was_killed_runs(
    engine: RunningEngine, client: Any, tmp_path: Path, pipeline: Any
) -> None:
    run_id = run_of(client, pipeline, {"folder": str(tmp_path / "told")})
    under_way(client, run_id)
    os.kill(engine.worker(run_id), signal.SIGKILL)
    run = wait_for(client, run_id)
    (said,) = told(tmp_path / "told")
    assert said.startswith("CANCELED the run's process is gone")
    assert run.state == "FAILED" and f"linnet runs resume {run_id}" in run.error.message
    states = {t.display_name: t.state for t in run.run_details.task_details}
    assert (states["sleep"], states["note"]) == ("CANCELED", "SUCCEEDED")


def test_exit_task_runs_in_each_life_of_a_run(engine: RunningEngine, client: Any, tmp_path: Path) -> None:
    @dsl.pipeline(name="handled-twice")
    def handled_twice(folder: str, file: str) -> None:
        with dsl.ExitHandler(note(folder=folder)):
            note_pid(file=file)

    run_id = run_of(client, handled_twice, {"folder": str(tmp_path / "told"), "file": str(tmp_path / "pid")})
    until = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(engine.worker(run_id), signal.SIGKILL)
    assert wait_for(client, run_id).state == "FAILED"
    assert started_at(int((tmp_path / "pid").read_text())) is None, "the task outlived its worker"
    client.runs.run_service_retry_run(run_id=run_id)
    assert wait_for(client, run_id).state == "SUCCEEDED"
    assert [said.split()[0] for said in told(tmp_path / "told")] == ["CANCELED", "COMPLETE"]


def test_exit_task_runs_when_engine_and_worker_were_killed(tmp_path: Path) -> None:
    engine = RunningEngine(tmp_path / "state").start()
    try:
        run_id = run_of(engine.client(), handled, {"folder": str(tmp_path / "told")})
        under_way(engine.client(), run_id)
        worker = engine.worker(run_id)
        engine.kill()
        os.kill(worker, signal.SIGKILL)
        assert wait_for(engine.start().client(), run_id).state == "FAILED"
        assert len(told(tmp_path / "told")) == 1
    finally:
        engine.stop()


@pytest.fixture
def forkserver(engine: RunningEngine, client: Any) -> Iterator[int]:
    """The engine's fork server, held still: what it is asked for waits until SIGCONT."""
    wait_for(client, run_of(client, handled, {"folder": str(engine.state / "told"), "seconds": 0.0}))
    assert engine.process
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in tree.children(engine.process.pid)}
    (pid,) = (pid for pid, command in commands.items() if b"linnet.runner.forkserver" in command)
    os.kill(pid, signal.SIGSTOP)
    yield pid
    os.kill(pid, signal.SIGCONT)


def test_run_that_is_terminated_while_its_worker_starts_begins_nothing(
    client: Any, tmp_path: Path, forkserver: int
) -> None:
    run_id = run_of(client, handled, {"folder": str(tmp_path / "told"), "seconds": 0.1})
    until = time.monotonic() + 60
    while client.get_run(run_id).state != "RUNNING":
        assert time.monotonic() < until
        time.sleep(0.02)
    client.terminate_run(run_id)
    os.kill(forkserver, signal.SIGCONT)
    run = wait_for(client, run_id)
    assert "CANCELED" in [s.state for s in run.state_history], "it ran on as if nobody had asked"
    assert run.error.message == "terminated by a guest of the engine"
    states = {t.display_name: t.state for t in run.run_details.task_details}
    assert states["sleep"] == "CANCELED"
    assert told(tmp_path / "told") == ["CANCELED terminated by a guest of the engine"]


def test_worker_hears_an_interrupt_from_its_first_moment(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    package = tmp_path / "pipeline.yaml"
    Compiler().compile(handled, str(package), pipeline_parameters={"folder": str(tmp_path), "seconds": 0.1})
    with closing(Workers(tmp_path / "log", "pipelines.compile")) as workers:
        for attempt in range(5):
            _, folder = runs.create("handled", {"name": "handled"}, RunRequest(cause="person", actor="test"))
            shutil.copyfile(package, folder / "pipeline.yaml")
            workers.start(folder, 1)
            worker_pool.interrupt(folder)
            until = time.monotonic() + 90
            while runs.alive(folder):
                assert time.monotonic() < until
                time.sleep(0.01)
            record = RunRecord.load(folder / "run.json")
            assert (record.state, record.error) == ("interrupted", "interrupted"), f"attempt {attempt}"


def test_exit_task_that_hangs_is_ended_by_a_second_termination(client: Any, tmp_path: Path) -> None:
    @dsl.pipeline(name="hangs")
    def hangs(folder: str) -> None:
        with dsl.ExitHandler(hang(folder=folder)):
            sleep(seconds=60.0)

    run_id = run_of(client, hangs, {"folder": str(tmp_path)})
    under_way(client, run_id)
    client.terminate_run(run_id)
    until = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    began = time.monotonic()
    client.terminate_run(run_id)
    wait_for(client, run_id)
    assert time.monotonic() - began < 30


def test_run_is_resumed_only_with_artifacts_that_are_as_they_were_written(
    engine: RunningEngine, client: Any, tmp_path: Path
) -> None:
    @dsl.pipeline(name="writes-and-reads")
    def writes_and_reads(folder: str, file: str) -> None:
        read_when_there(file=file, data=write_counted(folder=folder).outputs["out"])

    folder, file = tmp_path / "tries", tmp_path / "file"
    run_id = run_of(client, writes_and_reads, {"folder": str(folder), "file": str(file)})
    assert wait_for(client, run_id).state == "FAILED"
    client.runs.run_service_retry_run(run_id=run_id)
    assert wait_for(client, run_id).state == "FAILED"
    assert len(list(folder.iterdir())) == 1  # nothing was changed: it is not run again
    (written,) = engine.folder(run_id).glob("artifacts/*/write-counted/out")
    before = written.stat()
    written.write_text("tampered !")
    os.utime(written, ns=(before.st_atime_ns, before.st_mtime_ns))
    file.write_text("")
    client.runs.run_service_retry_run(run_id=run_id)
    assert wait_for(client, run_id).state == "SUCCEEDED"
    assert len(list(folder.iterdir())) == 2


def test_whole_numbers_that_a_cluster_rounds_are_kept_and_told(engine: RunningEngine, client: Any) -> None:
    @dsl.pipeline(name="large")
    def large_numbers(number: int = 0) -> None:
        is_large(values=large(by=1).output)
        parts.number(value=number)

    run_id = run_of(client, large_numbers, {"number": 2**53 + 1})
    assert wait_for(client, run_id).state == "SUCCEEDED"
    log = (engine.folder(run_id) / "log.txt").read_text()
    assert "output 'Output' holds 9007199254740993: a cluster rounds it to 9007199254740992" in log
    assert "number: input 'value' holds 9007199254740993" in log


def test_names_that_no_file_may_have_run(engine: RunningEngine, client: Any) -> None:
    name = "a" * 120

    @dsl.pipeline(name=name)
    def inner() -> None:
        parts.text()

    @dsl.pipeline(name="b" * 120)
    def middle() -> None:
        inner()

    @dsl.pipeline(name="long-names")
    def outer() -> None:
        middle()

    run_id = run_of(client, outer)
    run = wait_for(client, run_id)
    assert run.state == "SUCCEEDED", run.error
    assert any(len(task.task_id) > 245 for task in run.run_details.task_details)


def test_wait_of_the_sdk_sees_runs_that_were_terminated(tmp_path: Path) -> None:
    engine = RunningEngine(tmp_path / "state", {"concurrent_runs": 1}).start()
    try:
        client = engine.client()
        first, waiting = (run_of(client, handled, {"folder": str(tmp_path / "told")}) for _ in range(2))
        under_way(client, first)
        assert client.get_run(waiting).state == "PENDING"
        for run_id in (waiting, first):
            client.terminate_run(run_id)
            with quiet():
                run = client.wait_for_run_completion(run_id, 60, sleep_duration=1)
            assert run.state == "FAILED" and run.error.code == 1
            assert [step.state for step in run.state_history][-2:] == ["CANCELED", "FAILED"]
            assert Submitted(Host(engine.url), client, run_id).state() == "CANCELED"
    finally:
        engine.stop()
