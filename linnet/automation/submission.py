"""Compiles a pipeline of this installation and sends it to a host."""

from __future__ import annotations

import tempfile
from pathlib import Path

from linnet.config import ClusterConfig, Config
from linnet.launch.client import Host
from linnet.launch.submit import LocalRun, Submitted, start, submit
from linnet.records import RunRequest
from pipelines.compile import compile_pipeline


def submit_pipeline(
    pipeline: str, config: Config, request: RunRequest, host: Host, key: str = ""
) -> Submitted:
    """Compiles `pipeline` (its name in `pipelines.compile`) for the config, and submits it.

    `key`: see linnet.launch.submit.submit.

    Raises:
        RunError: the host refused it.
        KeyboardInterrupt: Ctrl-C, also while the host takes it: the run is then terminated.
    """
    with tempfile.TemporaryDirectory() as scratch:
        package = compile_for(host, pipeline, config, Path(scratch) / "pipeline.yaml")
        return submit(package, request, host, experiment=config.name, key=key)


def start_pipeline(pipeline: str, config: Config, request: RunRequest) -> LocalRun:
    """Compiles `pipeline` for the config, and starts a worker of this process's own on it."""
    with tempfile.TemporaryDirectory() as scratch:
        package = compile_pipeline(pipeline, _here(config), Path(scratch) / "pipeline.yaml")
        return start(package, pipeline, config, request)


def compile_for(host: Host, pipeline: str, config: Config, target: Path) -> Path:
    """Writes the KFP file of `pipeline` for a host: what a cluster's pods are given means nothing here."""
    return compile_pipeline(pipeline, _here(config) if host.is_this_machine else config, target)


def _here(config: Config) -> Config:
    return config.model_copy(update={"cluster": ClusterConfig()})
