"""Every panel of the three boards shows data: its queries over what real server and monitor expose.

The queries are those of the JSON that Grafana is provisioned with, answered by Prometheus' own engine.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from linnet.alerting.dashboards import dashboards
from linnet.alerting.rules import rule_groups
from linnet.automation.metrics import exposition
from linnet.config import ServiceLevelsConfig
from linnet.errors import RequestRejected
from linnet.monitoring import metric_names as names
from tests.monitoring import faults
from tests.monitoring.debian import program, run
from tests.monitoring.faults import Life
from tests.serving.packages import make_package
from tests.serving.running import png, running

LEVELS = ServiceLevelsConfig()
SCRAPES = 70
"""A minute each."""
ONLY_IN_TROUBLE = {"proven worse {{version}}"}
"""Legends of queries that are empty while all is well."""


def served(folder: Path) -> str:
    """/metrics of a server with champion and candidate, after answers, a refusal and a mirrored request."""
    package = make_package(folder / "package")
    words = ("--name", "tiny", "--workers", "1", "--config-json", json.dumps({"segments": {"store": ["de"]}}))
    with running(folder / "server", package, "1", *words) as server:
        server.client.load("8", package)
        server.client.set_routes("1", "8", 0, 1.0)
        server.client.request("POST", "/predict", png(200), {"linnet-segments": "store=de"})
        with pytest.raises(RequestRejected):
            server.client.predict(b"no image")
        until = time.monotonic() + 60
        while f"{names.MIRRORED}{{" not in (text := server.client.metrics()) and time.monotonic() < until:
            time.sleep(0.1)  # mirrored after the answer
        return text


def monitored(folder: Path) -> str:
    """What the engine exposes of the registered champion, and of windows with labels."""
    life = Life(faults.reference(folder / "reference"), name="tiny")
    life.hour()
    life.audit(0)
    return exposition([]).decode()


def series(text: str, job: str) -> dict[str, str]:
    """Samples as a target's series: what counts grows, what measures stays."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {**sample.labels, "job": job, "instance": "a"}
            words = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
            grows = sample.name.endswith(("_total", "_bucket", "_count", "_sum"))
            step = f"+{max(sample.value, 1.0):g}" if grows else "+0"
            found[f"{sample.name}{{{words}}}"] = f"{sample.value:.17g}{step}x{SCRAPES}"
    return found


def queries() -> dict[str, str]:
    """PromQL by board, panel and legend."""
    return {
        f"{board} / {panel['title']} / {target['legendFormat']}": target["expr"]
        for board, content in dashboards("tiny", LEVELS).items()
        for panel in content["panels"]
        for target in panel["targets"]
        if target["legendFormat"] not in ONLY_IN_TROUBLE
    }


@pytest.mark.slow
@pytest.mark.usefixtures("registered")
def test_every_panel_shows_data(tmp_path: Path) -> None:
    exposed = series(served(tmp_path), "linnet-tiny") | series(monitored(tmp_path), "linnet-tiny-monitor")
    exposed['up{job="linnet-tiny",instance="a"}'] = f"1+0x{SCRAPES}"
    asked: list[dict[str, Any]] = [
        {
            "expr": f"count({expr}) > bool 0",
            "eval_time": f"{SCRAPES}m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for expr in queries().values()
    ]
    assert len(asked) > 45
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rule_groups("tiny", LEVELS)))
    given = [{"series": name, "values": values} for name, values in exposed.items()]
    tests = [{"interval": "1m", "input_series": given, "promql_expr_test": asked}]
    content = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(content, width=1 << 30))
    run([program("promtool", "prometheus"), "test", "rules", "test.yml"], tmp_path, 250)
