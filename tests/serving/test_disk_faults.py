"""The disk is full, broken or read-only under the server: nothing that was confirmed is lost, and it goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from pyarrow import parquet

from linnet.records.prediction_log import served_files
from tests.disk_faults import MODES, FaultyDisk
from tests.serving.attacking import PYTHON_TEXT
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, png, running
from tests.serving.written_labels import read_feedback


def tell(server: RunningServer, name: str) -> tuple[int, str]:
    body = json.dumps({"request_id": name, "label": "dim"}).encode()
    status, _, content = server.client.request("POST", "/feedback", body)
    return status, content.decode()


def dropped(server: RunningServer) -> float:
    lines = [
        one for one in server.client.metrics().splitlines() if one.startswith("linnet_log_dropped_total")
    ]
    return sum(float(line.split()[-1]) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_server_answers_while_the_disk_refuses_and_loses_nothing_it_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    disk = FaultyDisk(tmp_path / "run" / "log", tmp_path)
    for name, value in disk.environment.items():
        monkeypatch.setenv(name, value)
    package = make_package(tmp_path / "package")
    with running(tmp_path / "run", package, "1", "--workers", "1") as server:
        server.client.predict(png(100))
        confirmed = ["before"]
        assert tell(server, "before")[0] == 200
        disk.refuses(mode)
        answered = [server.client.predict(png(i))["request_id"] for i in range(100)]
        status, said = tell(server, "during")
        assert status == 503 and "labels cannot be written" in said
        assert not any(word in said for word in PYTHON_TEXT)
        time.sleep(2.0)  # the log has tried, more than once
        answered += [server.client.predict(png(i))["request_id"] for i in range(100)]
        assert tell(server, "during")[0] == 503 and dropped(server) == 0
        disk.works()
        assert tell(server, "after")[0] == 200
        confirmed.append("after")
        answered += [server.client.predict(png(i))["request_id"] for i in range(100)]
        time.sleep(2.0)
        assert dropped(server) == 0
        assert server.stop() == 0
    kept: set[str] = set()
    for path in served_files(server.log_dir):
        kept |= set(parquet.read_table(path, columns=["request_id"])["request_id"].to_pylist())
    assert set(answered) <= kept, f"{len(set(answered) - kept)} of {len(answered)} are not in the log"
    assert {row["request_id"] for row in read_feedback(server.log_dir)} == set(confirmed)
    assert not [path for path in server.log_dir.iterdir() if path.name.startswith(".")]  # no halves are left
    errors = server.errors.read_text()
    assert errors.count("the prediction log cannot be written") == 1 and "is written again" in errors
    assert "Traceback" not in errors


def test_disk_that_stays_full_costs_rows_and_they_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FaultyDisk(tmp_path / "run" / "log", tmp_path)
    for name, value in disk.environment.items():
        monkeypatch.setenv(name, value)
    settings = json.dumps({"workers": 1, "log_queue": 20, "log_queue_mb": 0.02})
    package = make_package(tmp_path / "package")
    with running(tmp_path / "run", package, "1", "--config-json", settings) as server:
        server.client.predict(png(100))
        disk.refuses("full")
        for i in range(400):
            assert server.client.predict(png(i % 250))["version"] == "1"
        assert 0 < dropped(server) < 400


@pytest.mark.parametrize("mode", MODES)
def test_server_on_a_disk_that_refuses_from_the_start_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    run = tmp_path / "run"
    disk = FaultyDisk(run, tmp_path)
    package = make_package(tmp_path / "package")
    run.mkdir()
    disk.refuses(mode)
    import subprocess
    import sys

    words = [
        sys.executable,
        "-m",
        "linnet.serving",
        "--package",
        str(package),
        "--version",
        "1",
        "--port",
        "0",
    ]
    words += ["--state-file", str(run / "server.json"), "--log-dir", str(run / "log")]
    import os

    ended = subprocess.run(
        words, env={**os.environ, **disk.environment}, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode != 0 and "Traceback" not in ended.stderr
    assert "error: cannot write" in ended.stderr and str(run) in ended.stderr
