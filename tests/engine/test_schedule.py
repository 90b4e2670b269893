"""When recurring runs are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from linnet.engine.api_errors import ApiError
from linnet.engine.schedule import Schedule

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def every(seconds: int, **more: Any) -> Schedule:
    return Schedule.parse({"periodic_schedule": {"interval_second": str(seconds), **more}})


def cron(text: str, **more: Any) -> Schedule:
    return Schedule.parse({"cron_schedule": {"cron": text, **more}})


@pytest.mark.parametrize(
    ("text", "next_one"),
    [
        ("0 0 9 ? * 2-6", datetime(2026, 11, 25, 9, 0, 0, tzinfo=UTC)),
        ("30 */5 * * * *", datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)),
        ("0 13 * * *", datetime(2026, 11, 24, 13, 0, 0, tzinfo=UTC)),
        ("@hourly", datetime(2026, 11, 24, 13, 0, 0, tzinfo=UTC)),
        ("@every 1h30m", datetime(2026, 11, 24, 13, 30, 0, tzinfo=UTC)),
        ("0 0 0 29 FEB *", datetime(2028, 2, 29, 0, 0, 0, tzinfo=UTC)),
    ],
)
def test_cron_has_seconds_first_and_is_utc(text: str, next_one: datetime) -> None:
    assert cron(text).after(NOON) == next_one


def test_missed_moments_are_caught_up_one_by_one_or_only_the_latest() -> None:
    later = NOON + timedelta(seconds=35)
    assert every(10).due(NOON, later, catch_up=True) == NOON + timedelta(seconds=10)
    assert every(10).due(NOON, later, catch_up=False) == NOON + timedelta(seconds=30)
    assert cron("*/10 * * * * *").due(NOON, later, catch_up=False) == NOON + timedelta(seconds=30)
    assert every(60).due(NOON, later, catch_up=True) is None


def test_start_and_end_bound_the_schedule() -> None:
    start, end = (NOON + timedelta(hours=1)).isoformat(), (NOON + timedelta(hours=2)).isoformat()
    bounded = every(1800, start_time=start, end_time=end)
    seen, moment = [], NOON
    while (due := bounded.after(moment)) is not None:
        seen.append((due - NOON).total_seconds() / 60)
        moment = due
    assert seen == [60, 90, 120]
    assert cron("0 0 * * * *", start_time=start, end_time=end).after(NOON) == NOON + timedelta(hours=1)
    assert cron("0 0 * * * *", end_time=end).after(NOON + timedelta(hours=2)) is None


@pytest.mark.parametrize(
    "trigger",
    [
        {},
        {"cron_schedule": {"cron": ""}},
        {"cron_schedule": {"cron": "* * *"}},
        {"cron_schedule": {"cron": "99 * * * * *"}},
        {"cron_schedule": {"cron": "@sometimes"}},
        {"periodic_schedule": {"interval_second": "0"}},
        {"periodic_schedule": {"interval_second": "60", "start_time": "soon"}},
        {"periodic_schedule": {"interval_second": "60"}, "cron_schedule": {"cron": "0 * * * * *"}},
    ],
)
def test_trigger_that_makes_no_sense_is_refused(trigger: dict[str, Any]) -> None:
    with pytest.raises(ApiError):
        Schedule.parse(trigger)
