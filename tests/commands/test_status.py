"""`linnet status` says whether all is well, with the server up and down; the unmeasured is never well."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from linnet.cli import app
from linnet.config import MonitoringConfig
from linnet.console.health import _refused, overall
from linnet.console.production_status import REFUSED
from linnet.features.skew import audit_window
from linnet.labels.store import database
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.performance import measure_performance
from linnet.monitoring.publish import publish
from linnet.monitoring.window import write_window
from linnet.records import SkewReport
from linnet.records.refused import RefusedRequest
from linnet.storage.paths import prediction_log_dir, server_state_file
from tests.monitoring import conftest as monitored
from tests.monitoring.conftest import Serve, pictures, truth
from tests.serving.packages import CLASSES
from tests.serving.running import running

champion, registered, serve = monitored.champion, monitored.registered, monitored.serve
pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own
Status = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Status:
    """`status(...)`: exit status and JSON of `linnet status`, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def ask(*words: str) -> tuple[int, dict[str, Any]]:
        done = CliRunner().invoke(app, ["status", "--json", *words])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return done.exit_code, json.loads(done.stdout)

    return ask


def lines(told: dict[str, Any]) -> dict[str, tuple[str, str]]:
    ((model),) = told["models"]
    return {line["what"]: (line["state"], line["words"]) for line in model["lines"]}


def test_worst_state_decides() -> None:
    assert overall(["well", "info"]) == "well" == overall([])
    assert overall(["well", "unknown"]) == "unknown"
    assert overall(["unknown", "not well", "info"]) == "not well"


def test_more_refused_requests_than_are_read_are_not_told_as_all() -> None:
    one = RefusedRequest(
        request_id="r", at=datetime.now(UTC), model="m", status=415, reason="type", problem="no image",
        method="POST", path="/predict", headers={}, size=0, kept=False,
    )  # fmt: skip
    for count, words in ((REFUSED, f"at least {REFUSED} are kept"), (2, "2 are kept")):
        found: Any = SimpleNamespace(refused=(one,) * count)
        assert _refused(found).words.startswith(words)


def test_without_any_model_nothing_is_known(status: Status) -> None:
    code, told = status()
    assert (code, told["state"], told["models"]) == (7, "unknown", [])


def test_server_that_is_down_is_not_well_and_is_told(registered: Path, status: Status) -> None:
    del registered
    code, told = status()
    assert code == 1 and told["state"] == "not well"
    found = lines(told)
    assert found["Server"] == ("not well", "No server runs: `linnet up` starts it.")
    assert found["Champion is served"][0] == "unknown", "quiet is impossible while no server runs"
    assert found["Input drift"][0] == "unknown" == found["Live accuracy"][0]
    assert "version 1" in found["Champion"][1] and "not asked" in found["Retraining policy"][1]
    shown = CliRunner().invoke(app, ["status"], env={"COLUMNS": "200"})
    assert shown.stdout.startswith("NOT WELL") and "see the runbook down" in shown.stdout
    assert "engine: not running" in shown.stdout


def test_labels_that_cannot_be_read_are_unknown(registered: Path, status: Status) -> None:
    """`nobody was asked yet` was said of a damaged file of answers."""
    del registered
    database("tiny").parent.mkdir(parents=True)
    database("tiny").write_bytes(b"no database" * 1000)
    assert lines(status()[1])["Labels"][0] == "unknown"


def test_all_is_well_only_when_all_was_measured(
    registered: Path, serve: Serve, status: Status, state: Path, tmp_path: Path
) -> None:
    """A server, its traffic, a window, labels and an audit: without the last three it is unknown."""
    images = pictures(400, 3)
    log = serve(images)
    prediction_log_dir().parent.mkdir(parents=True)
    log.rename(prediction_log_dir())
    with running(
        tmp_path / "server", registered, "1", "--name", "tiny", "--config-json", '{"workers": 1}'
    ) as s:
        server_state_file().symlink_to(s.state_file)
        code, told = status()
        found = lines(told)
        assert (code, told["state"]) == (7, "unknown") and found["Server"] == ("well", "it answers")
        assert "400 requests" in found["Traffic"][1]
        labels = [
            {"request_id": f"r{n}", "label": CLASSES[k], "model": "tiny", "at": datetime.now(UTC).isoformat()}
            for n, k in enumerate(truth(images))
        ]
        text = "".join(json.dumps(label) + "\n" for label in labels)
        (prediction_log_dir() / "feedback-1.jsonl").write_text(text)
        judge(registered, tmp_path)
        code, told = status()
        assert (code, told["state"]) == (0, "well"), lines(told)
    del state


def judge(package: Path, scratch: Path) -> None:
    """The last hour as the monitoring pipeline judges it; the audit compares the images that were kept."""
    log, config, end = prediction_log_dir(), MonitoringConfig(), datetime.now(UTC) + timedelta(seconds=1)
    window, out = scratch / "window", scratch / "out"
    write_window(log, "tiny", "1", end - timedelta(hours=1), end, config, window, all_images=True)
    drift = measure_drift(window, package, config, [], out)
    measure_performance(window, package, log, drift, config, out)
    found = audit_window(window, package, "tiny", out, False, False, None)
    assert isinstance(found, SkewReport) and not found.differences
    found.save(out / "skew.json")
    publish(window, package, [out], out)
