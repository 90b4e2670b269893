"""Where tasks run: resources, timeout and the state volume, the same way in every DAG."""

from kfp import dsl, kubernetes

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
