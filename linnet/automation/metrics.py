"""What monitoring, registry and policy know, as Prometheus metrics: read from their records when scraped."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from linnet.config import RegistryConfig, RetrainingConfig
from linnet.deployment.bake_report import bake_report
from linnet.errors import LinnetError
from linnet.monitoring import metric_names as names
from linnet.monitoring.history import DRIFT_FILE, earlier_performance, history_folder, performance_reports
from linnet.monitoring.label_stream import labels_stopped
from linnet.records import DriftReport, Interval, ModelVersion, PerformanceReport, Record, SkewReport, now
from linnet.records.restarts import totals
from linnet.registry.champion import ModelRegistry
from linnet.registry.connect import connect
from linnet.retraining.known_models import KnownModel
from linnet.retraining.ledger import RetrainingLedger
from linnet.retraining.policy import MONTH
from linnet.storage.files import files_in_each, is_there

logger = logging.getLogger(__name__)
T = TypeVar("T", bound=Record)
_MODEL, _VERSION = ["model"], ["model", "version"]


def exposition(known: Sequence[KnownModel]) -> bytes:
    """Prometheus text about every model that has a champion; what cannot be read is left out, and logged.

    `known`: the models of this installation, with their sections. Other models of their registries, and
    of this machine's own, are shown too, with the defaults.
    """
    collected = CollectorRegistry()
    collected.register(_Models(known))
    return generate_latest(collected)


class _Models(Collector):
    def __init__(self, known: Sequence[KnownModel]) -> None:
        self._settings = {one.model: one.retraining for one in known}
        found = {one.registry.tracking_uri: one.registry for one in known}
        self._registries = list({**found, "": found.get("", RegistryConfig())}.values())

    def collect(self) -> Iterator[Metric]:
        yield _restarts()
        seen: set[str] = set()  # a name in two registries would be the same series twice
        for registry in self._registries:
            try:
                connected = connect(registry)
                models = connected.store.models()
            except LinnetError as error:
                logger.warning("a registry is left out: %s", error)
                continue
            promoted = _promotions(connected)
            for champion in _champions(connected, models):
                if champion.name not in seen:
                    seen.add(champion.name)
                    yield from self._champion(champion, promoted.get((champion.name, champion.version)))

    def _champion(self, champion: ModelVersion, promoted: float | None) -> Iterator[Metric]:
        labels = [champion.name, champion.version]
        yield _gauge(names.CHAMPION_CREATED, _VERSION, labels, champion.created_at.timestamp())
        if promoted is not None:
            yield _gauge(names.CHAMPION_PROMOTED, _VERSION, labels, promoted)
        yield _bake(champion)
        try:
            yield from _windows(champion)
        except (LinnetError, OSError) as error:
            logger.warning("windows of %s are left out: %s", champion.name, error)
        yield from _retraining(champion.name, self._settings.get(champion.name, RetrainingConfig()))


def _bake(champion: ModelVersion) -> Metric:
    """Always there, so that an alert on it is known to be asked."""
    try:
        report = bake_report(champion.name)
    except LinnetError as error:
        logger.warning("the trial of %s is left out: %s", champion.name, error)
        report = None
    worse = report is not None and (report.verdict == "rollback" or bool(report.problem))
    version = report.version if report is not None and worse else champion.version
    at = report.at.timestamp() if report is not None and worse else 0.0
    return _gauge(names.BAKE_REGRESSED, _VERSION, [champion.name, version], at)


def _restarts() -> Metric:
    """Every part from the start, at 0, so that a rate sees the first restart."""
    family = CounterMetricFamily(
        names.RESTARTS.removesuffix("_total"), "started again after it ended", labels=["process"]
    )
    for part, count in totals().items():
        family.add_metric([part], count)
    return family


def _champions(registry: ModelRegistry, models: Sequence[str]) -> Iterator[ModelVersion]:
    for model in models:
        try:
            champion = registry.champion(model)
        except LinnetError as error:
            logger.warning("%s is left out: %s", model, error)
            continue
        if champion is not None:
            yield champion


def _promotions(registry: ModelRegistry) -> dict[tuple[str, str], float]:
    """When each model's versions became champion, in seconds; nothing of a ledger that cannot be read."""
    try:
        return {
            (entry.model, entry.version): entry.at.timestamp()
            for entry in registry.ledger.entries()
            if entry.action in ("promote", "rollback")
        }
    except LinnetError as error:
        logger.warning("times of promotion are left out: %s", error)
        return {}


def _gauge(name: str, keys: list[str], labels: list[str], value: float) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, name.replace("_", " "), labels=keys)
    family.add_metric(labels, value)
    return family


