"""The monitoring as a recurring run."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from linnet.automation.monitoring_schedule import plan
from linnet.config import Config, MonitoringConfig, RegistryConfig
from linnet.errors import RunError
from linnet.monitoring.window import last_closed, moment_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def config(minutes: float = 60, lateness: float = 2) -> Config:
    return Config(name="tiny", monitoring=MonitoringConfig(window_minutes=minutes, lateness_minutes=lateness))


@pytest.mark.parametrize(("minutes", "lateness"), [(60, 2), (60, 90), (1.25, 0), (7, 3)])
def test_watch_looks_at_each_window_once_and_when_it_is_closed(minutes: float, lateness: float) -> None:
    planned = plan(config(minutes, lateness), NOON)
    assert planned.first > NOON
    ends = [
        last_closed(planned.first + k * planned.every, config(minutes, lateness).monitoring)[1]
        for k in range(5)
    ]
    assert [b - a for a, b in itertools.pairwise(ends)] == [planned.every] * 4
    just_before = planned.first.replace(microsecond=0) - planned.every / 1000
    assert last_closed(just_before, config(minutes, lateness).monitoring)[1] == ends[0] - planned.every


def test_models_of_one_use_case_have_a_watch_each() -> None:
    """A watch takes the place of the one of its name."""
    second = config().model_copy(update={"registry": RegistryConfig(model="tiny-large")})
    assert plan(config()).name == "monitoring of tiny"
    assert plan(second).name == "monitoring of tiny-large"


def test_windows_finer_than_a_second_are_refused() -> None:
    with pytest.raises(RunError, match="whole number of seconds"):
        plan(config(0.001), NOON)


def test_scheduled_time_is_read_as_the_engine_writes_it() -> None:
    from linnet.engine.recurring import _filled

    body = {"runtime_config": {"parameters": {"end": "[[ScheduledTime]]"}}}
    assert moment_of(_filled(body, NOON, 1)["runtime_config"]["parameters"]["end"]) == NOON
