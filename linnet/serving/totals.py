"""The metrics of all processes as one: counters, histograms and gauges of the workers added up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Values = list[list[Any]]
_KEPT = ("counter", "histogram")
_PROCESS = "process_"
_DROPPED = "linnet_log_dropped_total"
LOST = "Requests that the log lost; without a model: what a killed worker had not written."


class Totals:
    """Adds up what workers say; what a worker that ended had counted stays in the sums."""

    def __init__(self) -> None:
        self._latest: dict[int, Values] = {}
        self._ended: list[Values] = []
        self.restarts = 0
        self.unlogged = 0
        """Requests that killed workers had answered and not logged; nobody knows of which model."""

    def update(self, worker: int, values: Values) -> None:
        """Takes a worker's `Metrics.values`."""
        self._latest[worker] = values

    def ended(self, worker: int) -> None:
        """Keeps the last counts of a worker whose place another process takes."""
        kept = [family for family in self._latest.pop(worker, []) if _is_kept(family) and not _own(family)]
        self._ended = [_added([*self._ended, kept])]
        self.restarts += 1

    def forget(self, model: str, version: str) -> None:
        """Drops what workers that ended had counted of a version that was unloaded long ago."""
        for values in self._ended:
            for family in values:
                family[3] = [
                    sample
                    for sample in family[3]
                    if (sample[1].get("model"), sample[1].get("version")) != (model, version)
                ]

    def text(self, roles: dict[tuple[str, str], str], extra: list[Metric]) -> bytes:
        """Prometheus' text format. `roles`: (model, version) -> champion, candidate, idle or asleep."""
        registry = CollectorRegistry()
        registry.register(_Fixed([*self._metrics(), self._loaded(roles), self._workers(), _clock(), *extra]))
        return generate_latest(registry)

    def _metrics(self) -> list[Metric]:
        shared = [[family for family in values if not _own(family)] for values in self._latest.values()]
        families = _added([*self._ended, *shared, self._never_logged()])
        for worker, values in sorted(self._latest.items()):
            for name, text, kind, samples in filter(_own, values):
                labelled = [[one, {**labels, "worker": str(worker)}, value] for one, labels, value in samples]
                families.append([name, text, kind, labelled])
        metrics: dict[str, Metric] = {}
        for name, text, kind, samples in families:
            metric = metrics.setdefault(name, Metric(name, text, kind))
            for sample, labels, value in samples:
                metric.add_sample(sample, labels, value)
        return list(metrics.values())

    def _never_logged(self) -> Values:
        return [[_DROPPED, LOST, "gauge", [[_DROPPED, {}, self.unlogged]]]]

    def _loaded(self, roles: dict[tuple[str, str], str]) -> Metric:
        family = GaugeMetricFamily(
            "linnet_model_loaded",
            "1 for each loaded version; role: champion, candidate, idle, or asleep until it is asked.",
            labels=("model", "version", "role"),
        )
        for (model, version), role in roles.items():
            family.add_metric((model, version, role), 1)
        return family

    def _workers(self) -> Metric:
        family = GaugeMetricFamily(
            "linnet_workers", "Worker processes, and how often one was replaced.", labels=("state",)
        )
        family.add_metric(("running",), len(self._latest))
        family.add_metric(("replaced",), self.restarts)
        return family


def _clock() -> Metric:
    family = GaugeMetricFamily("linnet_server_time_seconds", "The server's clock, since the epoch.")
    family.add_metric((), time.time())
    return family


class _Fixed:
    """A collector of metrics that were made before."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        return iter(self._metrics)


def _is_kept(family: list[Any]) -> bool:
    """Whether what a worker counted stays in the sums when it has ended."""
    return family[2] in _KEPT or family[0] == _DROPPED


def _own(family: list[Any]) -> bool:
    """Whether a metric is a process's own and means nothing as a sum."""
    return str(family[0]).startswith(_PROCESS)


def _added(of_workers: list[Values]) -> Values:
    """Families with the samples of equal name and labels added up."""
    families: dict[str, list[Any]] = {}
    sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for values in of_workers:
        for name, text, kind, samples in values:
            families.setdefault(name, [name, text, kind])
            into = sums.setdefault(name, {})
            for sample, labels, value in samples:
                key = (sample, tuple(labels.items()))
                into[key] = into.get(key, 0.0) + value
    return [
        [*family, [[sample, dict(labels), value] for (sample, labels), value in sums[name].items()]]
        for name, family in families.items()
    ]
