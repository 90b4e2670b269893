"""Every rule under the real promtool: what fires, when, and what ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.alerting.rules import BAD, BURN, TOTAL, WINDOWS, rule_groups
from linnet.config import ServiceLevelsConfig
from linnet.errors import ConfigError
from tests.monitoring.promtool import (
    JOB,
    LEVELS,
    MODEL,
    Scenario,
    counter,
    gauge,
    healthy,
    refusals,
    requests,
)

HOUR = 240  # scrapes
RPS = 10 * 15
AVAILABILITY = {f"LinnetAvailabilityBurn{burn}x" for burn in ("14_4", "6", "3")}
LATENCY = {f"LinnetLatencyBurn{burn}x" for burn in ("14_4", "6", "3")}
START = HOUR * 15  # a good hour, then the trouble; so the longer windows know no more than this hour
LATE = 40  # scrapes: ten minutes
BURN_ONLY = ("burn",)


def traffic(failed: str, ok: str, version: str = "1") -> dict[str, str]:
    return {requests("ok", version): ok, requests("failed", version): failed}


def outage() -> Scenario:
    """All requests fail for ten minutes."""
    ended = START + LATE * 15
    return Scenario(
        healthy(HOUR + 2 * LATE)
        | traffic(counter((HOUR, 0), (LATE, RPS), (LATE, 0)), counter((HOUR, RPS), (LATE, 0), (LATE, RPS))),
        {
            START: set(),
            START + 30: AVAILABILITY - {"LinnetAvailabilityBurn14_4x"} | {"LinnetAvailabilityBurn1x"},
            START + 60: AVAILABILITY | {"LinnetAvailabilityBurn1x"},
            ended: AVAILABILITY | {"LinnetAvailabilityBurn1x"},
            # The budget of the longer windows is gone, which stays a ticket; no page goes on.
            ended + 300: {"LinnetAvailabilityBurn1x"},
        },
    )


def overload() -> Scenario:
    """429 for everybody: no version is to blame."""
    return Scenario(
        traffic(counter((HOUR + LATE, 0)), counter((HOUR, RPS), (LATE, 0)))
        | {refusals(429): counter((HOUR, 0), (LATE, RPS))},
        {START: set(), START + 60: AVAILABILITY | {"LinnetAvailabilityBurn1x"}},
        BURN_ONLY,
        values=[
            (START + 60, 'count by (version) (ALERTS{burn="14.4"})', [('{version="none"}', 1.0)]),
        ],
    )


def slow() -> Scenario:
    """Every request takes longer than promised."""
    labels = f'model="{MODEL}",version="1"'
    return Scenario(
        {
            f"linnet_request_seconds_count{{{labels}}}": counter((HOUR + LATE, RPS)),
            f'linnet_request_seconds_bucket{{{labels},le="0.1"}}': counter((HOUR, RPS), (LATE, 0)),
        },
        {
            START: set(),
            START + 120: {"LinnetLatencyBurn3x", "LinnetLatencyBurn1x"},
            START + 600: LATENCY | {"LinnetLatencyBurn1x"},
        },
        BURN_ONLY,
    )


def bad_input() -> Scenario:
    """Upstream changed its format: a third of the requests is refused."""
    return Scenario(
        traffic(counter((2 * HOUR, 0)), counter((2 * HOUR, RPS)))
        | {refusals(415): counter((HOUR, 0), (HOUR, RPS / 2))},
        {
            START + 60: set(),
            START + 120: {"LinnetValidInputBurn1x"},
            START + 1800: {"LinnetValidInputBurn6x", "LinnetValidInputBurn1x"},
        },
        BURN_ONLY,
    )


def down() -> Scenario:
    """The server is gone; a replica beside it kept the service for a while."""
    loaded = f'linnet_model_loaded{{model="{MODEL}",version="1",role="champion",{JOB},instance="a"}}'
    return Scenario(
        {
            f'up{{{JOB},instance="a"}}': gauge((2 * LATE, 1), (LATE, 0)),
            f'up{{{JOB},instance="b"}}': gauge((LATE, 1), (2 * LATE, 0)),
            loaded: gauge((2 * LATE, 1), (LATE, "stale")),
        },
        {
            LATE * 15 + 120: set(),
            LATE * 15 + 330: {"LinnetReplicaDown"},
            2 * LATE * 15 + 60: {"LinnetDown", "LinnetReplicaDown"},
        },
        ("server",),
    )


def absent() -> Scenario:
    """Prometheus does not even know of a server."""
    up, loaded = healthy(LATE)
    return Scenario(
        {up: gauge((LATE, 1), (LATE, "stale")), loaded: gauge((LATE, 1), (LATE, "stale"))},
        {LATE * 15 - 15: set(), LATE * 15 + 120: {"LinnetAbsent"}},
        ("server",),
    )


def not_serving() -> Scenario:
    """Up, and without a champion."""
    up, loaded = healthy(LATE)
    return Scenario(
        {up: gauge((2 * LATE, 1)), loaded: gauge((LATE, 1), (LATE, "stale"))},
        {LATE * 15 - 15: set(), LATE * 15 + 60: {"LinnetNotServing"}},
        ("server",),
    )


def rollout() -> Scenario:
    """A candidate of ten minutes fails and is taken away: what it did is explained a little longer."""
    candidate = f'linnet_model_loaded{{model="{MODEL}",version="2",role="candidate",{JOB}}}'
    failed = f"_x{HOUR} 0+50x{LATE} {50 * LATE}x{LATE}"
    ended = START + LATE * 15
    slow_burns = AVAILABILITY - {"LinnetAvailabilityBurn14_4x"} | {"LinnetAvailabilityBurn1x"}
    return Scenario(
        healthy(HOUR + 2 * LATE)
        | {candidate: gauge((HOUR, "_"), (LATE, 1), (LATE, "stale"))}
        | traffic(counter((HOUR + 2 * LATE, 0)), counter((HOUR + 2 * LATE, RPS)))
        | {requests("failed", "2"): failed},
        {
            START - 15: set(),
            START: {"LinnetRollout"},
            START + 120: slow_burns | {"LinnetRollout"},
            ended: AVAILABILITY | {"LinnetRollout", "LinnetAvailabilityBurn1x"},
            # No page is left when the silence ends.
            ended + 330: {"LinnetRollout", "LinnetAvailabilityBurn1x"},
            ended + 375: {"LinnetAvailabilityBurn1x"},
        },
        ("burn", "server"),
    )


def stuck_rollout() -> Scenario:
    """A candidate that nobody takes away silences nothing any longer."""
    candidate = f'linnet_model_loaded{{model="{MODEL}",version="2",role="candidate",{JOB}}}'
    return Scenario(
        healthy(2 * HOUR) | {candidate: gauge((2 * HOUR, 1))},
        {3600 - 15: {"LinnetRollout"}, 3600 + 120: {"LinnetRolloutStuck"}},
        ("server",),
    )


def lapsed_rollout() -> Scenario:
    """The judge of a canary was killed, and the server took the candidate's share back."""
    return Scenario(
        healthy(2 * HOUR)
        | {f'linnet_rollouts_lapsed_total{{model="{MODEL}"}}': counter((HOUR, 0), (1, 1), (HOUR, 0))},
        {START - 15: set(), START + 60: {"LinnetRolloutLapsed"}, START + 2100: set()},
        ("server",),
    )


