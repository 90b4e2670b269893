"""Recurring runs: made, kept, and turned into runs when they are due."""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from typing import Any

from linnet.engine.api_errors import ApiError
from linnet.engine.listing import timestamp
from linnet.engine.schedule import Schedule
from linnet.engine.security import Caller
from linnet.engine.store import Resource, ResourceStore
from linnet.engine.submission import Submissions
from linnet.engine.supervisor import ACTIVE
from linnet.errors import RunError
from linnet.records import now

_MACRO = re.compile(r"\[\[([^\[\]]*)\]\]")
_SHOWN = ("description", "no_catchup", "runtime_config", "pipeline_spec", "pipeline_version_reference")
MOST_AT_ONCE = 10
"""KFP's own bound on max_concurrency."""


class Recurring:
    """The recurring runs of an engine."""

    def __init__(self, store: ResourceStore, submissions: Submissions) -> None:
        self._store, self._submissions = store, submissions

    def create(self, body: dict[str, Any], caller: Caller = "guest") -> Resource:
        """A new recurring run, whose pipeline and parameters are checked now and not at three in the morning.

        Raises:
            ApiError: it could never run.
        """
        Schedule.parse(body.get("trigger") or {})
        most = int(body.get("max_concurrency") or 1)
        if not 1 <= most <= MOST_AT_ONCE:
            raise ApiError("INVALID_ARGUMENT", f"max_concurrency: must be 1 to {MOST_AT_ONCE}, not {most}")
        self._submissions.check(_filled(body, now(), 1), caller)
        created, enabled = timestamp(now()), body.get("mode", "ENABLE") != "DISABLE"
        identity = str(uuid.uuid4())
        shown = {
            **{name: body[name] for name in _SHOWN if body.get(name) is not None},
            "recurring_run_id": identity,
            "display_name": body.get("display_name") or identity,
            "experiment_id": body.get("experiment_id") or "",
            "trigger": body["trigger"],
            "max_concurrency": str(most),
            "mode": "ENABLE" if enabled else "DISABLE",
            "status": "ENABLED" if enabled else "DISABLED",
            "created_at": created,
            "updated_at": created,
        }
        return self._store.add("recurring", identity, shown, {"last": created, "index": 0, "caller": caller})

    def switch(self, identity: str, on: bool) -> None:
        """Enables or disables a recurring run; what was missed is caught up, unless `no_catchup`."""
        mode, status = ("ENABLE", "ENABLED") if on else ("DISABLE", "DISABLED")
        self._store.change(
            "recurring", identity, {"mode": mode, "status": status, "updated_at": timestamp(now())}
        )

    def tick(self, moment: datetime | None = None) -> None:
        """Makes the runs that are due.

        Raises:
            RunError: some could not be made; all others were.
        """
        problems = []
        for recurring in self._store.where("recurring", status="ENABLED"):
            try:
                while self._make_one(self._store.get("recurring", recurring.id), moment or now()):
                    pass
            except Exception as error:  # noqa: BLE001  one's trouble must not stop the others
                problems.append(f"the recurring run {recurring.id}: {error}")
        if problems:
            raise RunError("; ".join(problems))

    def _make_one(self, recurring: Resource, moment: datetime) -> bool:
        """Makes the next run of a recurring run, if it is due and there is room; whether it did."""
        body = recurring.body
        schedule = Schedule.parse(body["trigger"])
        last = datetime.fromisoformat(recurring.hidden["last"])
        due = schedule.due(last, moment, catch_up=not body.get("no_catchup", False))
        active = self._store.where("run", recurring_run_id=recurring.id, state=["PENDING", *ACTIVE])
        if due is None or len(active) >= int(body["max_concurrency"]):
            return False
        index = int(recurring.hidden["index"]) + 1
        error = None
        try:
            # The key makes a kill between the two steps harmless: the same moment has the same run.
            run = _filled(body, due, index)
            key = f"recurring/{recurring.id}/{timestamp(due)}"
            caller = recurring.hidden.get("caller", "guest")  # an older engine did not ask
            self._submissions.submit(run, key=key, actor="schedule", caller=caller)
        except ApiError as refusal:
            if refusal.reason == "RESOURCE_EXHAUSTED":
                return False
            error = {"code": 2, "message": refusal.problem}
        self._store.change(
            "recurring", recurring.id, {"error": error}, {"last": timestamp(due), "index": index}
        )
        return True


def _filled(body: dict[str, Any], due: datetime, index: int) -> dict[str, Any]:
    """The run for a moment, with KFP's macros in its parameters replaced."""
    config = dict(body.get("runtime_config") or {})
    values = {"ScheduledTime": due, "CurrentTime": now(), "Index": index}

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return _MACRO.sub(lambda found: _macro(found[1], values), value)
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        return [fill(item) for item in value] if isinstance(value, list) else value

    config["parameters"] = fill(config.get("parameters") or {})
    kept = (
        "experiment_id",
        "pipeline_spec",
        "pipeline_version_reference",
        "pipeline_version_id",
        "service_account",
    )
    return {
        **{name: body[name] for name in kept if body.get(name)},
        "display_name": f"{body.get('display_name', '')} {due:%Y-%m-%d %H-%M-%S}".strip(),
        "runtime_config": config,
        "recurring_run_id": body.get("recurring_run_id"),
        "scheduled_at": timestamp(due),
    }


def _macro(name: str, values: dict[str, Any]) -> str:
    if name not in values:
        known = ", ".join(f"[[{known}]]" for known in values)
        raise ApiError("INVALID_ARGUMENT", f"the macro [[{name}]] is not known here (there are {known})")
    value = values[name]
    return f"{value:%Y%m%d%H%M%S}" if isinstance(value, datetime) else str(value)
