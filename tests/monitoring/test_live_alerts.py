"""Real Prometheus and Alertmanager over the real server: who is told what, and who is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn
from fastapi import FastAPI

from linnet.alerting.files import AlertedModel, alert_files, write_alert_files
from linnet.alerting.receivers import TOKEN_FILE
from linnet.config import RetrainingConfig, ServiceLevelsConfig
from linnet.errors import RequestRejected
from linnet.retraining.ledger import RetrainingLedger
from linnet.retraining.submission import submit_asked
from linnet.retraining.trigger import Trigger
from linnet.retraining.webhook import retraining_router
from linnet.serving.client import ServerClient
from tests.doubles.training_runs import RunsInMemory
from tests.monitoring.debian import program
from tests.monitoring.programs import Receiver, free_port, get, wait_for, watched
from tests.retraining.evidence import evidence
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, png, running
from tests.serving.test_several_models import models_flags

BREAKS = png(2)
"""An image that the `raising` package fails on, and the good one answers."""
FAST = "LinnetAvailabilityBurn14_4x"


@contextmanager
def monitor(folder: Path, runs: RunsInMemory, port: int, token: str) -> Iterator[None]:
    """The retraining router on a real port; its metrics say that the newest window violates."""
    ledger = RetrainingLedger("tiny", folder)
    trigger = Trigger(ledger, runs, RetrainingConfig(), evidence)
    text = b'linnet_drift_violation{model="tiny",version="1"} 1\n'
    app = FastAPI()
    app.include_router(retraining_router(token, lambda _: trigger, lambda: text))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ended = threading.Event()

    def submitting() -> None:
        while not ended.wait(0.5):
            submit_asked(RetrainingLedger("tiny", folder), runs, runs.submit)

    submitter = threading.Thread(target=submitting, daemon=True)
    submitter.start()
    try:
        yield
    finally:
        ended.set()
        submitter.join()
        server.should_exit = True
        thread.join()


def ask(server: RunningServer, image: bytes, times: int) -> int:
    """Sends requests; how many failed."""
    failed = 0
    for _ in range(times):
        try:
            server.client.predict(image)
        except RequestRejected as error:
            assert error.status == 500
            failed += 1
    return failed


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_outage_pages_rollout_is_silenced_and_drift_reaches_the_policy(tmp_path: Path) -> None:
    program("prometheus", "prometheus")
    good, bad = make_package(tmp_path / "good"), make_package(tmp_path / "bad", broken="raising")
    runs, token = RunsInMemory(), "a-token"
    alertmanager, prometheus, retraining = free_port(), free_port(), free_port()
    with (
        closing(Receiver()) as pages,
        running(tmp_path / "server", good, "1", "--name", "tiny") as server,
        monitor(tmp_path / "ledger", runs, retraining, token),
    ):
        levels = ServiceLevelsConfig(
            page_webhook=pages.url, retraining_webhook=f"http://127.0.0.1:{retraining}/retraining/alerts"
        )
        target, here = server.state.url.removeprefix("http://"), f"127.0.0.1:{alertmanager}"
        files = alert_files({"tiny": AlertedModel(levels, (target,))}, f"127.0.0.1:{retraining}", "1s", here)
        write_alert_files(files, tmp_path)
        (tmp_path / "alertmanager" / TOKEN_FILE).write_text(token)

        def alerts(name: str) -> list[dict[str, Any]]:
            known = get(f"http://{here}/api/v2/alerts")
            return [alert for alert in known if alert["labels"]["alertname"] == name]

        with watched(tmp_path, alertmanager, prometheus):
            # A candidate that fails while it is rolled out: seen, and kept from waking anybody.
            ask(server, png(200), 20)
            server.client.load("2", bad)
            server.client.set_routes("1", "2", 50)
            wait_for("the rollout is known", lambda: alerts("LinnetRollout"))
            assert 5 <= ask(server, BREAKS, 60) <= 55
            (silenced,) = wait_for("the candidate's burn is known", lambda: alerts(FAST))
            assert silenced["labels"]["version"] == "2"
            assert silenced["status"]["state"] == "suppressed" and silenced["status"]["inhibitedBy"]
            assert pages.received == []

            # The same version as champion: the same failures are an outage.
            server.client.set_routes("2")
            wait_for("the rollout is over", lambda: not alerts("LinnetRollout"))
            assert ask(server, BREAKS, 40) == 40
            page = wait_for("the outage pages", lambda: pages.firing(FAST))[0]
            assert page["labels"]["version"] == "2" and page["labels"]["severity"] == "page"
            assert page["annotations"]["runbook_url"] == "docs/runbooks/availability.md"

            # Drift goes to the policy, with the token; it asks for one run.
            wait_for("the policy was asked", lambda: runs.submitted)
            (request,) = runs.submitted.values()
            assert request.actor == "alertmanager: LinnetDrift" and request.cause == "drift"

            server.stop()
            wait_for("the dead server pages", lambda: pages.firing("LinnetDown"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_outage_of_one_model_counts_and_pages_nothing_of_another_on_the_same_server(tmp_path: Path) -> None:
    program("prometheus", "prometheus")
    make_package(tmp_path / "good", name="tiny")
    make_package(tmp_path / "bad", name="faces", broken="raising")
    flags = models_flags(
        {"name": "tiny", "version": "1", "package": tmp_path / "good"},
        {"name": "faces", "version": "1", "package": tmp_path / "bad"},
    )
    alertmanager, prometheus = free_port(), free_port()
    with (
        closing(Receiver()) as pages_of_tiny,
        closing(Receiver()) as pages_of_faces,
        running(tmp_path / "server", None, "", *flags, "--workers", "1") as server,
    ):
        target = server.state.url.removeprefix("http://")
        models = {
            "tiny": AlertedModel(ServiceLevelsConfig(page_webhook=pages_of_tiny.url), (target,)),
            "faces": AlertedModel(ServiceLevelsConfig(page_webhook=pages_of_faces.url), (target,)),
        }
        files = alert_files(models, f"127.0.0.1:{free_port()}", "1s", f"127.0.0.1:{alertmanager}")
        write_alert_files(files, tmp_path)
        (tmp_path / "alertmanager" / TOKEN_FILE).write_text("secret")
        with watched(tmp_path, alertmanager, prometheus):
            url = f"http://127.0.0.1:{prometheus}/api/v1/query?query="

            def counted() -> dict[str, float]:
                """Requests by model, over all that Prometheus scrapes."""
                found = get(url + quote("sum by (model) (linnet_requests_total)"))["data"]["result"]
                return {one["metric"]["model"]: float(one["value"][1]) for one in found}

            wait_for("both are scraped", lambda: set(counted()) == {"tiny", "faces"})
            for model in models:
                client = ServerClient(server.state.url, model=model)
                for _ in range(40):
                    client.request("POST", f"/predict/{model}", BREAKS)
            wait_for("no request is counted twice", lambda: counted() == {"tiny": 40, "faces": 40})
            page = wait_for("the outage pages", lambda: pages_of_faces.firing(FAST))[0]
            assert page["labels"]["model"] == "faces"
            known = get(f"http://127.0.0.1:{alertmanager}/api/v2/alerts")
            burning = {
                alert["labels"]["model"]
                for alert in known
                if "slo" in alert["labels"] or "burn" in alert["labels"]
            }
            assert burning == {"faces"} and pages_of_tiny.received == []