def promoted() -> Scenario:
    """Once promoted, the version's failures are nobody's transient."""
    loaded = f'linnet_model_loaded{{model="{MODEL}",version="2",role='
    return Scenario(
        healthy(2 * LATE)
        | {
            f'{loaded}"candidate",{JOB}}}': gauge((LATE, 1), (LATE, "stale")),
            f'{loaded}"champion",{JOB}}}': gauge((LATE, "_"), (LATE, 1)),
        },
        {LATE * 15 - 15: {"LinnetRollout"}, LATE * 15: set()},
        ("server",),
    )


def model_trouble() -> Scenario:
    """What monitoring found becomes tickets."""
    version = f'model="{MODEL}",version="1"'
    return Scenario(
        healthy(2 * HOUR)
        | {
            f'linnet_live_accuracy_high{{{version},cohort="all",value="all"}}': gauge((2 * HOUR, 0.95)),
            f'linnet_live_accuracy_high{{{version},cohort="class",value="Shirt"}}': gauge(
                (HOUR, 0.85), (HOUR, 0.79)
            ),
            f'linnet_live_accuracy_high{{{version},cohort="class",value="Bag"}}': gauge((2 * HOUR, 0.1)),
            f"linnet_drift_violation{{{version}}}": gauge((HOUR, 0), (HOUR, 1)),
            f"linnet_skew_differences{{{version}}}": gauge((HOUR, 0), (HOUR, 3)),
            f"linnet_champion_created_seconds{{{version}}}": gauge((HOUR, 0), (HOUR, -31 * 86400)),
            f'linnet_monitoring_window_end_seconds{{model="{MODEL}"}}': gauge((HOUR, 0), (HOUR, -25 * 3600)),
            f'linnet_retraining_breaker_open{{model="{MODEL}"}}': gauge((HOUR, 0), (HOUR, 1)),
            f"linnet_log_dropped_total{{{JOB}}}": counter((HOUR, 0), (HOUR, 2)),
            'linnet_restarts_total{process="server"}': counter((HOUR, 0), (4, 1), (HOUR - 4, 0)),
            'linnet_restarts_total{process="engine"}': counter((2 * HOUR - 12, 0), (8, 1), (4, 0)),
        },
        {
            HOUR * 15 - 15: set(),
            2 * HOUR * 15 - 30: {
                "LinnetRestarted", "LinnetCrashLoop",
                "LinnetAccuracy", "LinnetDrift", "LinnetSkew", "LinnetModelStale", "LinnetMonitoringStale",
                "LinnetRetrainingBreaker", "LinnetLogDropping",
            },
        },
        ("server", "model"),
    )  # fmt: skip


