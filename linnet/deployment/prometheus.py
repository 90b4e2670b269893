"""Requests by revision, read from Prometheus: the increase of latency histograms as records.

A histogram knows how many requests ended in which bucket with which status; each becomes a record whose
latency is spread evenly over its bucket, as `histogram_quantile` does. So latencies are as fine as the
buckets. What a request was answered is not known here.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import httpx

from linnet.errors import RolloutError
from linnet.records import ServedRecord

ANSWER_SECONDS = 5.0
_UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a metrics source names a histogram of response times by revision and status."""

    metric: str
    namespace: str
    revision: str
    status: str
    """Label whose value begins with the first digit of the HTTP status."""
    pod: str
    milliseconds: float
    """Of one unit of `le`."""


DIALECTS = {
    # https://knative.dev/v1.18-docs/serving/services/service-metrics/
    "knative": Dialect(
        "revision_app_request_latencies_bucket", "namespace_name", "revision_name",
        "response_code_class", "pod_name", 1.0,
    ),
    # https://knative.dev/v1.20-docs/serving/observability/metrics/serving-metrics (OpenTelemetry)
    "knative-otel": Dialect(
        "kn_serving_invocation_duration_seconds_bucket", "k8s_namespace_name", "kn_revision_name",
        "http_response_status_code", "k8s_pod_name", 1000.0,
    ),
}  # fmt: skip

Series = tuple[str, str, str]  # revision, status, pod
Buckets = dict[float, float]  # upper bound in ms -> requests up to there


class PrometheusRecords:
    """Answers of revisions between two moments; keeps no state, so a restart loses nothing."""

    def __init__(self, url: str, namespace: str, dialect: Dialect) -> None:
        self._client = httpx.Client(base_url=url.rstrip("/"), timeout=ANSWER_SECONDS, trust_env=False)
        self._namespace, self._dialect = namespace, dialect

    def close(self) -> None:
        """Closes connections."""
        self._client.close()

    def between(self, after_ms: int, until_ms: int, versions: Mapping[str, str]) -> list[ServedRecord]:
        """Records of the requests that ended in the period; `versions` maps revisions to versions.

        Raises:
            RolloutError: Prometheus does not answer, or knows nothing of any of the revisions.
        """
        now = self._buckets(until_ms, versions)
        if not now:
            raise RolloutError(
                f"Prometheus has no {self._dialect.metric} of {', '.join(versions)} with "
                f"{self._dialect.namespace}={self._namespace!r}: is it scraping them?"
            )
        before = self._buckets(after_ms, versions)
        records = []
        for series, buckets in now.items():
            revision, status, _ = series
            if status[:1] not in ("2", "5"):
                continue  # the client's fault says nothing about a version
            for latency in _latencies(_increase(before.get(series, {}), buckets)):
                records.append(_record(versions[revision], latency, until_ms / 1e3, ok=status[0] == "2"))
        random.Random(until_ms).shuffle(records)  # noqa: S311  their order is not known
        return records

    def _buckets(self, at_ms: int, versions: Mapping[str, str]) -> dict[Series, Buckets]:
        names = self._dialect
        wanted = "|".join(versions)
        where = f'{names.namespace}="{self._namespace}",{names.revision}=~"{wanted}"'
        query = f"{names.metric}{{{where}}}"
        found: dict[Series, Buckets] = defaultdict(dict)
        for item in self._ask(query, at_ms):
            labels = item["metric"]
            revision, status, pod = (
                str(labels.get(key, "")) for key in (names.revision, names.status, names.pod)
            )
            bound, value = float(labels["le"]) * names.milliseconds, float(item["value"][1])
            if not isfinite(value):
                raise RolloutError(f"Prometheus gives {value} for {names.metric}: its source is broken")
            buckets = found[revision, status, pod]
            buckets[bound] = buckets.get(bound, 0.0) + value
        return found

    def _ask(self, query: str, at_ms: int) -> list[dict[str, Any]]:
        try:
            answer = self._client.get("/api/v1/query", params={"query": query, "time": f"{at_ms / 1e3:.3f}"})
            content = answer.json()
            if answer.status_code != 200 or content["status"] != "success":
                raise RolloutError(f"Prometheus refuses a query: {content.get('error', answer.text)!r:.200}")
            result: list[dict[str, Any]] = content["data"]["result"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise RolloutError(
                f"Prometheus at {self._client.base_url} does not answer: {error or type(error)}"
            ) from error
        return result


def present_ms() -> int:
    """The present moment in milliseconds since the epoch."""
    return int(time.time() * 1e3)


def _increase(before: Buckets, now: Buckets) -> Buckets:
    """Requests that ended between two readings, by bucket; a counter that fell was started anew."""
    total = max(now, default=inf)
    reset = now.get(total, 0.0) < before.get(total, 0.0)
    return {bound: value - (0.0 if reset else before.get(bound, 0.0)) for bound, value in now.items()}


def _latencies(cumulative: Buckets) -> list[float]:
    """One latency in ms for each request, spread evenly over its bucket."""
    found: list[float] = []
    lower, below = 0.0, 0.0
    for bound in sorted(cumulative):
        count = round(cumulative[bound] - below)
        upper = bound if bound < inf else max(lower * 2, 1.0)
        found += [lower + (upper - lower) * (place + 0.5) / count for place in range(count)]
        lower, below = upper, cumulative[bound]
    return found


def _record(version: str, latency: float, at: float, *, ok: bool) -> ServedRecord:
    return ServedRecord(
        at=at,
        version=version,
        ok=ok,
        latency_ms=latency,
        predicted=_UNKNOWN if ok else None,
        confidence=None,
        agrees=None,
    )
