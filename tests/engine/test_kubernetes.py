"""Claims, secrets, config maps, workspaces and pod metadata, as folders and variables of this machine."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl, kubernetes

from linnet.console.pages.run import _log
from linnet.runner import kubernetes as kubernetes_settings
from linnet.runner.mounts import can_mount
from tests.engine.engines import RunningEngine, run_of, wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]
mounted = pytest.mark.skipif(not can_mount(), reason="this machine has no mount namespaces for users")


@dsl.component(base_image="linnet-python", install_kfp_package=False)
def expect_variable(name: str, wanted: str) -> None:
    import os

    assert os.environ.get(name) == wanted, os.environ.get(name)


@dsl.component(base_image="linnet-python", install_kfp_package=False)
def write_file(path: str, text: str) -> None:
    import pathlib

    pathlib.Path(path).write_text(text)


@dsl.component(base_image="linnet-python", install_kfp_package=False)
def expect_file(path: str, wanted: str) -> None:
    import pathlib

    assert pathlib.Path(path).read_text() == wanted


@dsl.component(base_image="linnet-python", install_kfp_package=False)
def expect_read_only(path: str) -> None:
    try:
        open(path, "w")
    except OSError:
        return
    raise AssertionError("a secret can be written")


@dsl.pipeline(name="secrets")
def secrets(name: str = "db") -> None:
    task = expect_variable(name="PASSWORD", wanted="s3cret")
    kubernetes.use_secret_as_env(task, secret_name=name, secret_key_to_env={"password": "PASSWORD"})
    map_task = expect_variable(name="COLOR", wanted="red")
    kubernetes.use_config_map_as_env(
        map_task, config_map_name="looks", config_map_key_to_env={"color": "COLOR"}
    )
    absent = expect_variable(name="MAYBE", wanted="")
    absent.set_env_variable("MAYBE", "")
    kubernetes.use_secret_as_env(
        absent, secret_name="nowhere", secret_key_to_env={"a": "MAYBE"}, optional=True
    )


@dsl.pipeline(name="mounted-secrets")
def mounted_secrets() -> None:
    task = expect_file(path="/linnet-test/deep/password", wanted="s3cret")
    kubernetes.use_secret_as_volume(task, secret_name="db", mount_path="/linnet-test/deep")
    other = expect_read_only(path="/mnt/linnet-test/password")
    kubernetes.use_secret_as_volume(other, secret_name="db", mount_path="/mnt/linnet-test")


@dsl.pipeline(name="claims")
def claims() -> None:
    claim = kubernetes.CreatePVC(pvc_name_suffix="-data", access_modes=["ReadWriteOnce"], size="1Gi")
    first = write_file(path="/linnet-data/x.txt", text="kept")
    kubernetes.mount_pvc(first, pvc_name=claim.outputs["name"], mount_path="/linnet-data")
    second = expect_file(path="/elsewhere/x.txt", wanted="kept").after(first)
    kubernetes.mount_pvc(second, pvc_name=claim.outputs["name"], mount_path="/elsewhere")
    kubernetes.DeletePVC(pvc_name=claim.outputs["name"]).after(second)


@dsl.pipeline(name="no-claim")
def no_claim() -> None:
    task = write_file(path="/linnet-data/x.txt", text="kept")
    kubernetes.mount_pvc(task, pvc_name="nobody-made-it", mount_path="/linnet-data")


@dsl.pipeline(
    name="workspace",
    pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi")),
)
def workspace() -> None:
    path = f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/a.txt"
    expect_file(path=path, wanted="shared").after(write_file(path=path, text="shared"))


@dsl.pipeline(name="labels")
def labels() -> None:
    task = expect_variable(name="TEAM", wanted="vision")
    kubernetes.add_pod_label(task, "team", "vision")
    kubernetes.use_field_path_as_env(task, env_name="TEAM", field_path="metadata.labels['team']")
    kubernetes.add_node_selector(task, "disk", "ssd")
    kubernetes.add_toleration(task, key="gpu", operator="Exists", effect="NoSchedule")


@dsl.pipeline(name="no-secret")
def no_secret() -> None:
    task = expect_variable(name="PASSWORD", wanted="s3cret")
    kubernetes.use_secret_as_env(task, secret_name="missing", secret_key_to_env={"password": "PASSWORD"})


@dsl.pipeline(name="climbing-secret")
def climbing_secret() -> None:
    task = expect_variable(name="PASSWORD", wanted="s3cret")
    kubernetes.use_secret_as_env(task, secret_name="../db", secret_key_to_env={"password": "PASSWORD"})


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    found = RunningEngine(tmp_path_factory.mktemp("kubernetes") / "state").start()
    for name, text in (("secrets/db/password", "s3cret"), ("config_maps/looks/color", "red")):
        file = found.state / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    yield found
    found.stop()


def ended(engine: RunningEngine, pipeline: Any) -> tuple[str, str, str]:
    client = engine.client()
    run = wait_for(client, run_of(client, pipeline))
    log = (engine.folder(run.run_id) / "log.txt").read_text()
    return run.state, run.error.message if run.error else "", log


@pytest.mark.parametrize("pipeline", [secrets, workspace, labels], ids=lambda p: p.name)
def test_setting_gives_what_a_cluster_gives(engine: RunningEngine, pipeline: Any) -> None:
    state, error, log = ended(engine, pipeline)
    assert state == "SUCCEEDED", error
    if pipeline is labels:
        assert "nodeSelector, tolerations are for a cluster's scheduler" in log


@mounted
@pytest.mark.parametrize("pipeline", [mounted_secrets, claims], ids=lambda p: p.name)
def test_mount_is_seen_by_the_task_alone(engine: RunningEngine, pipeline: Any) -> None:
    state, error, _ = ended(engine, pipeline)
    assert state == "SUCCEEDED", error
    for path in ("/linnet-test", "/mnt/linnet-test", "/linnet-data", "/elsewhere"):
        assert not Path(path).exists(), "a task's view must not reach this machine's tree"
    assert not any((engine.state / "volumes").glob("*-data")), "the claim was deleted"


@pytest.mark.parametrize(
    "pipeline, told",
    [
        (no_secret, "there is no secret 'missing': put its keys as files into"),
        (no_claim, "there is no volume claim 'nobody-made-it': make the folder"),
        (climbing_secret, "'../db' is not a name that Kubernetes allows"),
    ],
    ids=lambda p: getattr(p, "name", ""),
)
def test_what_is_not_here_fails_its_task_and_says_what_to_do(
    engine: RunningEngine, pipeline: Any, told: str
) -> None:
    state, error, _ = ended(engine, pipeline)
    assert state == "FAILED" and told in error


VIEW = """
import os, sys
from pathlib import Path
from linnet.runner import kubernetes as kubernetes_settings
from linnet.runner.mounts import Mount, enter
source, scratch = Path(sys.argv[1]), Path(sys.argv[2])
enter([Mount(source, "/usr/linnet-test/a"), Mount(source, "/linnet-test", read_only=True)], scratch)
assert Path("/usr/linnet-test/a/x").read_text() == Path("/linnet-test/x").read_text() == "1"
Path("/usr/linnet-test/a/y").write_text("2")
assert Path("/usr/bin/env").exists() and Path("/proc/self/stat").exists() and Path("/dev/null").exists()
assert os.getcwd() == sys.argv[3]
try:
    Path("/linnet-test/z").write_text("3")
