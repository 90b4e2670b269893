"""What a program leaves when it ends: processes, output, and the reason that is told."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, List

import pytest
from kfp import dsl

from linnet.registry.champion import current_actor
from tests.engine.engines import RunningEngine, run_of, wait_for
from tests.engine.parity import parts

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@dsl.component(base_image="python:3.11")
def leaves_processes(kind: str) -> int:
    """Starts a process that would live for long, and ends; its id."""
    import os
    import subprocess
    import time

    if kind == "daemon":
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            pid = os.fork()
            if pid == 0:
                time.sleep(300)
                os._exit(0)
            os.write(write, str(pid).encode())
            os._exit(0)
        return int(os.read(read, 20))
    if kind == "tree":  # as a daemon's first process that has not ended yet
        shell = subprocess.Popen(
            ["sh", "-c", "sleep 300 & echo $!; wait"], stdout=subprocess.PIPE, start_new_session=True
        )
        return int(shell.stdout.readline())
    options = {"start_new_session": True} if kind == "session" else {}
    return subprocess.Popen(["sleep", "300"], **options).pid


@dsl.component(base_image="python:3.11")
def are_gone(pids: List[int]) -> None:
    import os

    left = [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    assert not left, left


@dsl.component(base_image="python:3.11")
def waits_for_its_own(seconds: float) -> int:
    """Works in a daemon's process meanwhile others end theirs."""
    import os
    import time

    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(seconds)
            os.write(write, b"7")
        os._exit(0)
    os.close(write)
    return int(os.read(read, 1) or b"0")


@dsl.component(base_image="python:3.11")
def says(megabytes: int, ends: str) -> None:
    import os
    import signal

    print("the first line")
    for _ in range(megabytes):
        print(("x" * 999 + "\n") * 1000, end="")
    print("the last line")
    print("}", flush=True)
    if ends == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


@dsl.component(base_image="python:3.11")
def sleep(seconds: float) -> None:
    import time

    time.sleep(seconds)


@dsl.component(base_image="python:3.11")
def reads(data: dsl.Input[dsl.Artifact]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.component(base_image="python:3.11")
def appends(data: dsl.Input[dsl.Artifact]) -> None:
    with open(data.path, "a") as file:
        file.write("more")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    engine = RunningEngine(tmp_path_factory.mktemp("ends") / "state").start()
    yield engine
    engine.stop()


def _error(run: Any, name: str) -> str:
    found = next(task for task in run.run_details.task_details if task.display_name == name)
    return str(found.error.message)


def test_processes_that_a_task_leaves_end_with_it_and_no_other_ones(engine: RunningEngine) -> None:
    @dsl.pipeline(name="leaves")
    def leaves() -> int:
        busy = waits_for_its_own(seconds=1.5)
        with dsl.ParallelFor(["child", "session", "daemon", "tree"], parallelism=1) as kind:
            left = leaves_processes(kind=kind)
        are_gone(pids=dsl.Collected(left.output))
        return busy.output

    client = engine.client()
    run = wait_for(client, run_of(client, leaves))
    assert run.state == "SUCCEEDED", [task.error for task in run.run_details.task_details if task.error]
    assert '"Output": 7' in (engine.folder(run.run_id) / "outputs.json").read_text()


def test_task_that_writes_to_its_input_is_told(engine: RunningEngine) -> None:
    """Later tasks of the run read what it had written, where a cluster gives each its own copy: unsaid."""

    @dsl.pipeline(name="writes-to-input")
    def writes_to_input() -> None:
        made = parts.write(content="abc")
        first = reads(data=made.outputs["out"])
        changes = appends(data=made.outputs["out"]).after(first)
        reads(data=made.outputs["out"]).after(changes)

    client = engine.client()
    run = wait_for(client, run_of(client, writes_to_input))
    assert run.state == "SUCCEEDED", [task.error for task in run.run_details.task_details if task.error]
    folder = engine.folder(run.run_id)
    told = [
        line for line in (folder / "log.txt").read_text().splitlines() if "was changed while it ran" in line
    ]
    assert len(told) == 1 and told[0].startswith("appends: WARNING: its input ") and "/write/out" in told[0]
    assert "was changed while it ran" in (folder / "logs" / "appends.txt").read_text()


def test_output_is_kept_once_and_a_killed_task_says_its_last_line(engine: RunningEngine) -> None:
    @dsl.pipeline(name="says-much")
    def says_much(megabytes: int = 4) -> None:
        says(megabytes=megabytes, ends="kill").set_retry(1, backoff_duration="0s")

    client = engine.client()
    run = wait_for(client, run_of(client, says_much))
    assert run.state == "FAILED"
    assert _error(run, "says").startswith("ended by SIGKILL (signal 9): ")
    assert _error(run, "says").endswith("; its last line: the last line")
    folder = engine.folder(run.run_id)
    own, whole = folder / "logs" / "says.txt", folder / "log.txt"
    assert own.read_text().count("the first line") == 2 and own.stat().st_size > 8_000_000
    text = whole.read_text()
    assert whole.stat().st_size < 1_500_000 and f"all of them in {own}" in text
    assert text.count("the first line") == 2 and text.count("the last line") == 2


def test_run_that_is_terminated_says_by_whom(engine: RunningEngine) -> None:
    @dsl.pipeline(name="sleeps")
    def sleeps() -> None:
        sleep(seconds=60.0)

    client = engine.client()
    run_id = run_of(client, sleeps)
    while client.get_run(run_id).state != "RUNNING":
        time.sleep(0.05)
    token = (engine.state / "engine" / "owner.token").read_text().strip()
    from tests.engine.engines import client_of

    client_of(engine.url, token).terminate_run(run_id)
    run = wait_for(client, run_id)
    assert run.error.message == f"terminated by {current_actor()}"
    assert all(
        task.error is None or "terminated by" in task.error.message for task in run.run_details.task_details
    )


def test_log_of_a_small_task_stands_whole_in_the_log_of_the_run(engine: RunningEngine) -> None:
    @dsl.pipeline(name="says-little")
    def says_little() -> None:
        says(megabytes=0, ends="")

    client = engine.client()
    run = wait_for(client, run_of(client, says_little))
    assert run.state == "SUCCEEDED"
    folder: Path = engine.folder(run.run_id)
    assert (folder / "logs" / "says.txt").read_text() in (folder / "log.txt").read_text()
