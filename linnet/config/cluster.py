"""Section of a Kubernetes cluster: what each pod of a run is given there. This machine needs none of it.

It is no parameter of a pipeline: it is compiled into the file's platform spec, and only into a file that is
meant for a cluster (`linnet compile`, `linnet run --host`).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from linnet.config.places import Code
from linnet.config.section import Section

_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
Name = Annotated[str, Field(pattern=rf"^{_NAME}$")]
"""Name of an object of Kubernetes."""
Quantity = Annotated[str, Field(pattern=r"^([0-9]+(\.[0-9]+)?(m|[kMGTPE]i?)?)?$")]
"""Amount as Kubernetes writes it: 4, 500m, 16Gi; empty: as Linnet has it."""
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
KeyOf = Annotated[str, Field(pattern=rf"^{_NAME}/[-._a-zA-Z0-9]+$")]
"""`object/key`: one entry of a Secret or a ConfigMap."""
Label = Annotated[str, Field(pattern=r"^([-a-z0-9.]+/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$")]

STEPS = (
    "audit_skew", "build_features", "collect_labels", "decide_retraining", "evaluate", "ingest",
    "measure_drift", "measure_performance", "observe_window", "package", "publish_window",
    "record_run", "register", "release", "request_labels", "train", "validate",
)  # fmt: skip
"""The steps of all pipelines, as `components/` has them."""
OURS = ("LINNET_HOME", "LINNET_TIMEOUT", "LINNET_RUN_ID", "LINNET_DECLARED")
"""Variables that the pipeline sets itself."""


def _step(name: str) -> str:
    if name not in STEPS:
        raise ValueError(f"{name!r} is no step; the steps are {', '.join(STEPS)}")
    return name


class Toleration(Section):
    value: str = ""
    """The taint's value; empty: any."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """The taint's effect; empty: each."""


class StepResources(Section):
    cpu: Quantity = ""
    """Cores of its pod, such as "4" or "500m"; empty: what the pipeline asks for."""
    memory: Quantity = ""
    """Memory of its pod, such as "16Gi"; empty: what the pipeline asks for."""
    shared_memory: Quantity = ""
    """Size of /dev/shm, through which loaders hand over batches in training; empty: the node's (64 MB)."""


class ClusterConfig(Section):
    image: Code = Field(default="", pattern=r"^\S*$")
    """Image of all steps, best by digest (`registry/linnet@sha256:...`); empty: the one of this version."""
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    """When a node fetches the image; empty: as Kubernetes does by itself."""
    image_pull_secrets: tuple[Name, ...] = ()
    """Secrets with the credentials of the image's registry."""
    claim: Name = "linnet-state"
    """PersistentVolumeClaim that holds what `.linnet/` holds on a laptop; pods of one run share it."""
    run_as_user: int = Field(default=-1, ge=-1)
    """User id of every pod; -1: the image's, 1000. A volume whose files belong to root needs 0, or a
    `fsGroup` that the cluster's administrator sets."""
    run_as_group: int = Field(default=-1, ge=-1)
    """Group id of every pod; -1: the image's."""
    env: dict[Variable, str] = Field(default={})
    """Variables of every pod, such as `AWS_ENDPOINT_URL`. Nothing secret: the compiled file shows them."""
    secret_env: dict[Variable, KeyOf] = Field(default={})
    """Variables of every pod whose value is an entry of a Secret: `AWS_SECRET_ACCESS_KEY = "s3/secret"`."""
    config_map_env: dict[Variable, KeyOf] = Field(default={})
    """Variables of every pod whose value is an entry of a ConfigMap."""
    accelerator: str = "nvidia.com/gpu"
    """Kind of GPU that `train` asks for."""
    gpus: int = Field(default=1, ge=0, le=64)
    """GPUs that `train` asks for, at least `train.processes`; none where `train.device` is "cpu"."""
    node_selector: dict[Label, str] = Field(default={})
    """Labels of the nodes that pods may stand on."""
    tolerations: dict[str, Toleration] = Field(default={})
    """Taints of nodes that pods may stand on, by key: `"nvidia.com/gpu" = { effect = "NoSchedule" }`."""
    labels: dict[Label, str] = Field(default={})
    """Labels of every pod, such as Kueue's `kueue.x-k8s.io/queue-name`."""
    annotations: dict[Label, str] = Field(default={})
    """Annotations of every pod."""
    steps: dict[Annotated[str, AfterValidator(_step)], StepResources] = Field(default={})
    """What single steps are given: `steps.train = { cpu = "8", memory = "32Gi", shared_memory = "8Gi" }`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = [*self.env, *self.secret_env, *self.config_map_env]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]} stands in more than one of env, secret_env and config_map_env")
        if taken := sorted(set(named) & set(OURS)):
            raise ValueError(f"{taken[0]} is set by the pipeline itself")
        return self
