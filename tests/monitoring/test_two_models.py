"""Two models in one log, with versions, requests and pictures of one name: none sees rows of the other."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from linnet.config import MonitoringConfig, RetrainingConfig
from linnet.console.prediction_log import PredictionLogReader
from linnet.monitoring.log_reader import read_served
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.performance import measure_performance
from linnet.monitoring.recent import labelled_window
from linnet.monitoring.symptoms import Places, gather
from linnet.monitoring.window import write_window
from linnet.retraining.ledger import RetrainingLedger
from linnet.retraining.trigger import Trigger
from linnet.retraining.webhook import retraining_router
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Prediction, Predictor
from linnet.tasks.answer import answer_of
from tests.doubles.training_runs import RunsInMemory
from tests.monitoring.conftest import pictures, truth
from tests.retraining.evidence import evidence
from tests.serving.packages import CLASSES

ANSWER = answer_of("classification", CLASSES)

COUNTS = {"healthy": 600, "drifted": 500}


@pytest.fixture(scope="module")
def log(champion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both answered: drifted only saw dark pictures, failed five times, and is labelled wrongly."""
    folder = tmp_path_factory.mktemp("two") / "log"
    predictor = Predictor.load("1", champion, 1)
    images = {"healthy": pictures(600, 7), "drifted": pictures(500, 8, 20, 60)}
    writer = PredictionLog(folder, 1_000_000, 1.0)
    writer.start()
    for model, seen in images.items():
        said = predictor.predict(seen, None)
        for number in range(len(seen)):
            rows = slice(number, number + 1)
            one = Prediction(said.images[rows], said.features[rows], said.output[rows], said.embedding[rows])
            writer.offer(LogEntry(f"r{number}", time.time(), model, "1", ANSWER, 1.5, one, None))
    for number in range(5):
        writer.offer(LogEntry(f"f{number}", time.time(), "drifted", "1", ANSWER, 1.5, None, "broken"))
    writer.close()
    rows = []
    for model, wrong in (("healthy", 0), ("drifted", 1)):
        labels = (truth(images[model]) + wrong) % len(CLASSES)
        rows += [
            {"model": model, "request_id": f"r{n}", "label": CLASSES[k], "at": datetime.now(UTC).isoformat()}
            for n, k in enumerate(labels)
        ]
    (folder / "feedback-1.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def of(model: str, log: Path, champion: Path, out: Path) -> tuple[str, int, float]:
    """Verdict, labels and accuracy of a model's window."""
    end, config = datetime.now(UTC) + timedelta(seconds=5), MonitoringConfig()
    window = out / "window"
    about = write_window(log, model, "1", end - timedelta(hours=1), end, config, window)
    assert (about.model, about.rows) == (model, COUNTS[model])
    drift = measure_drift(window, champion, config, [], out / "drift")
    found = measure_performance(window, champion, log, drift, config, out / "drift")
    assert found.accuracy is not None
    return drift.verdict, found.labelled, found.accuracy.value


def test_drift_and_accuracy_of_one_model_hold_no_row_or_label_of_the_other(
    log: Path, champion: Path, tmp_path: Path
) -> None:
    verdict, labelled, accuracy = of("healthy", log, champion, tmp_path / "healthy")
    assert verdict == "stable" and labelled == 600 and accuracy > 0.9
    verdict, labelled, accuracy = of("drifted", log, champion, tmp_path / "drifted")
    assert verdict == "drift" and labelled == 500 and accuracy < 0.2


def test_retraining_takes_labelled_pictures_of_its_own_model(log: Path) -> None:
    end = datetime.now(UTC) + timedelta(seconds=5)
    for model, count in COUNTS.items():
        window = labelled_window(log, model, "1", end - timedelta(hours=1), end, CLASSES).images
        rows = read_served(log, model, "1", end - timedelta(hours=1), end, end).rows
        assert {one.sample_id for one in window} == set(rows["sample_id"].to_pylist()) and len(
            window
        ) <= count


def test_diagnosis_and_console_count_requests_of_their_own_model(log: Path, tmp_path: Path) -> None:
    console = PredictionLogReader(log)
    for model, count in COUNTS.items():
        failed = 5 if model == "drifted" else 0
        summary = console.summary(model)
        assert len(summary.at) == count + failed and int((~summary.answered).sum()) == failed
        places = Places(
            model=model, champion="1", server_state=tmp_path / "none", log=log, windows=tmp_path / "none",
            disk=tmp_path,
        )  # fmt: skip
        assert sum(one.answered + one.failed for one in gather(places, 30).recent) == count + failed


def test_request_with_several_images_is_one_request(champion: Path, tmp_path: Path) -> None:
    """One of 64 images that came late weighed as much as 64; of a failed one there is one row anyway."""
    said = Predictor.load("1", champion, 1).predict(pictures(6, 7), None)
    parts = [
        Prediction(said.images[rows], said.features[rows], said.output[rows], said.embedding[rows])
        for rows in (slice(0, 5), slice(5, 6))
    ]
    writer = PredictionLog(tmp_path / "log", 100, 1.0)
    writer.start()
    for name, prediction, latency in (("many", parts[0], 90.0), ("one", parts[1], 10.0), ("bad", None, 5.0)):
        error = "broken" if prediction is None else None
        writer.offer(LogEntry(name, time.time(), "healthy", "1", ANSWER, latency, prediction, error))
    writer.close()
    summary = PredictionLogReader(tmp_path / "log").summary("healthy")
    assert (summary.requests, summary.failed, len(summary.at), len(summary.latencies)) == (3, 1, 3, 3)
    assert summary.p50_ms == 10.0 and summary.versions == {"1": 3}
    assert sum(count for _, count in summary.hours) == 3
    assert sum(summary.classes.values()) == 6, "each image has its answer"
    places = Places(
        model="healthy", champion="1", server_state=tmp_path / "none", log=tmp_path / "log",
        windows=tmp_path / "none", disk=tmp_path,
    )  # fmt: skip
    [traffic] = gather(places, 30).recent
    assert (traffic.answered, traffic.failed) == (2, 1)


def test_alert_of_one_model_asks_for_retraining_of_that_one_alone(tmp_path: Path) -> None:
    runs = {model: RunsInMemory() for model in COUNTS}

    def trigger_of(model: str) -> Trigger:
        return Trigger(RetrainingLedger(model, tmp_path), runs[model], RetrainingConfig(), evidence)

    app = FastAPI()
    app.include_router(retraining_router("secret", trigger_of, lambda: b""))
    labels = {"alertname": "LinnetDrift", "model": "drifted", "retraining": "consider"}
    alerts = [{"status": "firing", "labels": labels}]
    alerts += [{"status": "resolved", "labels": {**labels, "model": "healthy"}}]

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            headers = {"Authorization": "Bearer secret"}
            return await client.post("/retraining/alerts", json={"alerts": alerts}, headers=headers)

    answer = asyncio.run(ask())
    assert [(d["model"], d["request"]) for d in answer.json()["decisions"]] == [("drifted", True)]
    for model, waiting in (("drifted", 1), ("healthy", 0)):
        ledger = RetrainingLedger(model, tmp_path)
        ledger.refresh()
        assert len(ledger.waiting) == waiting and len(ledger.entries()) >= waiting
