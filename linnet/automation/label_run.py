"""The training run that a finished labelling round causes: linnet.labels.trigger.RunTrigger on an engine."""

from __future__ import annotations

import logging
from datetime import datetime

from linnet.automation.submission import submit_pipeline
from linnet.config import Config
from linnet.errors import LinnetError
from linnet.labels.trigger import NO_RUN
from linnet.launch.client import host_of
from linnet.records import RunRequest
from linnet.retraining.ledger import RetrainingLedger
from linnet.retraining.round_plan import plan_of_round
from linnet.retraining.runs import RecordedRuns
from linnet.retraining.wiring import keep_recent, trigger_of

logger = logging.getLogger(__name__)


class EngineTrigger:
    """Submits the training pipeline to this machine's engine, or to the cluster that the config names."""

    def __init__(self, config: Config) -> None:
        """`config`: what to train with, besides the labels."""
        self._config = config

    def request_run(self, request: RunRequest, version: str, key: str) -> str:
        """One run a key, and none beside one that the retraining policy asked for: that one is waited for,
        and is the round's own if it trains with its answers. What drift had people asked is the policy's.

        This machine's engine takes a key again only with the same words; a run that was asked for in
        others (an answer came late, the config was edited) is found by its record.

        Raises:
            RunError: the host refused it, or cannot be reached; nothing was started.
            RetrainingError: the policy's ledger was changed, or cannot be read.
        """
        host = host_of(self._config.engine)
        if host.engine is not None and (known := RecordedRuns().find(key)):
            return known
        if (of_policy := self._of_policy(request)) is not None:
            return of_policy
        self._keep_window()
        labels = self._config.labels.model_copy(update={"version": version})
        config = self._config.model_copy(update={"labels": labels})
        return submit_pipeline("training", config, request, host, key).run_id

    def _of_policy(self, request: RunRequest) -> str | None:
        """The round's answer where the policy has the say: see RunTrigger. None: the round asks by itself."""
        about = request.evidence
        if "closed_at" not in about or not self._config.retraining.enabled:
            return None
        ledger = RetrainingLedger(self._config.model_name)
        ledger.refresh()
        closed_at, by_drift = datetime.fromisoformat(about["closed_at"]), bool(about.get("by_drift"))
        plan = plan_of_round(closed_at, by_drift, ledger.runs, RecordedRuns().end)
        if plan.do == "share":
            return plan.run_id
        if plan.do == "ask-policy":
            decision = trigger_of(self._config).decide("labels", request.actor)
            logger.info("%s: %s", request.reason, decision.reason)
            return "" if decision.request else NO_RUN
        return "" if plan.do == "wait" else None

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
