"""Service levels as PromQL: for each objective the rate of bad requests and of all requests.

Bad requests are counted by version, all requests for the model: so a version is held against the
service's budget, and one that gets a hundredth of the traffic can burn no more than that. Requests for
which no version was chosen (overload, nothing routed) burn it under the version `none`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from linnet.config import ServiceLevelsConfig
from linnet.errors import ConfigError
from linnet.monitoring import metric_names as names

INVALID = "400|413|415|422"
"""Statuses of requests that did not pass input validation."""
UNAVAILABLE = "429|5.."
"""Statuses of requests that were fine, and were not answered."""


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """One objective over requests: `bad` and `total` give PromQL for a window such as `5m`."""

    name: str
    title: str
    objective: float
    """Share of requests that must be good."""
    pages: bool
    """Whether burning its budget wakes a person; else it becomes a ticket."""
    bad: Callable[[str], str]
    """By model and version."""
    total: Callable[[str], str]
    """By model."""

    @property
    def budget(self) -> float:
        """Share of requests that may be bad."""
        return round(1 - self.objective, 9)


def service_levels(model: str, config: ServiceLevelsConfig) -> tuple[ServiceLevel, ...]:
    """The objectives over requests of one model.

    Raises:
        ConfigError: `latency_ms` is not a bucket of the server's histogram.
    """
    return (
        ServiceLevel(
            "availability", "Requests answered", config.availability, True,
            lambda window: _unanswered(model, window), lambda window: _all(model, UNAVAILABLE, window),
        ),
        ServiceLevel(
            "latency", f"Requests answered within {config.latency_ms:g} ms", config.latency, True,
            lambda window: _slow(model, _bucket(config.latency_ms), window),
            lambda window: _rate(f"{names.REQUEST_SECONDS}_count", model, window, by="model"),
        ),
        ServiceLevel(
            "valid_input", "Requests that pass input validation", config.valid_input, False,
            lambda window: _named(_refused(model, INVALID, window), "all"),
            lambda window: _all(model, INVALID, window),
        ),
    )  # fmt: skip


def _bucket(milliseconds: float) -> str:
    """The histogram's label `le`, as the server writes it."""
    for bound in names.BUCKETS:
        if abs(bound * 1000 - milliseconds) < 1e-9:
            return repr(bound)
    known = ", ".join(f"{bound * 1000:g}" for bound in names.BUCKETS)
    raise ConfigError(
        "service_levels.latency_ms", f"{milliseconds:g} is not a bucket of the histogram", f"one of {known}"
    )


def _rate(metric: str, model: str, window: str, more: str = "", by: str = "model, version") -> str:
    return f'sum by ({by}) (rate({metric}{{model="{model}"{more}}}[{window}]))'


def _refused(model: str, statuses: str, window: str) -> str:
    return _rate(names.VALIDATION_FAILURES, model, window, f',status=~"{statuses}"', "model")


def _named(expression: str, version: str) -> str:
    return f'label_replace({expression}, "version", "{version}", "", "")'


def _unanswered(model: str, window: str) -> str:
    failed = _rate(names.REQUESTS, model, window, ',outcome="failed"')
    return f"{failed} or {_named(_refused(model, UNAVAILABLE, window), 'none')}"


def _slow(model: str, bucket: str, window: str) -> str:
    fast = _rate(f"{names.REQUEST_SECONDS}_bucket", model, window, f',le="{bucket}"')
    return f"{_rate(f'{names.REQUEST_SECONDS}_count', model, window)} - {fast}"


def _all(model: str, refused: str, window: str) -> str:
    """Requests that a version computed, and those refused with one of the statuses before or by it."""
    computed = _rate(names.REQUESTS, model, window, ',outcome!="rejected"', "model")
    turned_away = _refused(model, refused, window)
    return f"({computed} or 0 * {turned_away}) + ({turned_away} or 0 * {computed})"
