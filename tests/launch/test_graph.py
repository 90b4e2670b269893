"""The compiled training DAG is the designed one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from linnet.config import parse_config
from linnet.launch.graph import PipelineTask, mermaid, tasks
from pipelines.compile import compile_pipeline
from tests.shallow import shallow

LIFE_CYCLE = [
    "ingest",
    "validate",
    "collect-labels",
    "build-features",
    "train",
    "evaluate",
    "package",
    "register",
    "release",
]


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PipelineTask]:
    target = tmp_path_factory.mktemp("compiled") / "training.yaml"
    shallow(compile_pipeline, "training", parse_config({"name": "x"}), target)
    return {task.name: task for task in tasks(target)}


def test_training_has_the_life_cycle_and_nothing_else(training: dict[str, PipelineTask]) -> None:
    assert set(training) == {*LIFE_CYCLE, "request-labels", "record-run"}


def test_training_steps_run_in_life_cycle_order(training: dict[str, PipelineTask]) -> None:
    for earlier, later in pairwise(LIFE_CYCLE):
        assert earlier in _ancestors(training, later), f"{later} does not wait for {earlier}"
        assert later not in _ancestors(training, earlier)


def test_training_acts_only_behind_both_gates(training: dict[str, PipelineTask]) -> None:
    for step in ("register", "release"):
        assert training[step].conditions == ("evaluation-passed", "package-passed")
    assert training["package"].conditions == ("evaluation-passed",)
    assert training["request-labels"].conditions == ()


def test_training_asks_the_cluster_for_gpu_retries_and_timeouts(training: dict[str, PipelineTask]) -> None:
    assert training["train"].accelerator == "nvidia.com/gpu"
    assert all(training[step].accelerator == "" for step in training if step != "train")
    assert training["train"].retries == 2 and training["ingest"].retries == 2
    assert training["release"].retries == 0, "a canary must not start again by itself"
    assert all(task.timeout_seconds > 0 for task in training.values())


def test_readme_picture_is_the_compiled_dag(training: dict[str, PipelineTask]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    assert mermaid(list(training.values())) in readme, (
        "the picture in README.md is old: `python -m linnet.launch.graph linnet-training.yaml` "
        "prints the new one, after `linnet compile`"
    )


def _ancestors(training: dict[str, PipelineTask], name: str) -> set[str]:
    direct = set(training[name].needs)
    return direct.union(*(_ancestors(training, need) for need in direct))
