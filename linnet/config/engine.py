"""Section of the engine: the Kubeflow Pipelines API of this machine, and which one to speak to."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from linnet.config.places import Address
from linnet.config.section import Section

ContainerSetting = Literal["auto", "podman", "docker", "process", "off"]


class EngineConfig(Section):
    renamed: ClassVar = {"queue": "max_queued_runs"}
    host: Address = ""
    """Address of a Kubeflow Pipelines API to run on, such as https://kfp.example.org/pipeline; empty:
    this machine's own, which is started where none runs. `LINNET_ENGINE_TOKEN` is its bearer token."""
    bind: Address = "127.0.0.1"
    """Address that this machine's API listens on. Any but a loopback address needs `LINNET_ENGINE_TOKEN`."""
    port: int = Field(default=8888, ge=0, le=65535)
    """Port that this machine's API listens on; 0 takes a free one."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, besides the bound address and localhost, under which a client may call it (`Host`, `Origin`)."""
    concurrent_runs: int = Field(default=2, ge=1, le=64)
    """How many runs may be under way at once; others wait."""
    max_queued_runs: int = Field(default=200, ge=1)
    """How many runs may wait; more are refused."""
    parallel_tasks: int = Field(default=0, ge=0, le=256)
    """How many tasks of a run may work at once; 0: one for every four cores, and at least one."""
    max_upload_mb: float = Field(default=8.0, gt=0, le=256)
    """Largest request, and largest pipeline file after unpacking, in megabytes."""
    mirror_runs: bool = True
    """Whether this machine's engine writes the record of each ended run to MLflow, in the background."""
    trusted_configs: tuple[str, ...] = ()
    """Config files, or patterns of them, besides those in `configs/` and here: a caller who is not this
    machine's owner may name only files, addresses and credentials that one of them names."""
    containers: ContainerSetting = "auto"
    """What runs container components, and Python components whose image is not Python's: podman or docker,
    whichever works (podman first); "process": none, their commands run as processes of this machine with
    your rights, if their image is a plain Linux or Python; "off": they are refused."""
    allow_uploads: bool = False
    """Whether to run pipelines that Linnet did not compile. Running one executes its code as you."""
