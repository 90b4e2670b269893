"""Where tasks run (image, resources, timeout, state volume), and what ends a run: the same in every DAG."""

from dataclasses import dataclass
from typing import Any

from kfp import dsl, kubernetes

from components.record_run import record_run as record_run_step
from linnet.config import ClusterConfig, Config
from linnet.config.cluster import StepResources

STATE_MOUNT = "/linnet"
MINUTE = 60
_SHARED_MEMORY = "/dev/shm"  # noqa: S108  of the pod


@dataclass(frozen=True)
class Placement:
    """The pods of a pipeline's tasks."""

    cluster: ClusterConfig
    gpus: int
    """Of `train`."""

    @classmethod
    def of(cls, config: Config) -> "Placement":
        """As a config asks for it."""
        cluster, train = config.cluster, config.train
        wanted = cluster.gpus and max(cluster.gpus, train.processes)
        return cls(cluster, 0 if train.device == "cpu" else wanted)

    def place(
        self, task: dsl.PipelineTask, minutes: int, cpu: str = "1", memory: str = "2G"
    ) -> dsl.PipelineTask:
        """Image, resources, timeout and the state volume of a task.

        The timeout stands twice: Kubernetes ends the pod, and the step ends itself wherever it runs.
        """
        own = self.cluster.steps.get(task.component_spec.name.replace("-", "_"), StepResources())
        task.set_cpu_limit(own.cpu or cpu).set_memory_limit(own.memory or memory).set_caching_options(False)
        task.set_env_variable("LINNET_TIMEOUT", str(minutes * MINUTE))
        kubernetes.set_timeout(task, minutes * MINUTE)
        kubernetes.mount_pvc(task, pvc_name=self.cluster.claim, mount_path=STATE_MOUNT)
        kubernetes.use_field_path_as_env(task, "LINNET_RUN_ID", "metadata.labels['pipeline/runid']")
        if own.shared_memory:
            kubernetes.empty_dir_mount(
                task, "shared-memory", _SHARED_MEMORY, medium="Memory", size_limit=own.shared_memory
            )
        self._image(task)
        self._variables(task)
        self._pod(task)
        return task

    def place_on_gpus(self, task: dsl.PipelineTask) -> None:
        """Asks for the GPUs of training, if it is to have some."""
        if self.gpus:
            task.set_accelerator_type(self.cluster.accelerator).set_accelerator_limit(self.gpus)

    def recorded(self, pipeline: str, name: Any, request: Any, cost: Any, registry: Any) -> dsl.ExitHandler:
        """The scope of the tasks of `pipeline`: however they end, the run's record is written."""
        recording = record_run_step(
            pipeline=pipeline, name=name, request=request, cost=cost, registry=registry
        )
        return dsl.ExitHandler(self.place(recording, minutes=5))

    def _image(self, task: dsl.PipelineTask) -> None:
        if self.cluster.image:
            task.set_container_image(self.cluster.image)
        if self.cluster.image_pull_policy:
            kubernetes.set_image_pull_policy(task, self.cluster.image_pull_policy)
        if self.cluster.image_pull_secrets:
            kubernetes.set_image_pull_secrets(task, list(self.cluster.image_pull_secrets))

    def _variables(self, task: dsl.PipelineTask) -> None:
        for name, value in self.cluster.env.items():
            task.set_env_variable(name, value)
        for name, place in self.cluster.secret_env.items():
            secret, key = place.split("/")
            kubernetes.use_secret_as_env(task, secret, {key: name})
        for name, place in self.cluster.config_map_env.items():
            config_map, key = place.split("/")
            kubernetes.use_config_map_as_env(task, config_map, {key: name})

    def _pod(self, task: dsl.PipelineTask) -> None:
        cluster = self.cluster
        ids = {"run_as_user": cluster.run_as_user, "run_as_group": cluster.run_as_group}
        if given := {name: value for name, value in ids.items() if value >= 0}:
            kubernetes.set_security_context(task, **given)
        for name, value in cluster.node_selector.items():
            kubernetes.add_node_selector(task, name, value)
        for key, taint in cluster.tolerations.items():
            kubernetes.add_toleration(
                task,
                key=key,
                operator="Equal" if taint.value else "Exists",
                value=taint.value or None,
                effect=taint.effect or None,
            )
        for name, value in cluster.labels.items():
            kubernetes.add_pod_label(task, name, value)
        for name, value in cluster.annotations.items():
            kubernetes.add_pod_annotation(task, name, value)
