"""Policy, registry, log, ledger and engine, all real: from a drifted window to a run and its end."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from linnet.artifacts.windows import kept_windows
from linnet.automation.metrics import exposition
from linnet.automation.monitoring_schedule import unwatch, watch
from linnet.automation.retraining import submit_for_model
from linnet.config import Config, DataConfig, MonitoringConfig, RegistryConfig, RetrainingConfig
from linnet.errors import RetrainingError
from linnet.labels.table import LabelRow, LabelTable
from linnet.launch.client import Host, local_engine, silence_sdk, stop_engine
from linnet.monitoring.history import history_folder, keep
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.performance import measure_performance
from linnet.records import RunRecord, RunRequest, SkewReport
from linnet.retraining.known_models import known_models
from linnet.retraining.ledger import RetrainingLedger
from linnet.retraining.webhook import webhook_token
from linnet.retraining.wiring import decide_for_model, evidence_of, keep_recent, trigger_of_model
from linnet.run import ending, runs
from linnet.storage.paths import prediction_log_dir, state_dir
from linnet.vision.decode import sample_id
from tests.monitoring.conftest import Serve, pictures, window_of
from tests.monitoring.test_recent import give_labels
from tests.serving.packages import CLASSES

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own
POLICY = RetrainingConfig(windows=1, violations=1, min_new_labels=100, run_cost=3.0, breaker_failures=1)
LABELLED = 300


@pytest.fixture
def drifted(registered: Path, serve: Serve, tmp_path: Path) -> Config:
    """A champion that a run here trained, and a window of dark images that it names wrongly."""
    config = Config(name="tiny", data=DataConfig(location=str(tmp_path / "nowhere")), retraining=POLICY)
    person = RunRequest(cause="person", actor="ada")
    broken = config.model_copy(update={"data": DataConfig(location="a config that never worked")})
    for one, worked in ((config, True), (broken, False)):
        values = {**one.values(), "retraining": POLICY.values()}
        _, folder = runs.create("training", values, person)
        ending.finish(folder, worked)
        time.sleep(1.0 * worked)  # runs of one second have no order
    log = serve(pictures(400, 3) // 3)
    give_labels(log, {f"r{k}": CLASSES[-1] for k in range(LABELLED)})
    state_dir().joinpath("serving").mkdir(parents=True)
    prediction_log_dir().symlink_to(log)
    settings, window = MonitoringConfig(), tmp_path / "window"
    about = window_of(log, window)
    drift = measure_drift(window, registered, settings, (), tmp_path / "drift")
    measure_performance(window, registered, log, drift, settings, tmp_path / "performance")
    keep(about, window, tmp_path / "drift", tmp_path / "performance")
    return config


@pytest.fixture
def engine() -> Iterator[Host]:
    yield local_engine(Config(name="tiny").engine, until_idle=False)
    stop_engine()


def plant_another_library() -> None:
    """An audit of the window in which no value differed, but the server ran with another numpy."""
    (folder,) = history_folder("tiny", "1").iterdir()
    counts = dict.fromkeys(("rows", "compared", "by_store", "by_pixels"), 400)
    SkewReport(
        verdict="fail", **counts, unknown=0, differences=0, by_name={}, examples=(),
        libraries=("numpy 1.0 served 400 rows, but the package was proved with 2.0",),
    ).save(folder / "skew.json")  # fmt: skip


def kinds() -> list[str]:
    return [entry.kind for entry in RetrainingLedger("tiny").entries()]


@pytest.mark.slow
def test_drift_becomes_one_run_on_the_recent_window_and_its_end_is_learnt(
    drifted: Config, engine: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = evidence_of(drifted)
    assert (evidence.new_labels, evidence.champion, evidence.rollout_active) == (LABELLED, "1", False)
    decision = decide_for_model("tiny", {}, POLICY.values())
    assert decision.request and decision.cause == "drift", decision.reason
    until = time.monotonic() + 60
    while len(kinds()) < 3 and time.monotonic() < until:  # the engine submits what the step asked for
        time.sleep(0.1)
    assert kinds() == ["decision", "asked", "submitted"]
    assert submit_for_model("tiny") == {} and len(kinds()) == 3, "once"
    ledger = RetrainingLedger("tiny")
    ledger.refresh()
    (asked,) = ledger.runs
    assert asked.submitted is not None and asked.asked.before is not None
    run = runs.find(asked.submitted.run_id)
    record = RunRecord.load(run / "run.json")
    assert record.request.cause == "drift" and record.request.evidence["key"] == asked.key
    assert Path(record.request.evidence["drift_report"]).exists()
    recent = Path(record.config["data"]["extra_window"])
    assert len(list((recent / "images").iterdir())) == LABELLED

    trigger = trigger_of_model("tiny", POLICY)
    assert trigger.runs.find(asked.key) == run.name and trigger.runs.find("another") is None
    until = time.monotonic() + 120
    while (end := trigger.runs.end(run.name)) is None:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert end.state == "failed" and "nowhere" in end.reason, "its dataset is not there"
    assert not decide_for_model("tiny", {}, POLICY.values()).request, "the cool-down, and the breaker"
    assert kinds()[3:] == ["ended", "decision"]

    plant_another_library()
    _check_engine_side(engine.url)
    _check_watch(engine)
    with monkeypatch.context() as patch:
        _check_registry_elsewhere(patch, tmp_path / "other")


def _check_engine_side(url: str) -> None:
    """The engine's own application tells of it, and takes Alertmanager's word for a question."""
    told = httpx.get(f"{url}/retraining/metrics").text
    assert 'linnet_drift_violation{model="tiny",version="1"} 1.0' in told
    assert 'linnet_skew_differences{model="tiny",version="1"} 1.0' in told, "another library is skew too"
    assert 'linnet_retraining_breaker_open{model="tiny"} 1.0' in told, "as this model's config says"
    labels = {"alertname": "LinnetDrift", "model": "tiny", "retraining": "consider"}
    alert = {"status": "firing", "labels": labels}
    unknown = {"status": "firing", "labels": {**labels, "model": "unheard-of"}}
    headers = {"Authorization": f"Bearer {webhook_token()}"}

    def notify(headers: dict[str, str], *alerts: object) -> httpx.Response:
        return httpx.post(f"{url}/retraining/alerts", json={"alerts": alerts}, headers=headers, timeout=150)

    assert notify({}, alert).status_code == 401
    (decision,) = notify(headers, alert, alert).json()["decisions"]
    assert decision["model"] == "tiny" and not decision["request"] and "refused" in decision["reason"]
    assert kinds()[-1] == "decision", "a refusal stands in the ledger too"
    refused = notify(headers, unknown)
    assert refused.status_code == 503 and "never trained here" in refused.text


def _check_watch(host: Host) -> None:
    """A watch replaces an earlier one, is given the window's moment by the schedule, and ends."""
    client = host.client()
    for minutes in (60, 30):
        monitoring = MonitoringConfig(window_minutes=minutes)
        watch(Config(name="tiny", monitoring=monitoring), host, "ada")
    with silence_sdk():
        (found,) = client.list_recurring_runs().recurring_runs
    assert found.display_name == "monitoring of tiny"
    assert found.trigger.periodic_schedule.interval_second == "1800"
    parameters = found.runtime_config.parameters
    assert parameters["end"] == "[[ScheduledTime]]" and parameters["request"]["actor"] == "ada"
    assert unwatch(Config(name="tiny"), host) and not unwatch(Config(name="tiny"), host)
    with silence_sdk():
        assert not client.list_recurring_runs().recurring_runs


