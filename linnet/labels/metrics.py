"""Labelling as Prometheus metrics: latency (M12), backlog and agreement, read from the labels' file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from linnet.labels.status import LabelStatus, status
from linnet.records import now

if TYPE_CHECKING:
    from prometheus_client.core import Metric

HOUR = 3600.0
BUCKETS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 24, 48, 72, 168, 336)
"""Hours: from minutes to two weeks."""


class LabelCollector:
    """A prometheus_client collector that looks at the labels of one dataset at every scrape.

    Counting where the answers lie, and not where they pass, a restart forgets nothing and a doubled
    webhook counts nothing twice.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        return metrics(self.name, status(self.name))


def metrics(name: str, now_is: LabelStatus) -> Iterator[Metric]:
    """The status as metrics, all with the label `dataset`."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    hours = [seconds / HOUR for seconds in now_is.latencies]
    latency = HistogramMetricFamily(
        "linnet_labelling_latency_hours", "Hours from the export of a task to its answer.", labels=["dataset"]
    )
    counts = [(str(float(limit)), float(sum(h <= limit for h in hours))) for limit in BUCKETS]
    latency.add_metric([name], [*counts, ("+Inf", float(len(hours)))], sum_value=sum(hours))
    yield latency
    backlog = GaugeMetricFamily(
        "linnet_label_tasks", "Labelling tasks by state.", labels=["dataset", "state"]
    )
    for state, value in (
        ("queued", now_is.queued), ("open", now_is.open), ("done", now_is.done), ("lost", now_is.lost)
    ):  # fmt: skip
        backlog.add_metric([name, state], value)
    yield backlog
    oldest = (now() - now_is.oldest_open).total_seconds() / HOUR if now_is.oldest_open else 0.0
    yield _gauge("linnet_label_oldest_open_hours", "Age of the oldest open task.", name, max(oldest, 0.0))
    answers = CounterMetricFamily(
        "linnet_label_answers", "Answers that count now, by kind.", labels=["dataset", "status"]
    )
    for kind in ("label", "skipped", "cannot_tell"):
        answers.add_metric([name, kind], now_is.answers.get(kind, 0))
    answers.add_metric([name, "quarantined"], now_is.quarantined)
    yield answers
    shares = {
        "linnet_label_agreement_ratio": (
            "Mean share of other annotators who say the same.",
            now_is.agreement,
        ),
        "linnet_label_fleiss_kappa": ("Fleiss' kappa over samples with several answers.", now_is.fleiss),
        "linnet_label_cohen_kappa": ("Mean Cohen's kappa over pairs of annotators.", now_is.cohen),
    }
    for metric, (help_text, share) in shares.items():
        if share is not None:
            yield _gauge(metric, help_text, name, share)
    gold = GaugeMetricFamily(
        "linnet_label_gold_accuracy_ratio", "Share of gold tasks right.", labels=["dataset", "annotator"]
    )
    for person in now_is.annotators:
        if person.gold_accuracy is not None:
            gold.add_metric([name, person.annotator], person.gold_accuracy)
    yield gold


def text(name: str) -> bytes:
    """The metrics in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(LabelCollector(name))
    return bytes(generate_latest(registry))


def _gauge(metric: str, help_text: str, name: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    found = GaugeMetricFamily(metric, help_text, labels=["dataset"])
    found.add_metric([name], value)
    return found