except OSError:
    print("read-only")
"""


@mounted
def test_view_has_the_rest_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "source" / "x").write_text("1")
    words = [str(tmp_path / "source"), str(tmp_path / "root"), str(Path.cwd())]
    done = subprocess.run([sys.executable, "-c", VIEW, *words], capture_output=True, text=True)
    assert done.stdout == "read-only\n", done.stderr
    assert (tmp_path / "source" / "y").read_text() == "2"
    assert not Path("/usr/linnet-test").exists() and not any((tmp_path / "root").iterdir())


def test_every_setting_of_the_sdk_is_given_or_noted() -> None:
    from kfp.kubernetes import kubernetes_executor_config_pb2 as messages

    fields = messages.KubernetesExecutorConfig.DESCRIPTOR.fields
    names = {field.json_name for field in fields}
    assert names - kubernetes_settings.GIVEN - kubernetes_settings.NOTED == set()


@dsl.pipeline(name="placed")
def placed() -> None:
    """Everything that says where and how a pod is made: none of it changes what the task gives."""
    task = write_file(path="/scratch/a", text="x").set_caching_options(False)
    kubernetes.add_ephemeral_volume(task, "scratch", "/scratch", ["ReadWriteOnce"], "1Gi")
    kubernetes.add_node_selector(task, "disk", "ssd")
    kubernetes.add_node_affinity(task, match_expressions=[{"key": "z", "operator": "In", "values": ["a"]}])
    kubernetes.add_toleration(task, key="gpu", operator="Exists", effect="NoSchedule")
    kubernetes.add_pod_label(task, "team", "birds")
    kubernetes.add_pod_annotation(task, "note", "sings")
    kubernetes.set_image_pull_secrets(task, ["registry"])
    kubernetes.set_image_pull_policy(task, "Always")
    kubernetes.set_security_context(task, run_as_user=1000)


@mounted
def test_where_a_pod_is_placed_is_noted_and_changes_nothing(engine: RunningEngine) -> None:
    run_id = run_of(engine.client(), placed)
    run = wait_for(engine.client(), run_id)
    assert run.state == "SUCCEEDED", run.error
    log = (engine.folder(run_id) / "log.txt").read_text()
    shown = _log(engine.folder(run_id), "write-file")
    for setting in ("imagePullPolicy", "imagePullSecret", "nodeAffinity", "nodeSelector", "securityContext"):
        assert setting in log and setting in shown, "the run's log and the console's page of the task say so"
    assert shown.startswith("note: runs on this machine: ") and shown.count("nodeSelector") == 1
    assert not Path("/scratch").exists()
