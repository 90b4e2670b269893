"""Prometheus metrics of one model in one worker process: one registry an instance.

The supervisor adds the workers' values up; see `totals`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

SETTLE_SECONDS = 600.0
"""After a version was loaded or unloaded: caches are full, and what was compiled is."""
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SECONDS = (
    0.0005,
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.02,
    0.03,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
)


class Metrics:
    """What the server counts, labelled by model and version where a version answered."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.registry = CollectorRegistry()
        labels = ("model", "version")
        self._requests = Counter(
            "linnet_requests",
            "Requests that a version was chosen for; outcome: ok, rejected (the request was wrong), "
            "failed (the model was).",
            (*labels, "outcome"),
            registry=self.registry,
        )
        self._latency = Histogram(
            "linnet_request_seconds",
            "From the whole body to the answer, queue included.",
            labels,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._service = Histogram(
            "linnet_prediction_seconds",
            "Decoding, features and model, without the queue; what a judge compares.",
            labels,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._rejections = Counter(
            "linnet_validation_failures",
            "Requests refused, by HTTP status and reason.",
            ("model", "status", "reason"),
            registry=self.registry,
        )
        self._mirrors = Counter(
            "linnet_mirrored", "Mirrored requests by outcome: agrees, differs, failed, skipped.",
            ("model", "version", "outcome"), registry=self.registry,
        )  # fmt: skip
        self._segments = Counter(
            "linnet_segment_requests",
            "Requests by what they say of their users (serving.segments): a declared value, other, or none.",
            (*labels, "segment", "value", "outcome"),
            registry=self.registry,
        )
        self._rows = Histogram(
            "linnet_batch_images", "Images in one run of the model.", labels, buckets=_ROWS,
            registry=self.registry,
        )  # fmt: skip
        self._look_up()

    def _look_up(self) -> None:
        """Finding a child by its labels costs more than counting: each is looked up once."""
        self._requests_of = cache(self._requests.labels)
        self._latency_of, self._service_of = cache(self._latency.labels), cache(self._service.labels)
        self._rows_of = cache(self._rows.labels)
        self._segments_of = cache(self._segments.labels)

    def watch(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Adds a gauge of this model that is read when it is scraped."""
        Gauge(name, help_text, ("model",), registry=self.registry).labels(self.model).set_function(read)

    def answered(self, version: str, outcome: str, total: float, service: float) -> None:
        """Counts a request that `version` handled; times in seconds."""
        self._requests_of(self.model, version, outcome).inc()
        self._latency_of(self.model, version).observe(total)
        if outcome == "ok":
            self._service_of(self.model, version).observe(service)

    def segmented(self, version: str, outcome: str, segments: Mapping[str, str]) -> None:
        """Counts a request once for each declared segment."""
        for name, value in segments.items():
            self._segments_of(self.model, version, name, value, outcome).inc()

    def ran(self, version: str, rows: int) -> None:
        """Counts a run of the model over `rows` images."""
        self._rows_of(self.model, version).observe(rows)

    def rejected(self, status: int, reason: str) -> None:
        """Counts a request that was refused."""
        self._rejections.labels(self.model, str(status), reason).inc()

    def mirrored(self, version: str, outcome: str) -> None:
        """Counts a copy that `version` got."""
        self._mirrors.labels(self.model, version, outcome).inc()

    def known(self, version: str) -> None:
        """Shows a version's counters at 0, so that a rate sees the first failure."""
        for outcome in ("ok", "rejected", "failed"):
            self._requests_of(self.model, version, outcome)

    def forget(self, version: str) -> None:
        """Shows nothing more of a version that was unloaded long ago."""
        for metric in (
            self._requests,
            self._latency,
            self._service,
            self._mirrors,
            self._rows,
            self._segments,
        ):
            metric.remove_by_labels({"model": self.model, "version": version})
        self._look_up()

    def values(self) -> list[list[Any]]:
        """Every metric as JSON values: [name, help, type, [[sample, labels, value], ...]]."""
        return _values(self.registry)


def process_values() -> list[list[Any]]:
    """The process's own metrics (memory, processor time, descriptors), as `Metrics.values` has them."""
    return _values(_process())


class SettledMemory:
    """Memory that a process holds once it has settled: some minutes after it loaded what it serves."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._since = clock, clock()
        self._settled: float | None = None

    def disturbed(self) -> None:
        """What is loaded changes: it has to settle anew."""
        self._since, self._settled = self._clock(), None

    def values(self, resident: float) -> list[list[Any]]:
        """As `Metrics.values`: bytes; what is held now, until nothing was disturbed for SETTLE_SECONDS."""
        if self._settled is None and self._clock() - self._since >= SETTLE_SECONDS:
            self._settled = resident
        name = "process_settled_memory_bytes"
        held = resident if self._settled is None else self._settled
        return [[name, "Resident memory once the process had settled.", "gauge", [[name, {}, held]]]]


def resident_memory(values: list[list[Any]]) -> float:
    """Of `process_values`: bytes; 0 where the system does not say."""
    found = [samples for name, _, _, samples in values if name == "process_resident_memory_bytes"]
    return float(found[0][0][2]) if found and found[0] else 0.0


@cache
def _process() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def _values(registry: CollectorRegistry) -> list[list[Any]]:
    return [
        [
            family.name, family.documentation, family.type,
            [[one.name, one.labels, one.value] for one in family.samples if not _is_time(one.name)],
        ]
        for family in registry.collect()
    ]  # fmt: skip


def _is_time(sample: str) -> bool:
    """Whether it says when a metric was made: that cannot be added up."""
    return sample.endswith("_created")
