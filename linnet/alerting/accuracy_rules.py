"""Alerts on live accuracy: below what is wanted of a cohort, and below what that cohort had."""

from __future__ import annotations

import json
from typing import Any

from linnet.alerting.alert import alert_rule
from linnet.config import ServiceLevelsConfig
from linnet.monitoring import metric_names as names


def accuracy_alerts(model: str, config: ServiceLevelsConfig) -> list[dict[str, Any]]:
    """Accuracy is proven to lie below what is wanted, or far below it."""

    def below(accuracy: float) -> str:
        return " or ".join(
            f'{names.ACCURACY_HIGH}{{model="{model}",cohort={_text(column)},value={_text(value)}}} '
            f"< {accuracy:g}"
            for column, value in _cohorts(config)
        )

    where = "accuracy on {{ $labels.cohort }}={{ $labels.value }} is proven to lie"
    return [
        alert_rule(
            "LinnetAccuracy", below(config.cohort_accuracy), "ticket", model, config, "accuracy",
            f"{where} below {config.cohort_accuracy:g} (at most {{{{ $value | printf `%.3f` }}}}), "
            "version {{ $labels.version }}",
            retraining="consider", rollout="silenced",
        ),
        alert_rule(
            "LinnetAccuracyFar", below(config.cohort_accuracy - config.page_accuracy_gap), "page", model,
            config, "accuracy",
            f"{where} more than {config.page_accuracy_gap:g} below {config.cohort_accuracy:g} "
            "(at most {{ $value | printf `%.3f` }}), version {{ $labels.version }}",
        ),
        *_fall_alerts(model, config),
    ]  # fmt: skip


def _fall_alerts(model: str, config: ServiceLevelsConfig) -> list[dict[str, Any]]:
    """A cohort's accuracy is proven to have fallen, however high it still is."""
    limit, fall = config.max_accuracy_fall, f'{names.ACCURACY_FALL}{{model="{model}"}}'
    words = (
        "accuracy on {{ $labels.cohort }}={{ $labels.value }} is proven to have fallen by at least "
        "{{ $value | printf `%.3f` }}, version {{ $labels.version }}"
    )
    return [
        alert_rule(
            "LinnetAccuracyFell", f"{fall} > {limit:g}", "ticket", model, config, "accuracy", words,
            retraining="consider", rollout="silenced",
        ),
        alert_rule(
            "LinnetAccuracyFellFar", f"{fall} > {limit + config.page_accuracy_gap:g}", "page", model, config,
            "accuracy", words,
        ),
        alert_rule(
            "LinnetAccuracyEstimatedFell", f'{names.ESTIMATED_FALL}{{model="{model}"}} > {limit:g}', "ticket",
            model, config, "accuracy",
            "no labels came, and by its calibrated confidence version {{ $labels.version }} lost at least "
            "{{ $value | printf `%.3f` }} of its accuracy",
            retraining="consider", rollout="silenced",
        ),
    ]  # fmt: skip


def _cohorts(config: ServiceLevelsConfig) -> list[tuple[str, str]]:
    return [("all", "all"), *((c.partition("=")[0], c.partition("=")[2]) for c in config.critical_cohorts)]


def _text(value: str) -> str:
    """A PromQL string: its escapes are a superset of JSON's."""
    return json.dumps(value, ensure_ascii=False)
