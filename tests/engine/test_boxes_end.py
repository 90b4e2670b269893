"""No container outlives its run, whoever ends it; where none can be had, a run that needs one is refused."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl, kubernetes

from linnet.records import TaskRecord
from linnet.runner import containers
from tests.engine import boxes as podman
from tests.engine.engines import RunningEngine, quiet, wait_for
from tests.engine.parity import box_parts as box
from tests.engine.parity import parts

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@dsl.pipeline(name="sleeper")
def sleeper() -> None:
    box.boxed_sleep(seconds=120)


@dsl.pipeline(name="overdue")
def overdue() -> None:
    kubernetes.set_timeout(box.boxed_sleep(seconds=120), seconds=3)


@dsl.pipeline(name="spoiler")
def spoiler() -> None:
    made = box.boxed_write(content="a").outputs["data"]
    box.boxed_spoil(data=made)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    if why := podman.why_no_podman(tmp_path_factory.getbasetemp()):
        pytest.skip(why)
    running = RunningEngine(tmp_path_factory.mktemp("boxes-end") / "state", {"concurrent_runs": 4}).start()
    yield running
    running.stop()


def submit(engine: RunningEngine, pipeline: Any, image: str = podman.IMAGE) -> str:
    with quiet():
        return podman.submit(engine.client(), pipeline, image)


def label(engine: RunningEngine, run_id: str) -> str:
    return f"{containers.LABEL}={engine.folder(run_id)}"


def started(engine: RunningEngine, pipeline: Any = sleeper) -> str:
    """A run whose container is up."""
    run_id = submit(engine, pipeline)
    until = time.monotonic() + 60
    while "sleeping" not in _log(engine, run_id):
        assert time.monotonic() < until, _log(engine, run_id)
        time.sleep(0.05)
    assert len(podman.running(label(engine, run_id))) == 1
    return run_id


def _log(engine: RunningEngine, run_id: str) -> str:
    return "".join(file.read_text() for file in (engine.folder(run_id) / "logs").glob("*.txt"))


def gone(engine: RunningEngine, run_id: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while podman.running(label(engine, run_id)):
        assert time.monotonic() < until, "the container is still there"
        time.sleep(0.1)


def test_terminated_run_leaves_no_container(engine: RunningEngine) -> None:
    run_id = started(engine)
    engine.client().terminate_run(run_id)
    run = wait_for(engine.client(), run_id, 30)
    assert [each.state for each in run.state_history][-2:] == ["CANCELED", "FAILED"]
    assert podman.running(label(engine, run_id)) == []


def test_timeout_ends_the_container(engine: RunningEngine) -> None:
    run_id = submit(engine, overdue)
    run = wait_for(engine.client(), run_id, 60)
    assert run.state == "FAILED" and "took longer than its 3 seconds" in run.error.message
    assert podman.running(label(engine, run_id)) == []


def test_kill_of_the_worker_leaves_no_container(engine: RunningEngine) -> None:
    run_id = started(engine)
    os.kill(engine.worker(run_id), signal.SIGKILL)
    assert wait_for(engine.client(), run_id, 60).state == "FAILED"
    assert podman.running(label(engine, run_id)) == []


def test_kill_of_the_program_that_asked_leaves_no_container(engine: RunningEngine) -> None:
    run_id = started(engine)
    (task,) = (engine.folder(run_id) / "tasks").glob("*.json")
    process = TaskRecord.load(task).process
    assert process is not None
    os.kill(process[0], signal.SIGKILL)
    run = wait_for(engine.client(), run_id, 60)
    assert run.state == "FAILED" and "SIGKILL" in run.error.message
    assert podman.running(label(engine, run_id)) == []


def test_kill_of_engine_and_worker_is_made_good_by_the_next_engine(engine: RunningEngine) -> None:
    run_id = started(engine)
    engine.kill()
    os.kill(engine.worker(run_id), signal.SIGKILL)
    engine.start()
    assert wait_for(engine.client(), run_id, 60).state == "FAILED"
    gone(engine, run_id)


def test_input_of_a_container_cannot_be_changed_by_it(engine: RunningEngine) -> None:
    run_id = submit(engine, spoiler)
    wait_for(engine.client(), run_id, 60)
    (written,) = (engine.folder(run_id) / "artifacts").rglob("data")
    assert (written / "a").read_text() == "a" and (written / "b").read_text() == "!"
    assert "Read-only file system" in _log(engine, run_id) or "Is a directory" in _log(engine, run_id)
    status = (written / "a").stat()
    assert status.st_uid == os.getuid() and status.st_mode & stat.S_IRUSR


def test_image_that_cannot_be_had_is_refused_when_the_run_is_submitted(engine: RunningEngine) -> None:
    from kfp_server_api import ApiException

    with pytest.raises(ApiException) as refused:
        submit(engine, sleeper, "localhost:1/nobody/has-this:1")
    told = str(refused.value.body)
    assert "boxed-sleep: the image localhost:1/nobody/has-this:1 is not on this machine" in told
    assert "podman cannot get it" in told


def test_python_component_with_another_image_runs_in_that_image(engine: RunningEngine) -> None:
    """busybox has no Python: that its shell says so shows where the command ran."""

    @dsl.pipeline(name="other-image")
    def pipeline() -> None:
        parts.text(value="x")

    from kfp.compiler import Compiler

    file = engine.state / "other.yaml"
    Compiler().compile(pipeline, str(file))
    file.write_text(file.read_text().replace("image: python:3.11", f"image: {podman.IMAGE}"))
    with quiet():
        run_id = engine.client().create_run_from_pipeline_package(str(file)).run_id
    assert wait_for(engine.client(), run_id, 60).state == "FAILED"
    assert "python3: not found" in _log(engine, run_id)
    folder, note = engine.folder(run_id), f"runs in the image {podman.IMAGE} by podman"
    assert f"text: {note}" in (folder / "log.txt").read_text()
    assert (folder / "logs" / "text.txt").read_text().startswith(f"note: {note}\n"), "the console shows it"


def refusal(monkeypatch: pytest.MonkeyPatch, programs: Path, setting: Any, image: str = "alpine") -> str:
    monkeypatch.setenv("PATH", str(programs))
    return containers.refusal_of(image, setting)


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_machine_without_a_runtime_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = refusal(monkeypatch, tmp_path, "auto")
    assert "the image alpine needs a container, and there is no podman or docker on this machine" in told
    assert 'engine.containers = "process" runs it as a process of this machine' in told
    assert "process" not in refusal(monkeypatch, tmp_path, "auto", "gcr.io/google.com/cloudsdktool/cloud-sdk")


def test_docker_without_its_daemon_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
    program(tmp_path, "docker", f"echo '{said}' >&2; exit 1")
    told = refusal(monkeypatch, tmp_path, "auto")
    assert f"docker is installed, but its daemon does not answer: {said}" in told


def test_named_runtime_is_the_one_that_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "podman", "exit 0")
    assert "there is no docker on this machine" in refusal(monkeypatch, tmp_path, "docker")
    assert refusal(monkeypatch, tmp_path, "podman") == ""


def test_setting_off_refuses_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(monkeypatch, tmp_path, "off").endswith('engine.containers is "off"')


@pytest.mark.parametrize(
    "image",
    [
        "alpine",
        "alpine:3.20",
        "library/bash",
        "python:3.12-slim",
        "ubi9/python-311:latest",
        "debian@sha256:1",
    ],
)
def test_process_takes_plain_images(image: str) -> None:
    assert containers.refusal_of(image, "process") == ""


@pytest.mark.parametrize("image", ["some/jq", "google/cloud-sdk:slim", "python-ml:1", "x/alpine-curl"])
def test_process_refuses_images_that_bring_more(image: str) -> None:
    assert "is more than a plain Linux or Python" in containers.refusal_of(image, "process")


def test_limits_beyond_the_machine_are_left_out() -> None:
    runtime = containers.Runtime("podman", "podman")
    flags, notes = containers.limits_of({"resourceCpuLimit": "500m", "resourceMemoryLimit": "64Mi"}, runtime)
    assert (flags, notes) == (["--cpus=0.5", "--memory=67108864b"], [])
    assert containers.limits_of({"cpuLimit": 4096, "memoryLimit": 1e6}, runtime) == ([], [])
