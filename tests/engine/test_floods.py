"""Kills, timeouts and floods: long loops, many runs at once, much output. The short form runs always."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, List

import pytest
from kfp import dsl, kubernetes

from linnet.process.state import started_at
from tests.engine.engines import RunningEngine, run_of, wait_for
from tests.engine.parity import parts

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]
short_and_proof = [pytest.param("short"), pytest.param("proof", marks=pytest.mark.proof)]


@dsl.component(base_image="python:3.11")
def works_on(file: str, seconds: float) -> None:
    """Writes down its process id and that of a child, and works for a while."""
    import os
    import subprocess
    import time

    child = subprocess.Popen(["sleep", str(seconds)])
    with open(file + ".new", "w") as out:
        out.write(f"{os.getpid()} {child.pid}")
    os.rename(file + ".new", file)
    time.sleep(seconds)


@dsl.component(base_image="python:3.11")
def prints(megabytes: int) -> int:
    for _ in range(megabytes):
        print(("x" * 999 + "\n") * 1000, end="")
    return megabytes


@dsl.component(base_image="python:3.11")
def many_keys(count: int) -> dict:
    return {f"key {number}": number for number in range(count)}


@dsl.component(base_image="python:3.11")
def has_keys(values: dict, count: int) -> None:
    assert values == {f"key {number}": number for number in range(count)}


@dsl.component(base_image="python:3.11")
def are_all(values: List[int], count: int) -> None:
    assert sorted(values) == [2 * number for number in range(count)], len(values)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    settings = {"concurrent_runs": 4, "parallel_tasks": 4}
    running = RunningEngine(tmp_path_factory.mktemp("floods") / "state", settings).start()
    yield running
    running.stop()


@pytest.mark.parametrize("size", short_and_proof)
def test_loop_of_a_thousand_iterations_collects_every_one(engine: RunningEngine, size: str) -> None:
    count = 1000 if size == "proof" else 40

    @dsl.pipeline(name="long-loop")
    def long_loop(count: int) -> None:
        with dsl.ParallelFor(parts.numbers(count=count).output) as item:
            doubled = parts.double(value=item)
        are_all(values=dsl.Collected(doubled.output), count=count)

    client = engine.client()
    run = wait_for(client, run_of(client, long_loop, {"count": count}), 800)
    assert run.state == "SUCCEEDED", run.error
    states = Counter(task.state for task in run.run_details.task_details if task.display_name == "double")
    assert states == {"SUCCEEDED": count}


@pytest.mark.parametrize("size", short_and_proof)
def test_sixty_submissions_at_once_all_run_each_with_its_own_argument(
    engine: RunningEngine, tmp_path: Path, size: str
) -> None:
    count = 60 if size == "proof" else 8

    @dsl.pipeline(name="one-of-many")
    def one_of_many(number: int) -> int:
        return parts.double(value=number).output

    def submit(number: int) -> str:
        return run_of(engine.client(), one_of_many, {"number": number})

    with ThreadPoolExecutor(count) as pool:
        ids = list(pool.map(submit, range(count)))
    assert len(set(ids)) == count
    client = engine.client()
    for number, run_id in enumerate(ids):
        assert wait_for(client, run_id, 800).state == "SUCCEEDED"
        assert f'"Output": {2 * number}' in (engine.folder(run_id) / "outputs.json").read_text()


@pytest.mark.parametrize("size", short_and_proof)
def test_output_of_a_hundred_megabytes_is_kept_once_and_whole(engine: RunningEngine, size: str) -> None:
    megabytes = 100 if size == "proof" else 5

    @dsl.pipeline(name="prints-much")
    def prints_much(megabytes: int) -> None:
        parts.double(value=prints(megabytes=megabytes).output)

    client = engine.client()
    run = wait_for(client, run_of(client, prints_much, {"megabytes": megabytes}), 400)
    assert run.state == "SUCCEEDED", run.error
    folder = engine.folder(run.run_id)
    own = (folder / "logs" / "prints.txt").stat().st_size
    whole = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert own >= megabytes * 1_000_000 and whole < own + 1_500_000


@pytest.mark.parametrize("size", short_and_proof)
def test_dictionary_of_two_hundred_thousand_keys_goes_from_task_to_task(
    engine: RunningEngine, size: str
) -> None:
    keys = 200_000 if size == "proof" else 5_000

    @dsl.pipeline(name="many-keys")
    def passes_keys(keys: int) -> None:
        has_keys(values=many_keys(count=keys).output, count=keys)

    client = engine.client()
    run = wait_for(client, run_of(client, passes_keys, {"keys": keys}), 300)
    assert run.state == "SUCCEEDED", run.error


@dsl.pipeline(name="works")
def works(file: str, seconds: float = 120.0) -> None:
    works_on(file=file, seconds=seconds).set_display_name("works-on")


def _began(file: Path) -> list[int]:
    """Process ids of the task and of its child, once it works."""
    until = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    return [int(word) for word in file.read_text().split()]


def _gone(pids: list[int]) -> bool:
    until = time.monotonic() + 90
    while any(started_at(pid) is not None for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _error(run: Any) -> str:
    (task,) = [task for task in run.run_details.task_details if task.display_name == "works-on"]
    return str(task.error.message)


def test_killed_task_fails_with_the_signal_and_its_children_go(engine: RunningEngine, tmp_path: Path) -> None:
    client = engine.client()
    run_id = run_of(client, works, {"file": str(tmp_path / "pid")})
    pids = _began(tmp_path / "pid")
    os.kill(pids[0], signal.SIGKILL)
    run = wait_for(client, run_id)
    assert run.state == "FAILED" and _error(run).startswith("ended by SIGKILL (signal 9)")
    assert _gone(pids)


def test_killed_worker_leaves_no_task_and_retry_brings_the_run_to_its_end(
    engine: RunningEngine, tmp_path: Path
) -> None:
    client = engine.client()
    run_id = run_of(client, works, {"file": str(tmp_path / "pid"), "seconds": 5.0})
    pids = _began(tmp_path / "pid")
    os.kill(engine.worker(run_id), signal.SIGKILL)
    run = wait_for(client, run_id)
    assert run.state == "FAILED" and f"linnet runs resume {run_id}" in run.error.message
    assert _gone(pids)
    client.runs.run_service_retry_run(run_id=run_id)
    assert wait_for(client, run_id).state == "SUCCEEDED"


def test_killed_engine_finds_its_run_which_went_on(tmp_path: Path) -> None:
    engine = RunningEngine(tmp_path / "state").start()
    try:
        run_id = run_of(engine.client(), works, {"file": str(tmp_path / "pid"), "seconds": 4.0})
        pids = _began(tmp_path / "pid")
        engine.kill()
        assert wait_for(engine.start().client(), run_id).state == "SUCCEEDED"
        assert [int(word) for word in (tmp_path / "pid").read_text().split()] == pids, "it was not run again"
    finally:
        engine.stop()


def test_task_that_takes_longer_than_its_timeout_ends_with_its_children(
    engine: RunningEngine, tmp_path: Path
) -> None:
    @dsl.pipeline(name="times-out")
    def times_out(file: str) -> None:
        task = works_on(file=file, seconds=120.0).set_display_name("works-on")
        kubernetes.set_timeout(task, seconds=4)

    client = engine.client()
    run_id = run_of(client, times_out, {"file": str(tmp_path / "pid")})
    pids = _began(tmp_path / "pid")
    run = wait_for(client, run_id)
    assert run.state == "FAILED" and _error(run) == "took longer than its 4 seconds"
    assert _gone(pids)
