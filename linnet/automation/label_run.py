"""The training run that a finished labelling round causes: linnet.labels.trigger.RunTrigger on an engine."""

from __future__ import annotations

from linnet.automation.submission import submit_pipeline
from linnet.config import Config
from linnet.launch.client import host_of
from linnet.records import RunRequest


class EngineTrigger:
    """Submits the training pipeline to this machine's engine, or to the cluster that the config names."""

    def __init__(self, config: Config) -> None:
        """`config`: what to train with, besides the labels."""
        self._config = config

    def request_run(self, request: RunRequest, version: str, key: str) -> str:
        """One run a key: the host sees to it.

        Raises:
            RunError: the host refused it, or cannot be reached; nothing was started.
        """
        labels = self._config.labels.model_copy(update={"version": version})
        config = self._config.model_copy(update={"labels": labels})
        return submit_pipeline("training", config, request, host_of(config.engine), key).run_id
