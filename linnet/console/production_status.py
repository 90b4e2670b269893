"""What monitoring, retraining and labelling left of a model, read from their own records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

from linnet.automation.monitoring_schedule import unwatched
from linnet.config import Config, broken_config_files
from linnet.console.alerts import Alert, ProductionState, alerts
from linnet.console.context import Context
from linnet.console.prediction_log import LogSummary
from linnet.console.slo import SloStatus, objectives
from linnet.deployment.bake_report import bake_file
from linnet.errors import LinnetError
from linnet.labels.status import LabelStatus, status
from linnet.labels.store import database
from linnet.monitoring.history import (
    DRIFT_FILE,
    PERFORMANCE_FILE,
    history_folder,
    performance_reports,
)
from linnet.monitoring.log_reader import read_served
from linnet.records import (
    BakeReport,
    DriftReport,
    ModelVersion,
    PerformanceReport,
    Record,
    RetrainingDecision,
    RetrainingEntry,
    SkewReport,
    now,
)
from linnet.records.refused import RefusedRequest, quarantine_folder, refused_requests
from linnet.records.restarts import restarts
from linnet.retraining.ledger import RetrainingLedger
from linnet.retraining.policy import MONTH
from linnet.run.model_config import model_config
from linnet.storage.files import files_in_each, is_there
from linnet.storage.paths import prediction_log_dir
from linnet.vision.decode import decode
from linnet.vision.thumbnail import thumbnail

logger = logging.getLogger(__name__)
R = TypeVar("R", bound=Record)
WINDOWS, ENTRIES, EXAMPLES, REFUSED = 12, 20, 12, 200


@dataclass(frozen=True)
class Retraining:
    """What the policy did."""

    newest: RetrainingDecision | None = None
    entries: tuple[RetrainingEntry, ...] = ()
    """The last ones that are more than a plain no, the newest first."""
    count: int = 0
    """How many there are of them."""
    failures: int = 0
    spent: float = 0.0
    """In the last 30 days."""
    problem: str = ""
    """Why the ledger cannot be read."""


@dataclass(frozen=True)
class Watched:
    """All that is watched of one model."""

    model: str
    config: Config
    champion: ModelVersion | None
    log: LogSummary
    objectives: tuple[SloStatus, ...]
    windows: tuple[tuple[Path, DriftReport], ...]
    """Folder and report of the champion's monitored windows, the newest first."""
    performance: PerformanceReport | None
    """Of the newest window."""
    retraining: Retraining
    alerts: tuple[Alert, ...] = field(default=())
    refused: tuple[RefusedRequest, ...] = ()
    """Requests that the server refused or failed on, of those that it keeps; the newest first."""
    bake: BakeReport | None = None
    """How the newest champion does since its canary, where one was on trial here."""
    labelled: PerformanceReport | None = None
    """Of the newest window that labels came for: they come late, so it is seldom the newest one."""
    unread: tuple[str, ...] = ()
    """Records of its production and files of the log that cannot be read, and so are missing, with the reason."""
    broken_configs: tuple[str, ...] = ()
    """What is wrong with configs here, which may be this model's: then it is judged by the defaults."""

    @property
    def drift(self) -> DriftReport | None:
        """Of the newest window."""
        return self.windows[0][1] if self.windows else None


def watched(context: Context, model: str) -> Watched:
    """Everything that is known of a model's production; kept for some seconds."""
    return context.sources.kept.get(("watched", model), 5.0, lambda: _watched(context, model))


