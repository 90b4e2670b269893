"""Where tasks run (resources, timeout, state volume) and what ends a run, the same way in every DAG."""

from typing import Any

from kfp import dsl, kubernetes

from components.record_run import record_run as record_run_step

STATE_CLAIM = "linnet-state"
"""PersistentVolumeClaim that holds what `.linnet/` holds on a laptop."""
STATE_MOUNT = "/linnet"
MINUTE = 60


def place(task: dsl.PipelineTask, minutes: int, cpu: str = "1", memory: str = "2G") -> dsl.PipelineTask:
    """Resources, timeout and the state volume of a task.

    The timeout stands twice: Kubernetes ends the pod, and the step ends itself wherever it runs.
    """
    task.set_cpu_limit(cpu).set_memory_limit(memory).set_caching_options(False)
    task.set_env_variable("LINNET_TIMEOUT", str(minutes * MINUTE))
    kubernetes.set_timeout(task, minutes * MINUTE)
    kubernetes.mount_pvc(task, pvc_name=STATE_CLAIM, mount_path=STATE_MOUNT)
    kubernetes.use_field_path_as_env(task, "LINNET_RUN_ID", "metadata.labels['pipeline/runid']")
    return task


def recorded(name: Any, request: Any, cost: Any, registry: Any) -> dsl.ExitHandler:
    """The scope of a run's tasks: however they end, the run's record is written."""
    recording = record_run_step(name=name, request=request, cost=cost, registry=registry)
    return dsl.ExitHandler(place(recording, minutes=5))
