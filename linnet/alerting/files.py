"""The files that Prometheus, Alertmanager and Grafana read, written from the configs of one model or several.

No alert ever counts another model's requests: each model has a scrape job of its own, which keeps its series
alone of a server that serves several, and routes and receivers of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.alerting.dashboards import dashboards
from linnet.alerting.receivers import receiver_name, receivers
from linnet.alerting.rules import job, rule_groups
from linnet.config import ServiceLevelsConfig
from linnet.storage.files import write_text, writing

_HEAD = (
    "# Written by `linnet alerts generate`: change the [service_levels] of the config and generate again.\n"
)


@dataclass(frozen=True, slots=True)
class AlertedModel:
    """What one model is held to, and where it is served."""

    levels: ServiceLevelsConfig
    targets: tuple[str, ...]
    """host:port of its servers."""


def alert_files(
    models: Mapping[str, AlertedModel],
    monitor: str,
    interval: str = "15s",
    alertmanager_at: str = "127.0.0.1:9093",
) -> dict[str, str]:
    """Path -> contents, for all models by name; the monitor and Alertmanager as host:port.

    `interval`: how often Prometheus scrapes and evaluates; an outage pages within two minutes at 15 s.

    Raises:
        ConfigError: a service level cannot be measured.
    """
    levels = {model: alerted.levels for model, alerted in models.items()}
    files = {
        "prometheus/prometheus.yml": _yaml(prometheus(models, monitor, interval, alertmanager_at)),
        "alertmanager/alertmanager.yml": _yaml(alertmanager(levels)),
    }
    for model, config in levels.items():
        files[f"prometheus/{model}.rules.yml"] = _yaml(rule_groups(model, config))
        for name, board in dashboards(model, config).items():
            files[f"grafana/{name}.json"] = json.dumps(board, indent=1) + "\n"
    return files


def write_alert_files(files: dict[str, str], out: Path) -> None:
    """Writes the files below `out`, each whole or not at all.

    Raises:
        StorageError: the disk is full or not writable.
    """
    with writing(out):
        for name, text in files.items():
            write_text(out / name, text)


def prometheus(
    models: Mapping[str, AlertedModel], monitor: str, interval: str, alertmanager_at: str
) -> dict[str, Any]:
    """Prometheus' own configuration: what is scraped, and where alerts go."""
    return {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval if interval.endswith("s") and int(interval[:-1]) < 10 else "10s",
            "evaluation_interval": interval,
        },
        "rule_files": ["*.rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager_at]}]}]},
        "scrape_configs": [
            scraped
            for model, alerted in models.items()
            for scraped in (
                {
                    "job_name": job(model),
                    "static_configs": [{"targets": list(alerted.targets)}],
                    "metric_relabel_configs": [_only(model)],
                },
                {
                    "job_name": f"{job(model)}-monitor",
                    "metrics_path": "/retraining/metrics",
                    "static_configs": [{"targets": [monitor]}],
                    "metric_relabel_configs": [_only(model)],
                },
            )
        ],
    }


def _only(model: str) -> dict[str, Any]:
    """Keeps a model's series, and those that name none (of the process): each is then in one job alone."""
    return {"source_labels": ["model"], "regex": f"{re.escape(model)}|", "action": "keep"}


def alertmanager(levels: Mapping[str, ServiceLevelsConfig]) -> dict[str, Any]:
    """Routes of each model, grouping by service, model and version, and what silences what.

    A rollout inhibits, rather than rules being written with `unless`: the alert stays visible to whoever
    looks, and nothing about it is lost when the rollout ends. Never silenced: a server that is down or
    serves nothing, and the fast burn of any version but the candidate, which the canary's judge watches.
    """
    same = ["service", "model", "version"]
    return {
        "route": {
            "receiver": "nobody",
            "group_by": same,
            "group_wait": "10s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": [
                {"receiver": "nobody", "matchers": ['severity="none"']},
                *(route for model in levels for route in _routes(model)),
            ],
        },
        "inhibit_rules": [
            _inhibit(['alertname="LinnetRollout"'], ['rollout="silenced"'], ["service", "model"]),
            _inhibit(['alertname="LinnetRollout"'], ['rollout="own"'], same),
            _inhibit(['burn="14.4"'], ['burn=~"6|3|1"'], [*same, "slo"]),
            _inhibit(['burn=~"6|3"', 'severity="page"'], ['burn="1"'], [*same, "slo"]),
            _inhibit(['burn="6"', 'severity="page"'], ['burn="3"'], [*same, "slo"]),
            _inhibit(['alertname=~"LinnetDown|LinnetAbsent"'], ['alertname=~"LinnetReplicaDown"'], ["model"]),
        ],
        "receivers": [
            {"name": "nobody"},
            *(receiver for model, config in levels.items() for receiver in receivers(model, config)),
        ],
    }


def _routes(model: str) -> list[dict[str, Any]]:
    mine = f"model={json.dumps(model, ensure_ascii=False)}"
    return [
        {
            "receiver": receiver_name("retraining", model),
            "matchers": [mine, 'retraining="consider"'],
            "group_by": ["service", "model"],
            "group_wait": "30s",
            "continue": True,
        },
        {
            "receiver": receiver_name("page", model),
            "matchers": [mine, 'severity="page"'],
            "group_interval": "1m",  # what joins a group that was told already waits this long
            "repeat_interval": "1h",
        },
        {"receiver": receiver_name("ticket", model), "matchers": [mine]},
    ]


def _inhibit(source: list[str], target: list[str], equal: list[str]) -> dict[str, Any]:
    return {"source_matchers": source, "target_matchers": target, "equal": equal}


def _yaml(values: dict[str, Any]) -> str:
    import yaml

    return _HEAD + yaml.safe_dump(values, sort_keys=False, width=110, allow_unicode=True)