def _watched(context: Context, model: str) -> Watched:
    found_config = context.sources.kept.get(("model config", model), 30.0, lambda: model_config(model))
    config = found_config.config
    broken = context.sources.kept.get("broken configs", 30.0, lambda: tuple(broken_config_files()))
    champion = context.sources.champion(model) if model else None
    log, at = context.log.summary(model), now()
    kept = objectives(log, config.service_levels, at.timestamp())
    unread = [*log.unread, *(why for why in found_config.doubts if why not in broken)]
    windows = _windows(champion, unread) if champion else ()
    newest = windows[0][0] if windows else None
    performance = _read(PerformanceReport, newest, PERFORMANCE_FILE, unread)
    labelled = context.sources.kept.get(
        ("labelled", model), 30.0, lambda: _labelled(champion) if champion else None
    )
    policy = _retraining(model, config)
    bake = _read(BakeReport, bake_file(model).parent, bake_file(model).name, unread) if model else None
    known = ProductionState(
        at=at,
        champion=champion,
        served=context.sources.served(model),
        objectives=kept,
        drift=windows[0][1] if windows else None,
        labelled=labelled,
        unwatched="" if windows or not model else unwatched(model),
        skew=_read(SkewReport, newest, "skew.json", unread),
        failures=None if policy.problem else policy.failures,
        canary=context.sources.canary(model),
        restarts=tuple(restarts()),
        bake=bake,
    )
    found = alerts(known, config.service_levels, config.retraining)
    refused = tuple(islice((one for one, _ in _refused() if one.model in ("", model)), REFUSED))
    return Watched(
        model,
        config,
        champion,
        log,
        kept,
        windows,
        performance,
        policy,
        tuple(found),
        refused,
        bake,
        labelled,
        tuple(unread),
        broken,
    )


def _refused() -> Iterator[tuple[RefusedRequest, Path]]:
    return refused_requests(quarantine_folder(prediction_log_dir()))


def _windows(champion: ModelVersion, unread: list[str]) -> tuple[tuple[Path, DriftReport], ...]:
    files = files_in_each(history_folder(champion.name, champion.version), DRIFT_FILE)[-WINDOWS:]
    read = ((file.parent, _read(DriftReport, file.parent, DRIFT_FILE, unread)) for file in reversed(files))
    return tuple((folder, report) for folder, report in read if report is not None)


def _labelled(champion: ModelVersion) -> PerformanceReport | None:
    reports = performance_reports(champion.name, champion.version)
    return next((one for one in reports if one.accuracy is not None), None)


def _read(kind: type[R], folder: Path | None, name: str, unread: list[str]) -> R | None:
    """A record of a model's production; None: there is none, or it cannot be read, which `unread` is told."""
    if folder is None or not is_there(folder / name):
        return None
    try:
        return kind.load(folder / name)
    except LinnetError as error:
        _tell(f"a record of a window is left out: {error}")
        unread.append(str(error))
        return None


@lru_cache(1000)
def _tell(problem: str) -> None:
    """Once a process: the page is made anew every few seconds."""
    logger.warning(problem)


def _retraining(model: str, config: Config) -> Retraining:
    if not model:
        return Retraining()
    ledger = RetrainingLedger(model)
    try:
        ledger.refresh()
        entries = ledger.entries()
    except LinnetError as error:
        return Retraining(problem=str(error))
    shown = [entry for entry in entries if entry.decision is None or entry.decision.request]
    history = ledger.history()
    return Retraining(
        newest=ledger.newest,
        entries=tuple(shown[-ENTRIES:][::-1]),
        count=len(shown),
        failures=history.failures,
        spent=history.spent(now() - MONTH, config.retraining),
    )


@dataclass(frozen=True)
class Example:
    """A kept image of a window that is unlike what the champion was trained on."""

    sample_id: str
    predicted: str
    picture: str


def examples(found: Watched) -> list[Example]:
    """The images of the newest window that are least like the reference, the strangest first."""
    report = found.drift
    if report is None or not report.samples:
        return []
    window = report.window
    rows = read_served(
        prediction_log_dir(), window.model, window.version, window.start, window.end,
        window.end + timedelta(days=1),
    ).rows.select(["sample_id", "predicted", "image"])  # fmt: skip
    kept = {row["sample_id"]: row for row in rows.to_pylist() if row["image"] is not None}
    return [
        Example(name, str(kept[name]["predicted"]), thumbnail(decode(kept[name]["image"]).pixels))
        for name in dict.fromkeys(report.samples)
        if name in kept
    ][:EXAMPLES]


def labelling(context: Context, name: str) -> LabelStatus | None:
    """How labelling of a dataset stands; None where nobody was asked anything yet."""
    if not name or not database(name).exists():
        return None
    read: Callable[[], LabelStatus] = lambda: status(name)  # noqa: E731
    return context.sources.kept.get(("labels", name), 5.0, read)
