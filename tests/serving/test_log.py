"""The prediction log under pressure: it drops and counts, and never waits."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Prediction
from linnet.tasks.answer import answer_of

ANSWER = answer_of("classification", ("a", "b"))


def entry(name: str) -> LogEntry:
    one = np.array([[0.25, 0.75]], np.float32)
    prediction = Prediction(np.zeros((1, 4, 4, 1), np.uint8), one, one, one)
    return LogEntry(name, time.time(), "m", "1", ANSWER, 1.0, prediction, None)


def test_full_queue_drops_and_counts_without_waiting(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log", capacity=100, image_share=0)
    log.start()
    began = time.perf_counter()
    for i in range(20_000):
        log.offer(entry(str(i)))
    assert time.perf_counter() - began < 5
    log.close()
    assert log.dropped > 0 and log.written + log.dropped == 20_000


def test_rows_wait_while_the_folder_cannot_be_written_and_are_dropped_at_the_end_only(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log = PredictionLog(folder, capacity=100, image_share=0)
    log.start()
    folder.rmdir()
    folder.write_text("a file is in the way")
    log.offer(entry("waits"))
    time.sleep(1.5)  # more than one try
    assert (log.dropped, log.written) == (0, 0)
    folder.unlink()
    folder.mkdir()
    log.offer(entry("kept"))
    log.close()
    assert (log.dropped, log.written) == (0, 2)
    assert not list(folder.glob("*.tmp"))
    log = PredictionLog(folder, capacity=100, image_share=0)
    log.start()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("a file is in the way")
    log.offer(entry("lost"))
    log.close()
    assert (log.dropped, log.written) == (1, 0)


def test_log_is_bounded_in_bytes_and_counts_what_is_unwritten(tmp_path: Path) -> None:
    unwritten = [0]

    def tally(change: int) -> None:
        unwritten[0] += change

    size = entry("one").size
    log = PredictionLog(tmp_path, capacity=100, image_share=0, most_bytes=3 * size, unwritten=tally)
    log.start()
    for i in range(5):
        log.offer(entry(str(i)))
    assert log.dropped == 2 and unwritten[0] == 3
    log.close()
    assert (log.written, unwritten[0]) == (3, 0)


def test_entry_that_cannot_be_a_row_is_dropped_alone(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, capacity=100, image_share=0)
    log.start()
    for name in ("a", "\ud800", "b", "c"):
        log.offer(entry(name))
    log.close()
    assert (log.dropped, log.written) == (1, 3)


def test_log_without_folder_takes_nothing(tmp_path: Path) -> None:
    log = PredictionLog(None, capacity=1, image_share=0)
    log.start()
    for _ in range(3):
        log.offer(entry("x"))
    log.close()
    assert (log.waiting, log.dropped, log.written) == (0, 0, 0)