def rolled_back() -> Scenario:
    """A page for an hour; 0 means that no new champion was proven worse."""
    regressed = f'linnet_bake_regressed_seconds{{model="{MODEL}",version="2"}}'
    return Scenario(
        healthy(3 * HOUR) | {regressed: gauge((HOUR, -7200), (2 * HOUR, HOUR * 15))},
        {HOUR * 15 - 15: set(), HOUR * 15 + 60: {"LinnetRolledBack"}, 3 * HOUR * 15 - 30: set()},
        ("model",),
    )


def accuracy_far() -> Scenario:
    """A live accuracy of 23.6 % wakes somebody; a little below the floor is a ticket."""
    high = f'linnet_live_accuracy_high{{model="{MODEL}",version="1",cohort="all",value="all"}}'
    return Scenario(
        healthy(2 * HOUR) | {high: gauge((HOUR, 0.75), (HOUR, 0.25))},
        {HOUR * 15 - 15: {"LinnetAccuracy"}, 2 * HOUR * 15 - 30: {"LinnetAccuracy", "LinnetAccuracyFar"}},
        ("server", "model"),
    )


def accuracy_fell() -> Scenario:
    """One group's fall is told though its accuracy is above every floor: a ticket, and far a page."""
    fall = f'linnet_accuracy_fall{{model="{MODEL}",version="1",cohort="store",value="de"}}'
    return Scenario(
        healthy(3 * HOUR) | {fall: gauge((HOUR, 0.02), (HOUR, 0.05), (HOUR, 0.2))},
        {
            HOUR * 15 - 15: set(),
            2 * HOUR * 15 - 30: {"LinnetAccuracyFell"},
            3 * HOUR * 15 - 30: {"LinnetAccuracyFell", "LinnetAccuracyFellFar"},
        },
        ("model",),
    )


def around() -> Scenario:
    """A process grows, a clock jumps, labels stop and contradict, the estimate falls: after a good hour."""
    version, here = f'model="{MODEL}",version="1"', f'{{{JOB},instance="a"}}'
    return Scenario(
        {
            f"process_resident_memory_bytes{here}": gauge((HOUR, 3e8), (HOUR, 9e8)),
            f"process_settled_memory_bytes{here}": gauge((2 * HOUR, 3e8)),
            f"linnet_server_time_seconds{here}": f"0+15x{HOUR - 1} {HOUR * 15 + 60}+15x{HOUR}",
            f'linnet_labels_stopped{{model="{MODEL}"}}': gauge((HOUR, 0), (HOUR, 1)),
            f"linnet_labels_contradict{{{version}}}": gauge((HOUR, 0.01), (HOUR, 0.17)),
            f"linnet_estimated_fall{{{version}}}": gauge((HOUR, 0.0), (HOUR, 0.04)),
        },
        {
            HOUR * 15 - 15: set(),
            2 * HOUR * 15 - 30: {
                "LinnetMemoryGrows", "LinnetClockSkew", "LinnetLabelsStopped", "LinnetLabelsContradict",
                "LinnetAccuracyEstimatedFell",
            },
        },
        ("model", "around"),
    )  # fmt: skip


