"""Twelve kinds of fault, two of each: diagnosed by name, alerted within two windows; quiet ones page nobody.

Windows are judged by the real judges, alerts by the real rules under the real promtool.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from linnet.alerting.rules import rule_groups
from linnet.artifacts.reference import Reference
from linnet.automation import metrics
from linnet.config import RetrainingConfig, ServiceLevelsConfig
from linnet.monitoring.diagnose import diagnose
from linnet.monitoring.server_symptoms import server_symptoms
from linnet.monitoring.symptoms import Places, gather
from linnet.records import Deploy, Diagnosis, Symptoms, VersionTraffic
from tests.console.records import version
from tests.monitoring import faults
from tests.monitoring.debian import program, run
from tests.monitoring.faults import (
    Life,
    brighter,
    noisy,
    of_class,
    of_shop,
    traffic,
    unlabelled,
    unsure,
    worse,
)

LEVELS = ServiceLevelsConfig()
QUIET, BAD = 4, 2
"""Windows before the fault, and with it."""
MINUTES = 60
NOW = 1_800_000_000.0
JOB = 'job="linnet-shop"'
Changed = faults.Change | None
DEPLOYED = Deploy(
    at=faults.NOON + 4 * faults.HOUR,
    version="1",
    previous="0",
    action="promote",
    actor="ada",
    reason="better",
)


@dataclass(frozen=True)
class Fault:
    """What is planted, what `linnet diagnose` must say of it, and the alert that must come."""

    name: str
    blames: str
    says: str
    alert: str
    change: Changed = None
    labelled: bool = True
    """Whether labels came before."""
    stale: int = 0
    """Values that the skew audit finds stale."""
    metrics: str = ""
    """More of the server's /metrics."""
    seen: dict[str, Any] = field(default_factory=dict)
    """What else is seen: recent traffic, deploys."""
    series: dict[str, str] = field(default_factory=dict)
    """The server's series, as promtool reads them; those of a good server are put beside them."""


def memory(*workers: float) -> str:
    rows = [f'process_resident_memory_bytes{{worker="{n}"}} {held:g}' for n, held in enumerate(workers)]
    rows += [f'process_settled_memory_bytes{{worker="{n}"}} 3e8' for n in range(len(workers))]
    return "\n".join(rows) + "\n"


def grows(worker: int, to: float) -> dict[str, str]:
    """A process that grows through the two bad windows, beside one that does not."""
    found = {}
    for number in range(2):
        label = f'{{{JOB},worker="{number}",instance="a"}}'
        rise = (to - 3e8) / (BAD * MINUTES) if number == worker else 0.0
        found[f"process_resident_memory_bytes{label}"] = (
            f"3e8x{QUIET * MINUTES} 3e8+{rise:.0f}x{BAD * MINUTES + 5}"
        )
        found[f"process_settled_memory_bytes{label}"] = f"3e8x{(QUIET + BAD) * MINUTES + 6}"
    return found


def clock(ahead: float) -> dict[str, str]:
    """A clock that jumps when the fault begins."""
    before = QUIET * MINUTES
    jumped = f"{(before + 1) * 60 + ahead:g}+60x{BAD * MINUTES + 5}"
    return {f'linnet_server_time_seconds{{{JOB},instance="a"}}': f"0+60x{before} {jumped}"}


def requests(good: float, bad: float) -> dict[str, str]:
    """Requests a minute before the fault, for a day and four windows, and after it."""
    before = (24 + QUIET) * MINUTES
    after = f"{good * before + bad:g}+{bad:g}x{BAD * MINUTES + 5}"
    name = 'linnet_requests_total{model="shop",version="1",outcome="ok"}'
    return {name: f"0+{good:g}x{before} {after}"}