def _windows(champion: ModelVersion) -> Iterator[Metric]:
    """What the newest window says, and the newest that labels came for; a damaged record hides no other."""
    kept = files_in_each(history_folder(champion.name, champion.version), DRIFT_FILE)
    folders = [path.parent for path in kept]
    if not folders:
        return
    newest, labels = folders[-1], [champion.name, champion.version]
    if drift := _loaded(DriftReport, newest / DRIFT_FILE, champion):
        yield _gauge(names.WINDOW_END, _MODEL, labels[:1], drift.window.end.timestamp())
        yield _gauge(names.DRIFT_VIOLATION, _VERSION, labels, float(drift.verdict == "drift"))
        effects = GaugeMetricFamily(names.DRIFT_EFFECT, "effect size", labels=[*_VERSION, "feature"])
        for test in drift.tests:
            effects.add_metric([*labels, test.name], test.effect)
        yield effects
    if skew := _loaded(SkewReport, newest / "skew.json", champion):
        found = skew.differences + len(skew.libraries)
        if found or skew.compared:  # an audit that compared nothing is no zero
            yield _gauge(names.SKEW_DIFFERENCES, _VERSION, labels, found)
    known = performance_reports(champion.name, champion.version)
    if (report := next(known, None)) is None:
        return
    before = earlier_performance(champion.name, report.window.start)
    yield _gauge(names.LABELS_STOPPED, _MODEL, labels[:1], float(bool(labels_stopped([report, *before]))))
    yield _gauge(names.ESTIMATED_ACCURACY, _VERSION, labels, report.estimate.value)
    unseen = report.loss if report.accuracy is None else None  # the estimate's, where it holds
    yield _gauge(names.ESTIMATED_FALL, _VERSION, labels, max(unseen.low, 0.0) if unseen else 0.0)
    labelled = next((one for one in chain([report], known) if one.accuracy is not None), None)
    if labelled is not None:
        yield from _performance(labelled, labels)


def _loaded(kind: type[T], path: Path, champion: ModelVersion) -> T | None:
    """A record of a window; None: there is none, or it cannot be read, which is logged."""
    try:
        return kind.load(path) if is_there(path) else None
    except LinnetError as error:
        logger.warning("a window of %s is left out: %s", champion.name, error)
        return None


def _performance(report: PerformanceReport, labels: list[str]) -> Iterator[Metric]:
    found: dict[tuple[str, str], Interval] = {("class", name): i for name, i in report.cohorts.items()}
    found |= {(one.segment, one.value): one.accuracy for one in report.segments}
    if report.accuracy is not None:
        found["all", "all"] = report.accuracy
    keys = [*_VERSION, "cohort", "value"]
    for name, side in ((names.ACCURACY, "value"), (names.ACCURACY_LOW, "low"), (names.ACCURACY_HIGH, "high")):
        family = GaugeMetricFamily(name, "accuracy on labelled feedback", labels=keys)
        for (cohort, value), interval in found.items():
            family.add_metric([*labels, cohort, value], getattr(interval, side))
        yield family
    falls = GaugeMetricFamily(names.ACCURACY_FALL, "below the cohort's own reference", labels=keys)
    for named, fall in report.falls.items():
        cohort, _, value = named.partition("=")
        falls.add_metric([*labels, cohort, value], fall)
    yield falls
    yield _gauge(names.LABELS_CONTRADICT, _VERSION, labels, report.contradicted)
    if not report.confusion:
        return  # classes that do not exclude each other are not confused with one another
    confusion = GaugeMetricFamily(
        names.CONFUSION, "labelled requests", labels=[*_VERSION, "actual", "predicted"]
    )
    shares = GaugeMetricFamily(names.PREDICTED_SHARE, "share", labels=[*_VERSION, "predicted", "of"])
    total = sum(map(sum, report.confusion)) or 1
    for column, predicted in enumerate(report.classes):
        for row, actual in enumerate(report.classes):
            confusion.add_metric([*labels, actual, predicted], report.confusion[row][column])
        share = sum(row[column] for row in report.confusion) / total
        shares.add_metric([*labels, predicted, "window"], share)
    yield confusion
    yield shares


def _retraining(model: str, config: RetrainingConfig) -> Iterator[Metric]:
    ledger = RetrainingLedger(model)
    try:
        ledger.refresh()
    except LinnetError as error:
        logger.warning("retraining of %s is left out: %s", model, error)
        return
    history = ledger.history()
    decisions = CounterMetricFamily(
        names.RETRAINING_DECISIONS.removesuffix("_total"), "decisions", labels=["model", "decision"]
    )
    for word, count in ledger.decisions.items():
        decisions.add_metric([model, word], count)
    yield decisions
    opened = history.failures >= config.breaker_failures
    yield _gauge(names.RETRAINING_BREAKER, _MODEL, [model], float(opened))
    yield _gauge(names.RETRAINING_ACTIVE, _MODEL, [model], history.active)
    yield _gauge(names.RETRAINING_COST, _MODEL, [model], history.spent(now() - MONTH, config))
