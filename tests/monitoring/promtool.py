"""Scenarios for `promtool test rules`: series in, and which alerts fire at which moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from linnet.alerting.rules import rule_groups
from linnet.config import ServiceLevelsConfig
from tests.monitoring.debian import program, run

LEVELS = ServiceLevelsConfig(critical_cohorts=("class=Shirt",))
MODEL = "fashion"
JOB = f'job="linnet-{MODEL}"'
STEP = 15
"""Seconds between two scrapes, and between two evaluations, unless a scenario says otherwise."""


def counter(*phases: tuple[int, float]) -> str:
    """A counter in promtool's notation: phases of (scrapes, growth a scrape)."""
    value, words = 0.0, ["0"]
    for scrapes, growth in phases:
        words.append(f"{value + growth:g}+{growth:g}x{scrapes - 1}")
        value += growth * scrapes
    return " ".join(words)


def gauge(*phases: tuple[int, float | str]) -> str:
    """A gauge: phases of (scrapes, value); `_` for no sample, `stale` for a target that went away."""
    words = []
    for scrapes, value in phases:
        if isinstance(value, str):
            words += [value] if value == "stale" else [f"_x{scrapes}"]
            if value == "stale" and scrapes > 1:
                words.append(f"_x{scrapes - 1}")
        else:
            words.append(f"{value:g}x{scrapes - 1}" if scrapes > 1 else f"{value:g}")
    return " ".join(words)


@dataclass
class Scenario:
    """`firing`: moment in seconds -> the names of all alerts that fire then, and of no other."""

    series: dict[str, str]
    firing: dict[int, set[str]]
    groups: tuple[str, ...] = ("burn", "server", "model")
    """Rule groups to load: those that the scenario is about, as each costs time."""
    step: int = STEP
    """Seconds between two samples."""
    every: int = STEP
    """Seconds between two evaluations."""
    values: list[tuple[int, str, list[tuple[str, float]]]] = field(default_factory=list)
    """(moment, query, expected samples)."""

    without: str = ""
    """Leaves out rules whose window this is, where it costs time and adds nothing."""

    def check(self, folder: Path, levels: ServiceLevelsConfig = LEVELS, timeout: float = 250) -> None:
        """Asks the real promtool."""
        promtool = program("promtool", "prometheus")
        loaded = [g for g in rule_groups(MODEL, levels)["groups"] if g["name"].endswith(self.groups)]
        assert len(loaded) == len(self.groups)
        if self.without:
            for group in loaded:
                group["rules"] = [rule for rule in group["rules"] if self.without not in str(rule)]
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": loaded}))
        asked = [
            _asked(
                'count by (alertname) (ALERTS{alertstate="firing"})',
                moment,
                [(f'{{alertname="{name}"}}', 1.0) for name in sorted(names)],
            )
            for moment, names in self.firing.items()
        ]
        asked += [_asked(query, moment, samples) for moment, query, samples in self.values]
        test = {
            "rule_files": ["rules.yml"],
            "evaluation_interval": f"{self.every}s",
            "tests": [
                {
                    "interval": f"{self.step}s",
                    "input_series": [
                        {"series": name, "values": values} for name, values in self.series.items()
                    ],
                    "promql_expr_test": asked,
                }
            ],
        }
        (folder / "test.yml").write_text(yaml.safe_dump(test, width=1 << 30))
        run([promtool, "test", "rules", "test.yml"], folder, timeout)


def _asked(query: str, moment: int, samples: list[tuple[str, float]]) -> dict[str, Any]:
    return {
        "expr": query,
        "eval_time": f"{moment}s",
        "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
    }


def requests(outcome: str, version: str = "1") -> str:
    """The series of answered requests."""
    return f'linnet_requests_total{{model="{MODEL}",version="{version}",outcome="{outcome}"}}'


def refusals(status: int) -> str:
    """The series of refused requests."""
    return f'linnet_validation_failures_total{{model="{MODEL}",status="{status}"}}'


def healthy(scrapes: int) -> dict[str, str]:
    """A server that is up and serves version 1 as champion."""
    loaded = f'linnet_model_loaded{{model="{MODEL}",version="1",role="champion",{JOB}}}'
    return {f"up{{{JOB}}}": gauge((scrapes, 1)), loaded: gauge((scrapes, 1))}
