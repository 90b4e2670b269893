"""What stands in the section `cluster` reaches the pods of a compiled file, and nothing of it a laptop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as messages

from components.image import IMAGE
from linnet.automation.submission import compile_for
from linnet.config import Config, parse_config
from linnet.config.cluster import STEPS
from linnet.errors import ConfigError
from linnet.launch.client import Host
from linnet.process.engine import EngineState
from linnet.runner.spec import Spec
from pipelines.compile import PIPELINES, compile_pipeline
from tests.shallow import shallow

EVERYTHING = {
    "image": "registry.example.org/linnet@sha256:" + "0" * 64,
    "image_pull_policy": "IfNotPresent",
    "image_pull_secrets": ["registry-login"],
    "claim": "team-a-state",
    "run_as_user": 1000,
    "run_as_group": 2000,
    "env": {"AWS_ENDPOINT_URL": "http://minio.store:9000"},
    "secret_env": {"AWS_ACCESS_KEY_ID": "s3/id", "AWS_SECRET_ACCESS_KEY": "s3/secret"},
    "config_map_env": {"MLFLOW_TRACKING_URI": "mlflow/uri"},
    "accelerator": "amd.com/gpu",
    "gpus": 2,
    "node_selector": {"pool": "linnet"},
    "tolerations": {"gpu": {"value": "yes", "effect": "NoSchedule"}, "spot": {}},
    "labels": {"kueue.x-k8s.io/queue-name": "training"},
    "annotations": {"example.org/team": "vision"},
    "steps": {"train": {"cpu": "8", "memory": "32Gi", "shared_memory": "4Gi"}},
}


def config(cluster: dict[str, Any] | None = None, **sections: Any) -> Config:
    return parse_config({"name": "shoes", "cluster": cluster or {}, **sections})


def documents(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Executors of the pipeline, and of its platform spec."""
    spec, platform = yaml.load_all(path.read_text(), yaml.CSafeLoader)
    return spec["deploymentSpec"]["executors"], platform["platforms"]["kubernetes"]["deploymentSpec"][
        "executors"
    ]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("compiled")
    return {
        name: shallow(compile_pipeline, name, config(EVERYTHING), folder / f"{name}.yaml")
        for name in PIPELINES
    }


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_pod_gets_what_the_section_says(given: dict[str, Path], pipeline: str) -> None:
    executors, pods = documents(given[pipeline])
    assert executors.keys() == pods.keys()
    for label, pod in pods.items():
        container = executors[label]["container"]
        assert container["image"] == EVERYTHING["image"]
        assert {"name": "AWS_ENDPOINT_URL", "value": "http://minio.store:9000"} in container["env"]
        json_format.ParseDict(
            pod, messages.KubernetesExecutorConfig()
        )  # or it has a field that no cluster knows
        assert pod["pvcMount"][0]["constant"] == "team-a-state"
        assert pod["imagePullPolicy"] == "IfNotPresent"
        assert [one["secretName"] for one in pod["imagePullSecret"]] == ["registry-login"]
        assert {key["envVar"] for one in pod["secretAsEnv"] for key in one["keyToEnv"]} == {
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
        }
        assert pod["configMapAsEnv"][0]["keyToEnv"] == [
            {"configMapKey": "uri", "envVar": "MLFLOW_TRACKING_URI"}
        ]
        assert {key: int(value) for key, value in pod["securityContext"].items()} == {
            "runAsUser": 1000,
            "runAsGroup": 2000,
        }
        assert pod["nodeSelector"]["labels"] == {"pool": "linnet"}
        assert pod["podMetadata"] == {
            "labels": EVERYTHING["labels"],
            "annotations": EVERYTHING["annotations"],
        }
        assert pod["tolerations"] == [
            {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
            {"key": "spot", "operator": "Exists"},
        ]


def test_single_steps_get_their_own_resources(given: dict[str, Path]) -> None:
    executors, pods = documents(given["training"])
    asked = executors["exec-train"]["container"]["resources"]
    assert (asked["cpuLimit"], asked["memoryLimit"]) == (8.0, 34.359738368)
    assert asked["accelerator"] == {"type": "amd.com/gpu", "count": "2"} | {
        key: value for key, value in asked["accelerator"].items() if key.startswith("resource")
    }
    assert pods["exec-train"]["emptyDirMounts"] == [
        {
            "volumeName": "shared-memory",
            "mountPath": "/dev/shm",
            "medium": "Memory",
            "sizeLimit": "4Gi",
        }
    ]
    assert "emptyDirMounts" not in pods["exec-evaluate"]
    assert "accelerator" not in executors["exec-evaluate"]["container"]["resources"]


@pytest.mark.parametrize(
    ("train", "cluster", "gpus"),
    [
        ({}, {}, "1"),
        ({"processes": 4}, {}, "4"),
        ({"device": "cpu"}, {"gpus": 2}, None),
        ({"processes": 4}, {"gpus": 0}, None),
    ],
)
def test_training_asks_for_the_gpus_that_it_uses(
    tmp_path: Path, train: dict[str, Any], cluster: dict[str, Any], gpus: str | None
) -> None:
    file = shallow(compile_pipeline, "training", config(cluster, train=train), tmp_path / "p.yaml")
    asked = documents(file)[0]["exec-train"]["container"]["resources"].get("accelerator", {})
    assert asked.get("count") == gpus


def test_a_file_for_this_machine_has_nothing_of_it(tmp_path: Path, given: dict[str, Path]) -> None:
    engine = EngineState(pid=1, url="http://127.0.0.1:1", folder=str(tmp_path), instance="")
    here = Host("http://127.0.0.1:1", engine)
    plain = shallow(compile_for, here, "training", config(EVERYTHING), tmp_path / "here.yaml")
    usual = shallow(compile_pipeline, "training", config(), tmp_path / "usual.yaml")
    assert plain.read_bytes() == usual.read_bytes()
    there = shallow(
        compile_for, Host("https://kfp.example.org"), "training", config(EVERYTHING), tmp_path / "there.yaml"
    )
    assert there.read_bytes() == given["training"].read_bytes()


def test_how_much_of_a_machine_is_asked_for_makes_no_other_code_and_another_image_does(
    tmp_path: Path,
) -> None:
    def code(cluster: dict[str, Any], **sections: Any) -> str:
        file = shallow(compile_pipeline, "training", config(cluster, **sections), tmp_path / "p.yaml")
        return Spec.from_text(file.read_text()).code

    usual = code({})
    assert code({"steps": {"train": {"cpu": "8"}}}, train={"device": "cpu"}) == usual
    assert code({"image": "elsewhere/python"}) != usual
    assert code({"env": {"PYTHONPATH": "/elsewhere"}}) != usual
    assert code({"secret_env": {"TOKEN": "a/b"}}) != usual


def test_the_steps_are_those_of_the_components() -> None:
    files = Path(__file__).parents[2].joinpath("components").glob("*.py")
    assert set(STEPS) == {file.stem for file in files} - {"__init__", "image"}
    assert IMAGE


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ({"env": {"LINNET_HOME": "/elsewhere"}}, "set by the pipeline itself"),
        ({"env": {"A": "1"}, "secret_env": {"A": "s/k"}}, "more than one"),
        ({"secret_env": {"A": "no-key"}}, "secret_env"),
        ({"steps": {"trian": {"cpu": "8"}}}, "the steps are"),
        ({"steps": {"train": {"cpu": "many"}}}, "cpu"),
        ({"claim": "Not_A_Name"}, "claim"),
        ({"image": "two words"}, "image"),
        ({"tolerations": {"gpu": {"effect": "Never"}}}, "effect"),
        ({"labels": {"not a label": "x"}}, "labels"),
    ],
)
def test_what_a_cluster_would_refuse_is_refused_here(cluster: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config(cluster)
