"""Wires the retraining policy to this installation: its ledgers, its evidence, and its runs' records."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.config import Config, RegistryConfig, RetrainingConfig, parse_config
from linnet.errors import RetrainingError
from linnet.records import ModelPackage, RetrainingDecision, RetrainingEvidence, RunRecord, now
from linnet.retraining.known_models import known_models
from linnet.retraining.ledger import RetrainingLedger
from linnet.retraining.runs import RecordedRuns
from linnet.retraining.trigger import Trigger
from linnet.run import runs
from linnet.storage.files import is_there
from linnet.storage.paths import prediction_log_dir

if TYPE_CHECKING:
    from linnet.monitoring.evidence import Span
    from linnet.monitoring.recent import LabelledWindow

logger = logging.getLogger(__name__)
_RELEASE = "release"
BY_DRIFT = "drift"
"""Why people were asked about an image (`linnet.labels.select`): a round that drift opened drew it."""
_MOST_ROLLOUTS = 50


def trigger_of(config: Config) -> Trigger:
    """The trigger of a config's model, wired to this installation."""
    return Trigger(
        RetrainingLedger(config.model_name),
        RecordedRuns(),
        config.retraining,
        lambda: evidence_of(config),
        plan=config.values(),
    )


def trigger_of_model(model: str, retraining: RetrainingConfig | None = None) -> Trigger:
    """The trigger of a model by its name: with the config of its newest training run that succeeded.

    Without one that did, the newest. Runs that the policy asked for are not looked at: their data was more.

    `retraining`: how it is to be decided; None: as the newest monitoring run was told.

    Raises:
        RetrainingError: it was never trained here.
    """
    newest: RunRecord | None = None
    for _, record in runs.readable(runs.recorded):
        if (
            record.pipeline == "training"
            and record.model_name == model
            and record.request.evidence.get("key") is None
        ):
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


def decide_for_model(name: str, registry: dict[str, Any], retraining: dict[str, Any]) -> RetrainingDecision:
    """What the monitoring pipeline does after a window: asks the policy with the sections it was given.

    A yes is written down; the engine submits the run.

    Raises:
        RetrainingError: the model was never trained here, or the ledger was changed.
    """
    section = RegistryConfig.parse(registry)
    trigger = trigger_of_model(section.model or name, RetrainingConfig.parse(retraining))
    return trigger.decide("monitoring", "monitoring pipeline")


def evidence_of(config: Config) -> RetrainingEvidence:
    """What is known of the config's champion at this moment.

    Raises:
        RegistryError, StorageError: registry, log or a window cannot be read.
    """
    from linnet.monitoring.evidence import ServedChampion, gather_evidence
    from linnet.registry.connect import connect
    from linnet.registry.promotion import rolled_back_at

    model = config.model_name
    registry = connect(config.registry)
    champion = registry.champion(model)
    served = ServedChampion(
        model,
        champion.version if champion else None,
        champion.created_at if champion else None,
        rolled_back_at(registry.ledger.entries(model)),
        _open_questions(config.name),
        _training(model),
    )
    return gather_evidence(served, _rollouts(model), labelled(config))


def labelled(config: Config, of_champion: bool = True) -> LabelledWindow:
    """Labelled images of the last `recent_days`: those that the champion was asked about, or all."""
    from linnet.monitoring.recent import LabelledWindow, labelled_window
    from linnet.registry.connect import connect

    model = config.model_name
    registry = connect(config.registry)
    champion = registry.champion(model)
    if champion is None:
        return LabelledWindow([])
    package = ModelPackage.load(registry.package_folder(champion) / "package.json")
    since = now() - timedelta(days=config.retraining.recent_days)
    version = None
    if of_champion:
        since, version = max(champion.created_at, since), champion.version
    answers, disputed, fair = _answers(config)
    log, classes = prediction_log_dir(), package.classes
    return labelled_window(log, model, version, since, now(), classes, answers, package.task, disputed, fair)


def _open_questions(dataset: str) -> int:
    """Questions that drift had people asked, and that nobody answered yet."""
    from linnet.labels.queue import queued
    from linnet.labels.store import database
    from linnet.labels.table import LabelTable

    if not database(dataset).exists():
        return 0
    asked = {request.sample_id for request in queued(dataset) if request.reasons[0] == BY_DRIFT}
    return len(asked - {row.sample_id for row in LabelTable(dataset).history()}) if asked else 0


def _training(model: str) -> str:
    """The training run of a model that is under way here, whoever asked for it; empty: none is."""
    ours = runs.readable(runs.recorded, among=runs.alive_folders())
    return next(
        (folder.name for folder, one in ours if one.pipeline == "training" and one.model_name == model), ""
    )


def keep_recent(config: Config) -> Path | None:
    """Keeps the recent labelled production window of a use case, which its next run takes in.

    Its folder; None: nothing is labelled, or nothing serves, so the dataset is all there is.
    """
    from linnet.monitoring.recent import write_recent

    # What an earlier champion was asked about too: or the second retraining would forget the first.
    found = labelled(config, of_champion=False)
    for note in found.notes:
        logger.warning("the labelled window of %s: %s", config.name, note)
    return write_recent(found.images, config.name, config.data.task) if found.images else None


def _answers(config: Config) -> tuple[dict[str, tuple[str, datetime]], set[str], set[str]]:
    """What annotators hold together of each sample, and since when; on which they do not agree; and of which
    they were asked by chance, since there was drift.
    """
    from linnet.labels.consensus import consensus
    from linnet.labels.table import LabelTable
    from linnet.tasks.target import target_of

    table, target = LabelTable(config.name), target_of(config.data.task)
    rows = table.as_of(table.horizon())
    together = consensus(rows, config.data.task)
    agreed = [one for one in together if one.label and one.agreement >= config.labels.min_agreement]
    answers = {one.sample_id: (target.read(one.label), one.created_at) for one in agreed}
    disputed = {one.sample_id for one in together} - answers.keys()
    return answers, disputed, {row.sample_id for row in rows if row.reason == BY_DRIFT}


def _rollouts(model: str) -> list[Span]:
    """When releases of the model were under way, from the runs' records."""
    spans: list[Span] = []
    released = (folder for folder in runs.folders() if is_there(folder / "stages" / f"{_RELEASE}.json"))
    ours = (record for _, record in runs.readable(among=released) if record.model_name == model)
    for record in islice(ours, _MOST_ROLLOUTS):
        for stage in record.stages:
            if stage.task == _RELEASE:
                over = stage.state != "running" or record.state != "running"
                end = stage.started_at + timedelta(seconds=stage.seconds) if over else None
                spans.append((stage.started_at, end))
    return spans
