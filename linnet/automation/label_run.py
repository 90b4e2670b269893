"""The training run that a finished labelling round causes: linnet.labels.trigger.RunTrigger on an engine."""

from __future__ import annotations

import logging

from linnet.automation.submission import submit_pipeline
from linnet.config import Config
from linnet.errors import LinnetError
from linnet.launch.client import host_of
from linnet.records import RunRequest
from linnet.retraining.runs import RecordedRuns
from linnet.retraining.wiring import keep_recent

logger = logging.getLogger(__name__)


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
        self._keep_window()
        labels = self._config.labels.model_copy(update={"version": version})
        config = self._config.model_copy(update={"labels": labels})
        return submit_pipeline("training", config, request, host, key).run_id

    def _keep_window(self) -> None:
        """What was answered about served images joins the run as a production window.

        A registry or a log that cannot be read keeps nothing of the dataset's own labels from the run.
        """
        try:
            keep_recent(self._config)
        except LinnetError as error:
            logger.warning(
                "%s: answers about served images do not join the run: %s", self._config.name, error
            )