def slow(share: float) -> dict[str, str]:
    """So many of 100 requests a minute take longer than promised."""
    before, after = QUIET * MINUTES, BAD * MINUTES + 5
    label, fast = 'model="shop",version="1"', 100 * (1 - share)
    buckets = f"0+100x{before} {100 * before + fast:g}+{fast:g}x{after}"
    return {
        f"linnet_request_seconds_count{{{label}}}": f"0+100x{before + after + 1}",
        f'linnet_request_seconds_bucket{{{label},le="0.1"}}': buckets,
    }


def refused(a_minute: float) -> dict[str, str]:
    """Requests of another format are refused."""
    before, after = QUIET * MINUTES, BAD * MINUTES + 5
    return {
        'linnet_requests_total{model="shop",version="1",outcome="ok"}': f"0+100x{before + after + 1}",
        'linnet_validation_failures_total{model="shop",status="415",reason="type"}': f"0x{before} "
        f"{a_minute:g}+{a_minute:g}x{after}",
    }


GOOD = """\
linnet_model_loaded{model="shop",version="1",role="champion"} 1
linnet_requests_total{model="shop",version="1",outcome="ok"} 9000
"""
SLOW_NOW = (VersionTraffic(**traffic(latency_p95_ms=400.0)),)
HALVED = {"recent": (VersionTraffic(**traffic(answered=1_000)),), "usual_requests": (2_000, 2_100)}
FEW = {"recent": (VersionTraffic(**traffic(answered=300)),), "usual_requests": (1_900,)}
REFUSED = 'linnet_validation_failures_total{{model="shop",status="415",reason="type"}} {}\n'
PLANTED = [
    Fault("cohort-half", "model", "on store=fr fell", "LinnetAccuracyFell", worse(50, of_shop("fr"))),
    Fault("cohort-all", "model", "accuracy on store=fr fell", "LinnetAccuracyFell", worse(90, of_shop("fr"))),
    Fault("class-half", "model", "on class=shirt fell", "LinnetAccuracyFell", worse(50, of_class(4))),
    Fault("class-all", "model", "accuracy on class=bag fell", "LinnetAccuracyFell", worse(100, of_class(0))),
    Fault("quality", "model", "accuracy fell by", "LinnetAccuracyFell", worse(6, sure=0.7)),
    Fault("quality-deploy", "model", "became champion", "LinnetAccuracyFell", worse(7, sure=0.6),
          seen={"deploys": (DEPLOYED,)}),
    Fault("unlabelled", "model", "accuracy fell by", "LinnetAccuracyEstimatedFell", unsure(6), False),
    Fault("unlabelled-deploy", "model", "became champion", "LinnetAccuracyEstimatedFell", unsure(7), False,
          seen={"deploys": (DEPLOYED,)}),
    Fault("format", "data", "inputs drifted", "LinnetDrift", brighter(1.0)),
    Fault("format-refused", "data", "failed input validation", "LinnetValidInputBurn6x",
          metrics=REFUSED.format(900), series=refused(30)),
    Fault("slow", "infrastructure", "p95 of version 1 is 400 ms, 8 ms before", "LinnetLatencyBurn14_4x",
          seen={"recent": SLOW_NOW}, series=slow(0.9)),
    Fault("slow-deploy", "model", "p95 of version 1 is 400 ms", "LinnetLatencyBurn3x",
          seen={"recent": SLOW_NOW, "deploys": (DEPLOYED,)}, series=slow(0.2)),
    Fault("leak", "infrastructure", "worker 1 of the server holds 900 MB", "LinnetMemoryGrows",
          metrics=memory(3e8, 9e8), series=grows(1, 9e8)),
    Fault("leak-fast", "infrastructure", "worker 0 of the server holds 4,000 MB", "LinnetMemoryGrows",
          metrics=memory(4e9, 3e8), series=grows(0, 4e9)),
    Fault("clock-ahead", "infrastructure", "clock is 120 s ahead", "LinnetClockSkew",
          metrics=f"linnet_server_time_seconds {NOW + 120}\n", series=clock(120)),
    Fault("clock-behind", "infrastructure", "clock is 3,600 s behind", "LinnetClockSkew",
          metrics=f"linnet_server_time_seconds {NOW - 3600}\n", series=clock(-3600)),
    Fault("store", "infrastructure", "online feature store is stale", "LinnetSkew", stale=400),
    Fault("store-few", "infrastructure", "online feature store is stale", "LinnetSkew", stale=3),
    Fault("noise", "data", "labels are noisy", "LinnetLabelsContradict", noisy(0.2, next_one=False)),
    Fault("noise-next", "data", "labels are noisy", "LinnetLabelsContradict", noisy(0.2, next_one=True)),
    Fault("halved", "infrastructure", "callers are missing", "LinnetTrafficFell",
          seen=HALVED, series=requests(100, 50)),
    Fault("most-gone", "infrastructure", "callers are missing", "LinnetTrafficFell",
          seen=FEW, series=requests(95, 15)),
    Fault("labels-gone", "data", "labels stopped coming", "LinnetLabelsStopped", unlabelled(0)),
    Fault("labels-trickle", "data", "labels stopped coming", "LinnetLabelsStopped", unlabelled(40)),
]  # fmt: skip


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return faults.reference(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="module")
def quiet(held_out: Reference, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The state folder of a model that did well for some windows: with labels, and without."""
    found = {}
    for labelled in (True, False):
        found[labelled] = tmp_path_factory.mktemp("quiet")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LINNET_HOME", str(found[labelled]))
            life = Life(held_out)
            for _ in range(QUIET):
                life.hour(None if labelled else unlabelled(0))
                life.audit(0)
    return found


def shown() -> dict[str, float]:
    """What the monitor exposes of the newest window, by series."""
    found = {}
    for metric in metrics._windows(version("1").model_copy(update={"name": "shop"})):
        for sample in metric.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def diagnosed(fault: Fault, state: Path, hours: int) -> Diagnosis:
    at = faults.NOON + hours * faults.HOUR + timedelta(minutes=3)
    places = Places("shop", "1", state / "none.json", state / "no-log", state / "monitoring", state)
    text = fault.metrics + GOOD
    if "linnet_server_time" not in text:
        text += f"linnet_server_time_seconds {NOW}\n"
    seen = gather(places, at=at).model_dump() | {
        "reachable": True, "ready": True, "recent": (VersionTraffic(**traffic()),),
        "before": (VersionTraffic(**traffic(answered=8_000)),), "usual_requests": (2_000,),
        "memory_free": 0.5, "disk_free": 0.5, **server_symptoms(text, "shop", NOW), **fault.seen,
    }  # fmt: skip
    return diagnose(Symptoms.model_validate(seen), LEVELS, RetrainingConfig())


def series_of(windows: list[dict[str, float]]) -> dict[str, str]:
    """What was exposed after each window, three minutes later, as promtool reads it: a sample a minute."""
    names = {name for one in windows for name in one}
    found = {}
    for name in names:
        words = [f"_x{MINUTES + 2}"]
        for one in windows:
            value = one.get(name)
            words.append(f"_x{MINUTES}" if value is None else f"{value:.6g}x{MINUTES - 1}")
        found[name] = " ".join(words)
    return found


Lived = tuple[Fault, Diagnosis, list[dict[str, float]]]


@pytest.fixture(scope="module")
def lived(
    held_out: Reference, quiet: dict[bool, Path], tmp_path_factory: pytest.TempPathFactory
) -> list[Lived]:
    """Every fault, two windows long."""
    found: list[Lived] = []
    for number, fault in enumerate(PLANTED):
        home = tmp_path_factory.mktemp(fault.name)
        shutil.copytree(quiet[fault.labelled], home, dirs_exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LINNET_HOME", str(home))
            life, windows = Life(held_out, hours=QUIET), [shown()]
            for _ in range(BAD if fault.change or fault.stale else 0):
                life.hour(fault.change, seed=number + 1)
                life.audit(fault.stale)
                windows.append(shown())
            found.append((fault, diagnosed(fault, home, life.hours), windows))
    return found


@pytest.mark.slow
def test_every_planted_fault_is_named_by_the_diagnosis(lived: list[Lived]) -> None:
    wrong = {
        fault.name: (found.verdict, [one.sentence for one in found.findings])
        for fault, found, _ in lived
        if found.verdict != fault.blames or fault.says not in found.findings[0].sentence
    }
    assert len(lived) == 24 and wrong == {}


@pytest.mark.slow
@pytest.mark.parametrize("group", ["burn", "model", "around"])
def test_every_planted_fault_is_alerted_within_two_windows(
    group: str, lived: list[Lived], tmp_path: Path
) -> None:
    """And not before it."""
    rules = next(
        one for one in rule_groups("shop", LEVELS)["groups"] if one["name"] == f"linnet-shop-{group}"
    )
    alerts = {rule.get("alert") for rule in rules["rules"]}
    tests = []
    for fault, _, windows in lived:
        if fault.alert not in alerts:
            continue
        own = fault.series or series_of(windows)
        day = 24 * MINUTES if fault.alert == "LinnetTrafficFell" else 0
        begun = day + QUIET * MINUTES if fault.series else MINUTES
        before = begun if fault.series else begun + MINUTES + 1  # the good window before is what is shown
        name = f'count(ALERTS{{alertstate="firing",alertname="{fault.alert}"}})'
        asked = [asks(name, before, None), asks(name, begun + BAD * MINUTES + 4, 1)]
        told = {"name": fault.name, "interval": "1m", "input_series": given(own)}
        tests.append({**told, "promql_expr_test": asked})
    assert len(tests) == {"burn": 3, "model": 11, "around": 10}[group]
    promtool(tmp_path, [rules], tests, "1m")


def asks(query: str, minute: float, value: int | None) -> dict[str, Any]:
    samples = [] if value is None else [{"labels": "{}", "value": value}]
    return {
        "expr": f"{query} > bool 0" if value else query,
        "eval_time": f"{minute:g}m",
        "exp_samples": samples,
    }


def given(series: dict[str, str]) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in series.items()]


def promtool(folder: Path, groups: list[Any], tests: list[dict[str, Any]], every: str) -> None:
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    test = {"rule_files": ["rules.yml"], "evaluation_interval": every, "tests": tests}
    (folder / "test.yml").write_text(yaml.safe_dump(test, width=1 << 30))
    run([program("promtool", "prometheus"), "test", "rules", "test.yml"], folder, 280)


@pytest.fixture
def quiet_windows(held_out: Reference, state: Path) -> Iterator[Callable[[int], list[dict[str, float]]]]:
    def live(count: int) -> list[dict[str, float]]:
        life, windows = Life(held_out), []
        for _ in range(count):
            life.hour(seed=99)
            windows.append(shown())
        return windows

    yield live


@pytest.mark.proof
@pytest.mark.timeout(1200)
def test_five_hundred_quiet_windows_page_nobody(
    quiet_windows: Callable[[int], list[dict[str, float]]], tmp_path: Path
) -> None:
    windows = quiet_windows(500)
    names = {name for one in windows for name in one}
    series = {
        name: " ".join("_" if one.get(name) is None else f"{one[name]:.6g}" for one in windows)
        for name in names
    }
    champion = f'linnet_model_loaded{{model="shop",version="1",role="champion",{JOB}}}'
    series |= {f'up{{{JOB},instance="a"}}': "1x499", champion: "1x499"}  # or that it is absent pages
    end = 499 * 60
    fired = 'max_over_time(count(ALERTS{{alertstate="firing",severity="{}"}})[{}m:60m])'
    asked = [asks(fired.format("page", end), end, None)]
    groups = rule_groups("shop", LEVELS)["groups"]
    promtool(
        tmp_path,
        groups,
        [{"interval": "60m", "input_series": given(series), "promql_expr_test": asked}],
        "60m",
    )
