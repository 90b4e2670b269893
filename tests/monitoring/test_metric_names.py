"""Rules and dashboards ask only for metrics that are exposed, with the labels that they use."""

from __future__ import annotations

import re

from linnet.monitoring import metric_names as names
from linnet.serving.metrics import Metrics


def _exposed() -> str:
    metrics = Metrics("tiny")
    for watched in (names.IN_FLIGHT, names.QUEUE, names.LOG_QUEUE, names.LOG_DROPPED):
        metrics.watch(watched, "", lambda: 0.0)  # what the service does; tests/serving asks the real one
    metrics.loaded({"7": "champion"})
    metrics.answered("7", "ok", 0.1, 0.1)
    metrics.rejected(415)
    metrics.mirrored("7", "agrees")
    return metrics.text().decode()


def test_server_metrics_are_exposed_under_these_names() -> None:
    families = set(re.findall(r"^([a-z_]+?)(?:_bucket|_count|_sum)?(?:\{| )", _exposed(), re.MULTILINE))
    assert set(names.SERVER) <= families


def test_service_watches_these_names() -> None:
    import inspect

    from linnet.serving import service

    source = inspect.getsource(service)
    for name in (names.IN_FLIGHT, names.QUEUE, names.LOG_QUEUE, names.LOG_DROPPED):
        assert f'"{name}"' in source


def test_latency_buckets_are_the_servers() -> None:
    pattern = rf'{names.REQUEST_SECONDS}_bucket{{le="([^"+]+)"'
    assert tuple(float(bound) for bound in re.findall(pattern, _exposed())) == names.BUCKETS


def test_labels_are_those_that_rules_group_by() -> None:
    text = _exposed()
    assert f'{names.REQUESTS}{{model="tiny",outcome="failed",version="7"}} 0.0' in text
    assert f'{names.REFUSALS}{{model="tiny",status="415"}} 1.0' in text
    assert f'{names.LOADED}{{model="tiny",role="champion",version="7"}} 1.0' in text