def _check_registry_elsewhere(monkeypatch: pytest.MonkeyPatch, other: Path) -> None:
    """A model is shown whose registry is not this state folder's, where nothing is champion."""
    (known,) = known_models()
    (other / "mlflow").mkdir(parents=True)
    for database in (other / "elsewhere.db", other / "mlflow" / "mlflow.db"):
        shutil.copy(state_dir() / "mlflow" / "mlflow.db", database)
    with closing(sqlite3.connect(database)) as here:
        here.execute("DELETE FROM registered_model_aliases")
        here.commit()
    monkeypatch.setenv("LINNET_HOME", str(other))
    elsewhere = replace(known, registry=RegistryConfig(tracking_uri=f"sqlite:///{other}/elsewhere.db"))
    series = 'linnet_champion_created_seconds{model="tiny",version="1"}'
    assert series in exposition([elsewhere]).decode() and series not in exposition([known]).decode()


def test_answers_about_served_images_are_kept_for_the_run_that_their_round_causes(
    registered: Path, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No feedback came: people were asked in a labelling round, and it is complete."""
    config = Config(name="tiny", data=DataConfig(location=str(tmp_path / "nowhere")))
    assert keep_recent(config) is None, "nothing was served"
    images = pictures(12, 3)
    state_dir().joinpath("serving").mkdir(parents=True)
    prediction_log_dir().symlink_to(serve(images))
    asked = [sample_id(image) for image in images[:9]] + ["f" * 32]  # the last is of the dataset
    said = {"label": CLASSES[2], "annotator": "ada", "labelled_at": datetime.now(UTC)}
    LabelTable("tiny").append(LabelRow(sample_id=key, **said) for key in asked)
    LabelTable("tiny").append([LabelRow(sample_id=sample_id(images[9]), **{**said, "label": "zebra"})])
    assert evidence_of(config).new_labels == 9
    window = keep_recent(config)
    assert window is not None and len(list((window / "images").iterdir())) == 9
    assert [one.folder for one in kept_windows("tiny")] == [window], "and every later run takes it in"
    assert "the labelled window of tiny: 1 label(s) are no class of the model" in caplog.text


def test_model_that_was_never_trained_here_is_refused() -> None:
    with pytest.raises(RetrainingError, match="never trained here"):
        decide_for_model("tiny", {}, {})