def traffic_fell() -> Scenario:
    """Half of yesterday's callers do not ask any more."""
    day, hour = 24 * 60, 60
    return Scenario(
        {requests("ok"): counter((day + hour, 100), (2 * hour, 50))},
        {(day + hour) * 60: set(), (day + 3 * hour) * 60 - 60: {"LinnetTrafficFell"}},
        ("around",),
        step=60,
        every=60,
    )


def unmonitored() -> Scenario:
    """A champion that nobody monitors is not quiet, it is unknown: that is told once a window was due."""
    created = f'linnet_champion_created_seconds{{model="{MODEL}",version="1"}}'
    ended = f'linnet_monitoring_window_end_seconds{{model="{MODEL}"}}'
    return Scenario(
        healthy(2 * HOUR) | {created: gauge((2 * HOUR, -25 * 3600)), ended: gauge((HOUR, "_"), (HOUR, 3600))},
        {HOUR * 15 - 15: {"LinnetUnmonitored"}, HOUR * 15 + 60: set()},
        ("model",),
    )


def little_traffic() -> Scenario:
    """Four failures among few requests are no reason to wake anybody; six in an hour are."""
    return Scenario(
        traffic(counter((HOUR, 0), (4, 1), (10, 0), (2, 1), (LATE, 0)), counter((2 * HOUR, 1))),
        {START + 120: set(), START + 240: AVAILABILITY | {"LinnetAvailabilityBurn1x"}},
        BURN_ONLY,
    )


SCENARIOS = (
    outage, overload, slow, bad_input, down, absent, not_serving, rollout, stuck_rollout, lapsed_rollout,
    promoted, model_trouble, rolled_back, accuracy_far, accuracy_fell, around, traffic_fell,
    unmonitored, little_traffic,
)  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_rules_scenario_fires_what_it_should(scenario: object, tmp_path: Path) -> None:
    scenario().check(tmp_path)  # type: ignore[operator]


def test_rules_each_alert_fires_in_some_scenario_and_not_in_another() -> None:
    known = {
        rule["alert"]
        for group in rule_groups(MODEL, LEVELS)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    moments = [names for scenario in SCENARIOS for names in scenario().firing.values()]
    assert set().union(*moments) == known
    assert all(any(name not in names for names in moments) for name in known)


def test_recorded_series_say_how_fast_the_budget_burns(tmp_path: Path) -> None:
    """A constant 1 % of failures, slow answers and bad input, over more than three days."""
    hours = 3 * 24 + 2
    scrapes, labels = hours * 30, f'model="{MODEL}",version="1"'
    series = {
        requests("ok"): counter((scrapes, 99)),
        requests("failed"): counter((scrapes, 1)),
        refusals(400): counter((scrapes, 1)),
        f"linnet_request_seconds_count{{{labels}}}": counter((scrapes, 100)),
        f'linnet_request_seconds_bucket{{{labels},le="0.1"}}': counter((scrapes, 99)),
    }
    expected = {
        "availability": ("1", 10.0, 100),
        "latency": ("1", 1.0, 100),
        "valid_input": ("all", 100 / 101, 101),
    }
    values = []
    for slo, (version, burn, total) in expected.items():
        for window in WINDOWS:
            for record, value in ((BAD, 1 / 120), (TOTAL, total / 120), (BURN, burn)):
                query = f'round({record}{window}{{slo="{slo}"}}, 0.0001)'
                named = "" if record == TOTAL else f',version="{version}"'
                found = f'{{model="{MODEL}",slo="{slo}"{named}}}'
                values.append((hours * 3600, query, [(found, round(value, 4))]))
    assert len(values) == 45
    Scenario(series, {}, BURN_ONLY, 120, 3600, values).check(tmp_path)


def test_latency_objective_outside_the_buckets_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"service_levels\.latency_ms: 99 is not a bucket.*100, 250"):
        rule_groups(MODEL, ServiceLevelsConfig(latency_ms=99))


def test_promtool_refuses_a_scenario_that_expects_too_much(tmp_path: Path) -> None:
    """The check can fail."""
    wrong = down()
    wrong.firing = {15: {"LinnetDown"}}
    with pytest.raises(AssertionError, match="LinnetDown"):
        wrong.check(tmp_path)
