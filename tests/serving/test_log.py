"""The prediction log under pressure: it drops and counts, and never waits."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Prediction


def entry(name: str) -> LogEntry:
    one = np.array([[0.25, 0.75]], np.float32)
    prediction = Prediction(np.zeros((1, 4, 4, 1), np.uint8), one, one, one)
    return LogEntry(name, time.time(), "m", "1", ("a", "b"), 1.0, prediction, None)


def test_full_queue_drops_and_counts_without_waiting(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log", capacity=100, image_share=0)
    log.start()
    began = time.perf_counter()
    for i in range(20_000):
        log.offer(entry(str(i)))
    assert time.perf_counter() - began < 5
    log.close()
    assert log.dropped > 0 and log.written + log.dropped == 20_000


def test_unwritable_folder_drops_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log = PredictionLog(folder, capacity=100, image_share=0)
    log.start()
    folder.rmdir()
    folder.write_text("a file is in the way")
    log.offer(entry("lost"))
    until = time.monotonic() + 20
    while log.dropped == 0 and time.monotonic() < until:
        time.sleep(0.01)
    folder.unlink()
    folder.mkdir()
    log.offer(entry("kept"))
    log.close()
    assert (log.dropped, log.written) == (1, 1)
    assert not list(folder.glob("*.tmp"))


def test_log_without_folder_takes_nothing(tmp_path: Path) -> None:
    log = PredictionLog(None, capacity=1, image_share=0)
    log.start()
    for _ in range(3):
        log.offer(entry("x"))
    log.close()
    assert (log.waiting, log.dropped, log.written) == (0, 0, 0)
