"""The monitoring as a recurring run."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from linnet.automation.monitoring_schedule import _remove, _stopped, plan, unwatched, watch_served
from linnet.config import Config, MonitoringConfig, RegistryConfig, RetrainingConfig, ServiceLevelsConfig
from linnet.console.alerts import ProductionState, alerts
from linnet.console.sources import ServerStatus
from linnet.errors import RunError
from linnet.monitoring.diagnose import diagnose
from linnet.monitoring.symptoms import Places, gather
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


def test_model_whose_windows_nobody_judges_says_why_and_what_to_do(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`linnet diagnose` and the console said that nothing was measured, and not that nobody would."""
    del state
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    assert watch_served(["hand-made"], "me") == ([], [])
    assert unwatched("hand-made").startswith("no config here is of the model hand-made, and no run made it")
    assert "`linnet drift watch --name hand-made`" in unwatched("hand-made")
    (tmp_path / "configs" / "a.toml").write_text(f'name = "a"\n{SHAPE}')
    assert unwatched("a") == ""
    _stopped("a").parent.mkdir(parents=True)
    _stopped("a").touch()
    assert "`linnet drift watch --stop` ended the watch of a" in unwatched("a")
    (tmp_path / "configs" / "a.toml").write_text(
        f'name = "a"\n{SHAPE}[engine]\nhost = "http://kfp.example"\n'
    )
    assert "sends the runs of a to http://kfp.example" in unwatched("a")
    places = Places(
        model="hand-made", champion="1", server_state=tmp_path / "none", log=tmp_path / "none",
        windows=tmp_path / "none", disk=tmp_path, unwatched=unwatched("hand-made"),
    )  # fmt: skip
    unknown = diagnose(gather(places), ServiceLevelsConfig(), RetrainingConfig()).unknown
    assert any(one.startswith("drift: no config here is of the model hand-made") for one in unknown)
    known = ProductionState(at=NOON, champion=None, served=ServerStatus(), unwatched=unwatched("hand-made"))
    told = {one.name: one.summary for one in alerts(known, ServiceLevelsConfig(), RetrainingConfig())}
    assert told["Input drift"] == told["Monitoring's age"] == unwatched("hand-made")
