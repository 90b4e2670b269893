"""Wires the retraining policy to this installation: its evidence, and training runs through the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.automation.known_models import known_models
from linnet.config import Config, RegistryConfig, RetrainingConfig, parse_config
from linnet.errors import RetrainingError, RunError
from linnet.records import ModelPackage, RetrainingDecision, RetrainingEvidence, RunRecord, RunRequest, now
from linnet.retraining.ledger import RetrainingLedger
from linnet.retraining.runs import EndState, RunEnd
from linnet.retraining.trigger import Trigger
from linnet.run import runs
from linnet.storage.paths import state_dir

if TYPE_CHECKING:
    from linnet.monitoring.evidence import Span
    from linnet.monitoring.recent import Labelled

_RELEASE = "release"


@dataclass(frozen=True, slots=True)
class EngineRuns:
    """Training runs of this machine's engine: `retraining.runs.TrainingRuns`."""

    config: Config
    recent: Callable[[], Path | None]
    """Writes the recent labelled window; None: there is none, and the run trains on the dataset alone."""

    def submit(self, key: str, request: RunRequest) -> str:
        """See TrainingRuns; `key` stands in the request's evidence, and makes a second sending harmless."""
        from linnet.launch.client import host_of
        from linnet.launch.submit import submit

        assert request.evidence["key"] == key
        window = self.recent()
        config = self.config
        if window is not None:
            data = config.data.model_copy(update={"recent": str(window)})
            config = config.model_copy(update={"data": data})
        return submit("training", config, request, host_of(config.engine), key=key).run_id

    def find(self, key: str) -> str | None:
        """See TrainingRuns."""
        for folder in runs.folders():
            if RunRecord.load(folder / "run.json").request.evidence.get("key") == key:
                return folder.name
        return None

    def end(self, run_id: str) -> RunEnd | None:
        """See TrainingRuns."""
        try:
            record = runs.load(runs.find(run_id))
        except RunError:
            return RunEnd("interrupted", now(), reason="its record is gone")
        if record.state == "running":
            return None
        state: EndState = record.state
        version = next((str(s.values.get("version", "")) for s in record.stages if s.task == "register"), "")
        return RunEnd(
            state,
            record.ended_at or now(),
            version if state == "succeeded" else "",
            cost=record.cost.cost if record.cost is not None else None,
            reason=record.error,
        )


def trigger_of(config: Config) -> Trigger:
    """The trigger of a config's model, wired to this installation."""
    model = config.registry.model or config.name
    return Trigger(
        RetrainingLedger(model),
        EngineRuns(config, lambda: _write_recent(config)),
        config.retraining,
        lambda: evidence_of(config),
    )


def trigger_of_model(model: str, retraining: RetrainingConfig | None = None) -> Trigger:
    """The trigger of a model by its name: with the config of its newest training run that succeeded.

    Without one that did, the newest. Runs that the policy asked for are not looked at: their data was more.

    `retraining`: how it is to be decided; None: as the newest monitoring run was told.

    Raises:
        RetrainingError: it was never trained here.
    """
    newest: RunRecord | None = None
    for folder in runs.folders():
        record = RunRecord.load(folder / "run.json")
        named = record.config.get("registry", {}).get("model") or record.config.get("name")
        if record.pipeline == "training" and named == model and record.request.evidence.get("key") is None:
            newest = newest or record
            if record.state == "succeeded":
                newest = record
                break
    if newest is None:
        raise RetrainingError(
            f"model {model} was never trained here, so there is no config to retrain it with"
        )
    config = parse_config(newest.config)
    return trigger_of(config.model_copy(update={"retraining": retraining or _monitored(model)}))


def _monitored(model: str) -> RetrainingConfig:
    """The section that the model's newest monitoring run carries; without one the defaults."""
    return next((one.retraining for one in known_models() if one.model == model), RetrainingConfig())


def ask_for_model(name: str, registry: dict[str, Any], retraining: dict[str, Any]) -> RetrainingDecision:
    """What the monitoring pipeline does after a window: asks the policy with the sections it was given.

    Raises:
        RetrainingError: the model was never trained here, or the ledger was changed.
    """
    section = RegistryConfig.parse(registry)
    trigger = trigger_of_model(section.model or name, RetrainingConfig.parse(retraining))
    return trigger.consider("monitoring", "monitoring pipeline")


def evidence_of(config: Config) -> RetrainingEvidence:
    """What is known of the config's champion at this moment.

    Raises:
        RegistryError, StorageError: registry, log or a window cannot be read.
    """
    from linnet.monitoring.evidence import ServedChampion, gather_evidence
    from linnet.registry.connect import connect

    model = config.registry.model or config.name
    champion = connect(config.registry).champion(model)
    served = ServedChampion(
        model, champion.version if champion else None, champion.created_at if champion else None
    )
    return gather_evidence(served, _rollouts(model), _labelled(config))


def _labelled(config: Config, of_champion: bool = True) -> list[Labelled]:
    """Labelled images of the last `recent_days`: those that the champion was asked about, or all."""
    from linnet.monitoring.recent import labelled_window
    from linnet.registry.connect import connect

    model = config.registry.model or config.name
    registry = connect(config.registry)
    champion = registry.champion(model)
    if champion is None:
        return []
    package = ModelPackage.load(registry.package_folder(champion) / "package.json")
    since = now() - timedelta(days=config.retraining.recent_days)
    log, version = state_dir() / "serving" / "log", None
    if of_champion:
        since, version = max(champion.created_at, since), champion.version
    return labelled_window(log, model, version, since, now(), package.classes)


def _write_recent(config: Config) -> Path | None:
    from linnet.monitoring.recent import write_recent

    # What an earlier champion was asked about too: or the second retraining would forget the first.
    labelled = _labelled(config, of_champion=False)
    return write_recent(labelled, config.registry.model or config.name) if labelled else None


def _rollouts(model: str) -> list[Span]:
    """When releases of the model were under way, from the runs' records."""
    spans: list[Span] = []
    for folder in runs.folders()[:50]:
        record = runs.load(folder)
        if (record.config.get("registry", {}).get("model") or record.config.get("name")) != model:
            continue
        for stage in record.stages:
            if stage.task == _RELEASE:
                over = stage.state != "running" or record.state != "running"
                end = stage.started_at + timedelta(seconds=stage.seconds) if over else None
                spans.append((stage.started_at, end))
    return spans
