"""The monitoring as a recurring run."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from linnet.automation.monitoring_schedule import _remove, plan, watch_served
from linnet.config import Config, MonitoringConfig, RegistryConfig
from linnet.errors import RunError
from linnet.monitoring.window import last_closed, moment_of

SHAPE = '[data]\nheight = 8\nwidth = 8\ncolor = "gray"\n'
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def config(minutes: float = 60, lateness: float = 2) -> Config:
    return Config(
        name="tiny", monitoring=MonitoringConfig(window_minutes=minutes, allowed_lateness_minutes=lateness)
    )


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


def test_watch_is_found_on_any_page_of_the_host_s_list() -> None:
    """Only the first hundred were looked at: behind them it was made a second time, and never removed."""

    class Host:
        """The SDK's client over a list of recurring runs, in pages as an API gives them."""

        def __init__(self) -> None:
            self.names = [f"other {number}" for number in range(250)] + ["monitoring of tiny"]

        def list_recurring_runs(
            self, page_token: str = "", page_size: int = 10, experiment_id: str = ""
        ) -> SimpleNamespace:
            start = int(page_token or 0)
            stop = start + page_size
            part = [SimpleNamespace(recurring_run_id=n, display_name=n) for n in self.names[start:stop]]
            token = str(stop) if stop < len(self.names) else None
            return SimpleNamespace(recurring_runs=part, next_page_token=token)

        def delete_recurring_run(self, identity: str) -> None:
            self.names.remove(identity)

    host = Host()
    assert _remove(host, "e", "monitoring of tiny") and len(host.names) == 250
    assert not _remove(host, "e", "monitoring of tiny")


def test_model_that_cannot_be_watched_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five served models those behind it were never watched, and nobody was told of them."""
    monkeypatch.chdir(tmp_path)
    for name, minutes in (("a", 0.001), ("b", 60)):
        text = f'name = "{name}"\n{SHAPE}[monitoring]\nwindow_minutes = {minutes}\n'
        (tmp_path / f"{name}.toml").write_text(text)
    asked: list[str] = []

    class Client:
        def create_experiment(self, name: str) -> SimpleNamespace:
            asked.append(name)
            return SimpleNamespace(experiment_id=name)

        def list_recurring_runs(self, experiment_id: str, **_: object) -> SimpleNamespace:
            known = SimpleNamespace(recurring_run_id="1", display_name=f"monitoring of {experiment_id}")
            return SimpleNamespace(recurring_runs=[known], next_page_token=None)

    host = SimpleNamespace(url="", client=Client)
    monkeypatch.setattr("linnet.automation.monitoring_schedule.host_of", lambda _: host)
    watched, problems = watch_served(["a", "b"], "me")
    assert asked == ["a", "b"] and watched == []
    (problem,) = problems
    assert problem.startswith("windows of a are not judged") and "whole number of seconds" in problem


def test_windows_finer_than_a_second_are_refused() -> None:
    with pytest.raises(RunError, match="whole number of seconds"):
        plan(config(0.001), NOON)


def test_scheduled_time_is_read_as_the_engine_writes_it() -> None:
    from linnet.engine.recurring import _filled

    body = {"runtime_config": {"parameters": {"end": "[[ScheduledTime]]"}}}
    assert moment_of(_filled(body, NOON, 1)["runtime_config"]["parameters"]["end"]) == NOON
