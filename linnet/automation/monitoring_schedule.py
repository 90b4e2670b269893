"""The monitoring as a recurring run: one window after the other, without anybody."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from linnet.config import Config
from linnet.errors import LinnetError, RunError
from linnet.launch.client import Host, host_of, silence_sdk, translate_api_errors
from linnet.monitoring.window import last_closed
from linnet.records import RunRequest, now
from linnet.run.model_config import DEFAULTS, model_config
from linnet.storage.files import file_name, write_text
from linnet.storage.paths import state_dir

_PAGE = 100
"""Recurring runs of one experiment that are looked through."""


@dataclass(frozen=True, slots=True)
class Watch:
    """When the windows of a model are looked at."""

    name: str
    """Of the recurring run: it names the model, since several models may be of one use case."""
    every: timedelta
    first: datetime
    """When the window of now is closed."""


def plan(config: Config, at: datetime | None = None) -> Watch:
    """The watch of a config: a run whenever a window is closed, so that none is judged half or twice.

    Raises:
        RunError: the windows are no whole number of seconds, which is as fine as schedules are.
    """
    settings = config.monitoring
    every = timedelta(minutes=settings.window_minutes)
    if every % timedelta(seconds=1) or not every:
        raise RunError(
            f"monitoring.window_minutes: {settings.window_minutes:g} is not a whole number of seconds"
        )
    moment = at or now()
    _, end = last_closed(moment + every, settings)
    first = end + timedelta(minutes=settings.allowed_lateness_minutes)
    return Watch(f"monitoring of {config.model_name}", every, first)


def watch(config: Config, host: Host, actor: str) -> Watch:
    """Makes the recurring run on `host`, in the place of an earlier one.

    Of windows that passed while the host was stopped, or busy with an earlier one, only the newest is
    looked at: a verdict that comes too late helps nobody.

    Raises:
        RunError: the host refused it.
    """
    from linnet.automation.submission import compile_for

    planned = plan(config)
    _stopped(config.model_name).unlink(missing_ok=True)
    client = host.client()
    with tempfile.TemporaryDirectory() as scratch, silence_sdk(), translate_api_errors(host.url):
        package = compile_for(host, "monitoring", config, Path(scratch) / "monitoring.yaml")
        experiment = client.create_experiment(config.name).experiment_id
        _remove(client, experiment, planned.name)
        request = RunRequest(cause="schedule", actor=actor, reason="a window is closed")
        client.create_recurring_run(
            experiment, planned.name, interval_second=round(planned.every.total_seconds()),
            start_time=planned.first.isoformat(), max_concurrency=1, no_catchup=True,
            pipeline_package_path=str(package),
            params={"end": "[[ScheduledTime]]", "request": request.model_dump(mode="json")},
        )  # fmt: skip
    host.keep_alive()
    return planned


def unwatch(config: Config, host: Host) -> bool:
    """Removes the recurring run; whether there was one. Its runs stay.

    Raises:
        RunError: the host refused it.
    """
    write_text(_stopped(config.model_name), f"{now().isoformat()}\n")
    client = host.client()
    with silence_sdk(), translate_api_errors(host.url):
        experiment = client.create_experiment(config.name).experiment_id
        return _remove(client, experiment, plan(config).name)


def watch_served(models: Sequence[str], actor: str) -> tuple[list[str], list[str]]:
    """Watches the models that nobody watches yet, on this machine's engine.

    Left out are a model that a person stopped watching, one whose config sends runs to a cluster, and one
    that has no config here: nobody said how long its windows are.

    Returns:
        Those, and why each of the others cannot be watched: it hides no other.
    """
    watched, problems = [], []
    for model in models:
        try:
            if _watch_unwatched(model, actor):
                watched.append(model)
                if doubt := model_config(model).doubt:
                    problems.append(f"windows of {model}: {doubt}; `linnet drift watch CONFIG` takes another")
        except (LinnetError, OSError) as error:
            problems.append(f"windows of {model} are not judged by themselves: {error}")
    return watched, problems


def unwatched(model: str) -> str:
    """Why `linnet up` leaves the windows of a model that it serves unjudged; empty: it does not."""
    found, watch = model_config(model), f"`linnet drift watch --name {model}`"
    minutes = found.config.monitoring.window_minutes
    if found.origin == DEFAULTS:
        return (
            f"no config here is of the model {model}, and no run made it, so `linnet up` judges no window of "
            f"it: keep its config in configs/, or {watch} takes windows of {minutes:g} minutes"
        )
    if host := found.config.engine.host:
        sent = f"{found.origin} sends the runs of {model} to {host}"
        return f"{sent}: its windows are judged there once {watch} was given"
    if _stopped(model).exists():
        return f"`linnet drift watch --stop` ended the watch of {model}; {watch} begins it"
    return ""


def _watch_unwatched(model: str, actor: str) -> bool:
    """Watches a model if nobody does yet; whether it did.

    Raises:
        RunError: the engine refused it.
    """
    if unwatched(model):
        return False
    found = model_config(model)
    host = host_of(found.config.engine)
    client = host.client()
    with silence_sdk(), translate_api_errors(host.url):
        experiment = client.create_experiment(found.config.name).experiment_id
        known = _ours(client, experiment, plan(found.config).name)
    if known:
        return False
    watch(found.config, host, actor)
    return True


def _stopped(model: str) -> Path:
    """Says that a person wants a model not to be watched."""
    return state_dir() / "monitoring" / file_name(model) / "not-watched"


def _ours(client: Any, experiment: str, name: str) -> list[str]:
    ours, token = [], ""
    while True:  # page by page: one that is not found would be watched a second time
        page = client.list_recurring_runs(page_size=_PAGE, page_token=token, experiment_id=experiment)
        found = page.recurring_runs or []
        ours += [recurring.recurring_run_id for recurring in found if recurring.display_name == name]
        token = page.next_page_token or ""
        if not token:
            return ours


def _remove(client: Any, experiment: str, name: str) -> bool:
    ours = _ours(client, experiment, name)
    for identity in ours:
        client.delete_recurring_run(identity)
    return bool(ours)
