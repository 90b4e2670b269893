"""When a recurring run is due: pure, times in and times out.

A cron expression has six fields, seconds first, as KFP's (github.com/robfig/cron), or the usual five;
`@every 1h30m` and the names `@hourly` to `@yearly` work too. Times are UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from croniter import CroniterError, croniter

from linnet.engine.api_errors import ApiError
from linnet.records import utc_time

_EVERY = re.compile(r"@every\s+((?:\d+(?:\.\d+)?[hms])+)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_NAMES = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_MOST_SKIPPED = 100_000
"""Moments that one look skips at most; the next look skips on."""


@dataclass(frozen=True)
class Schedule:
    """When something recurs: by a cron expression, or every so many seconds."""

    cron: str = ""
    interval: float = 0.0
    """Seconds."""
    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def parse(cls, trigger: dict[str, Any]) -> Schedule:
        """Reads a `Trigger` of KFP's API.

        Raises:
            ApiError: it is not one, or its cron expression cannot be read.
        """
        cron, periodic = trigger.get("cron_schedule"), trigger.get("periodic_schedule")
        if bool(cron) == bool(periodic):
            raise ApiError("INVALID_ARGUMENT", "trigger: needs either cron_schedule or periodic_schedule")
        about = cron or periodic or {}
        start, end = (_time(about.get(name), name) for name in ("start_time", "end_time"))
        if periodic:
            interval = float(periodic.get("interval_second") or 0)
        elif match := _EVERY.fullmatch(str(about.get("cron", "")).strip()):
            interval = sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([\d.]+)([hms])", match[1]))
        else:
            return cls(_checked(str(about.get("cron", ""))), 0.0, start, end)
        if interval < 1:
            raise ApiError(
                "INVALID_ARGUMENT", f"trigger: an interval must be at least 1 second, not {interval:g}"
            )
        return cls("", interval, start, end)

    def after(self, moment: datetime) -> datetime | None:
        """The first time after `moment` at which it is due; None: never again."""
        if self.cron:
            base = max(moment, self.start - timedelta(seconds=1)) if self.start else moment
            due: datetime = croniter(self.cron, base, second_at_beginning=True).get_next(datetime)
        elif self.start and moment < self.start:
            due = self.start
        elif self.start:
            passed = (moment - self.start).total_seconds() // self.interval
            due = self.start + timedelta(seconds=(passed + 1) * self.interval)
        else:
            due = moment + timedelta(seconds=self.interval)
        return None if self.end and due > self.end else due

    def due(self, last: datetime, moment: datetime, catch_up: bool) -> datetime | None:
        """The time for which a run should be made now, or None.

        Args:
            last: the time that the last run was for; before the first run, when the schedule was made.
            moment: the present.
            catch_up: whether every time that was missed gets its run, or only the latest.
        """
        found = self.after(last)
        if found is None or found > moment:
            return None
        for _ in range(0 if catch_up else _MOST_SKIPPED):
            later = self.after(found)
            if later is None or later > moment:
                break
            found = later
        return found


def _checked(cron: str) -> str:
    expression = _NAMES.get(cron.strip(), cron.strip()).replace("?", "*")
    fields = expression.split()
    try:
        if len(fields) not in (5, 6):
            raise ValueError("it has six fields (seconds first), or five")
        expression = expression if len(fields) == 6 else f"0 {expression}"
        croniter(expression, datetime.now(UTC), second_at_beginning=True).get_next(datetime)
    except (CroniterError, ValueError, KeyError) as error:
        raise ApiError("INVALID_ARGUMENT", f"cron expression {cron!r} cannot be read: {error}") from error
    return expression


def _time(text: Any, name: str) -> datetime | None:
    if not text:
        return None
    try:
        return utc_time(str(text))
    except ValueError as error:
        raise ApiError("INVALID_ARGUMENT", f"trigger: {name}: {text!r} is not a time of RFC 3339") from error
