"""The training run that a finished labelling round causes: linnet.labels.trigger.RunTrigger on an engine."""

from __future__ import annotations

from linnet.automation.submission import submit_pipeline
from linnet.config import Config
from linnet.launch.client import host_of
from linnet.records import RunRequest
from linnet.retraining.runs import RecordedRuns


class EngineTrigger:
    """Submits the training pipeline to this machine's engine, or to the cluster that the config names."""

    def __init__(self, config: Config) -> None:
        """`config`: what to train with, besides the labels."""
        self._config = config

    def request_run(self, request: RunRequest, version: str, key: str) -> str:
        """One run a key: the host sees to it.

        This machine's engine takes a key again only with the same words; a run that was asked for in
        others (an answer came late, the config was edited) is found by its record.

        Raises:
            RunError: the host refused it, or cannot be reached; nothing was started.
        """
        host = host_of(self._config.engine)
        if host.engine is not None and (known := RecordedRuns().find(key)):
            return known
        labels = self._config.labels.model_copy(update={"version": version})
        config = self._config.model_copy(update={"labels": labels})
        return submit_pipeline("training", config, request, host, key).run_id
