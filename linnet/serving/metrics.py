"""Prometheus metrics of the server: one registry an instance, nothing global."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
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
        ProcessCollector(registry=self.registry)
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
            "Requests refused, by HTTP status.",
            ("model", "status"),
            registry=self.registry,
        )
        self._mirrors = Counter(
            "linnet_mirrored", "Mirrored requests by outcome: agrees, differs, failed, skipped.",
            ("model", "version", "outcome"), registry=self.registry,
        )  # fmt: skip
        self._loaded = Gauge(
            "linnet_model_loaded",
            "1 for each loaded version; role: champion, candidate or idle.",
            (*labels, "role"),
            registry=self.registry,
        )

    def watch(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Adds a gauge that is read when it is scraped."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def answered(self, version: str, outcome: str, total: float, service: float) -> None:
        """Counts a request that `version` handled; times in seconds."""
        self._requests.labels(self.model, version, outcome).inc()
        self._latency.labels(self.model, version).observe(total)
        if outcome == "ok":
            self._service.labels(self.model, version).observe(service)

    def rejected(self, status: int) -> None:
        """Counts a request that was refused."""
        self._rejections.labels(self.model, str(status)).inc()

    def mirrored(self, version: str, outcome: str) -> None:
        """Counts a copy that `version` got."""
        self._mirrors.labels(self.model, version, outcome).inc()

    def loaded(self, versions: dict[str, str]) -> None:
        """Says which versions are loaded: version -> role."""
        self._loaded.clear()
        for version, role in versions.items():
            self._loaded.labels(self.model, version, role).set(1)
            for outcome in ("ok", "rejected", "failed"):  # at 0, so that a rate sees the first failure
                self._requests.labels(self.model, version, outcome)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)
