"""Compiled pipelines: their parameters are frozen here, so that they change on purpose."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from linnet.config import SECTIONS, load_config
from pipelines.compile import PIPELINES, compile_pipeline
from tests.shallow import shallow

SECTION_PARAMETERS = (
    "data",
    "validation",
    "labels",
    "features",
    "train",
    "evaluation",
    "gates",
    "release",
    "serving",
    "registry",
    "cost",
)
"""The sections that say what a run does; the others are about what happens around runs."""
PARAMETERS_OF = {
    "training": {"name", "request", *SECTION_PARAMETERS},
    "labeling": {"name", "request", "data", "validation", "labels", "registry", "cost"},
    "monitoring": {
        "name",
        "request",
        "end",
        "serving",
        "registry",
        "monitoring",
        "retraining",
        "cost",
    },
}
CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


@cache
def compiled(pipeline: str, config: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return shallow(compile_pipeline, pipeline, load_config(config), Path(folder) / "p.yaml").read_bytes()


def specs(pipeline: str, config: Path) -> list[Any]:
    """Pipeline spec and platform spec."""
    return list(yaml.load_all(compiled(pipeline, config), yaml.CSafeLoader))


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_pipeline_parameters_are_the_config_with_its_values(pipeline: str, config: Path) -> None:
    loaded = load_config(config)
    spec, platform = specs(pipeline, config)
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == PARAMETERS_OF[pipeline]
    assert parameters["request"]["defaultValue"] == {}
    for section in SECTIONS.keys() & PARAMETERS_OF[pipeline]:
        assert parameters[section]["parameterType"] == "STRUCT"
        default = parameters[section]["defaultValue"]
        assert SECTIONS[section].parse(default, section) == getattr(loaded, section)
    assert "kubernetes" in platform["platforms"]


def test_pipeline_compiles_to_the_same_bytes_twice(tmp_path: Path) -> None:
    again = shallow(compile_pipeline, "training", load_config(CONFIGS[0]), tmp_path / "b.yaml").read_bytes()
    assert again == compiled("training", CONFIGS[0])


@pytest.mark.parametrize(("pipeline", "tasks"), [("training", 11), ("labeling", 5), ("monitoring", 7)])
def test_every_task_mounts_the_state_volume_and_has_a_deadline(pipeline: str, tasks: int) -> None:
    _, platform = specs(pipeline, CONFIGS[0])
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert len(executors) == tasks
    for executor in executors.values():
        assert executor["pvcMount"][0]["mountPath"] == "/linnet"
        assert int(executor["activeDeadlineSeconds"]) > 0
