"""The server process: start, failures to start, state file, prediction log, and a clean end."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from linnet.errors import ConfigError, ServingError
from linnet.process.model_server import ServerState
from linnet.serving.__main__ import parse_arguments
from linnet.serving.client import ServerClient
from linnet.vision.decode import decode
from tests.serving.load import Load, statuses
from tests.serving.packages import RAISING_LEVEL, expected_probabilities, image_of, make_package
from tests.serving.running import RunningServer, noise_png, png, running
from tests.waiting import until


def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linnet.serving", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)


def test_state_file_is_private_and_goes_with_the_server(tmp_path: Path) -> None:
    with running(tmp_path / "run", make_package(tmp_path / "package"), "1", "--workers", "1") as server:
        assert stat.S_IMODE(server.state_file.stat().st_mode) == 0o600
        assert server.state.pid == server.process.pid
        assert server.state.token not in repr(server.state)
        assert server.stop(signal.SIGINT) == 0
        assert not server.state_file.exists() and ServerState.read(server.state_file) is None
        with pytest.raises(ServingError, match="linnet up"):
            server.client.predict(png(1))
    with pytest.raises(ServingError, match="no server is running"):
        ServerClient.from_state(server.state_file)


def test_taken_port_is_one_sentence_with_a_remedy(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package")
    with running(tmp_path / "run", package, "1", "--workers", "1") as server:
        port = server.state.url.rsplit(":", 1)[1]
        second = launch("--package", str(package), "--version", "2", "--port", port)
        assert second.returncode == 1
        assert (
            second.stderr.startswith(f"error: port {port} of 127.0.0.1 is taken")
            and "--port" in second.stderr
        )
        assert len(second.stderr.splitlines()) == 1
        assert {server.client.predict(png(9))["version"] for _ in range(20)} == {"1"}


@pytest.mark.parametrize("broken", ["corrupt", "nan", "golden"])
def test_broken_package_does_not_start(tmp_path: Path, broken: str) -> None:
    package = make_package(tmp_path / "package", broken=broken)  # type: ignore[arg-type]
    ended = launch("--package", str(package), "--version", "1", "--port", "0")
    assert ended.returncode == 1 and ended.stderr.startswith("error: ") and "Traceback" not in ended.stderr


def test_log_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    package = make_package(tmp_path / "package")
    flags = ("--port", "0", "--log-dir", str(tmp_path / "file" / "log"))
    ended = launch("--package", str(package), "--version", "1", *flags)
    assert ended.returncode == 1 and ended.stderr.startswith("error: cannot write")


def test_command_line_wins_over_config_json() -> None:
    known = ["--package", "p", "--version", "3"]
    parsed = parse_arguments([*known, "--config-json", '{"port": 1, "log_queue": 5}', "--port", "2"])
    assert (parsed.config.port, parsed.config.log_queue, parsed.models[0].version) == (2, 5, "3")
    with pytest.raises(ConfigError, match=r"serving\.prot"):
        parse_arguments([*known, "--config-json", '{"prot": 1}'])
    with pytest.raises(ConfigError, match="not a JSON object"):
        parse_arguments([*known, "--config-json", "["])


def read_log(server: RunningServer) -> list[dict[str, object]]:
    from pyarrow import parquet

    rows: list[dict[str, object]] = []
    for path in sorted(server.log_dir.glob("*.parquet")):
        rows += parquet.read_table(path).to_pylist()
    return rows


def test_prediction_log_holds_what_was_answered(tmp_path: Path) -> None:
    from linnet.artifacts.onnx_model import PackagedModel
    from linnet.vision.decode import sample_id

    package = make_package(tmp_path / "package", broken="raising")
    bodies = {f"r{i}": noise_png(i) for i in range(60)} | {"bad": png(RAISING_LEVEL - 1)}
    with running(tmp_path / "run", package, "4", "--log-images", "1") as server:
        answers = {}
        for name, body in bodies.items():
            status, _, content = server.client.request("POST", "/predict", body, {"Linnet-Request-Id": name})
            answers[name] = json.loads(content)
            assert status == (500 if name == "bad" else 200)
        assert server.stop() == 0
    rows = {str(row["request_id"]): row for row in read_log(server)}
    assert set(rows) == set(bodies)
    model = PackagedModel.load(package)
    bad = rows.pop("bad")
    assert bad["ok"] is False and "failed" in str(bad["error"]) and bad["probabilities"] is None
    for name, row in rows.items():
        pixels = decode(bodies[name]).pixels
        first = answers[name]["predictions"][0]
        assert row["predicted"] == first["class"] and row["confidence"] == pytest.approx(first["probability"])
        assert (row["version"], row["model"], row["ok"], row["error"]) == ("4", "tiny", True, None)
        assert row["sample_id"] == sample_id(pixels) and np.array_equal(decode(row["image"]).pixels, pixels)  # type: ignore[arg-type]
        assert np.array_equal(np.float32(row["features"]), model.features(pixels[None])[0])  # type: ignore[arg-type]
        assert np.array_equal(np.float32(row["probabilities"]), model.predict(pixels[None])[0][0])  # type: ignore[arg-type]
        assert row["latency_ms"] == pytest.approx(answers[name]["latency_ms"])


def test_batch_is_logged_image_by_image(tmp_path: Path) -> None:
    images = np.stack([image_of(level) for level in (10, 250)])
    tensor = {"name": "image", "shape": [2, 8, 8, 1], "datatype": "UINT8", "data": images.ravel().tolist()}
    with running(tmp_path / "run", make_package(tmp_path / "package"), "1", "--workers", "1") as server:
        body = json.dumps({"inputs": [tensor]}).encode()
        assert server.client.request("POST", "/v2/models/tiny/infer", body)[0] == 200
        until(lambda: list(server.log_dir.glob("*.parquet")), "the log, while the server runs")
        rows = read_log(server)
    assert [(row["index"], row["predicted"]) for row in rows] == [(0, "dark"), (1, "white")]
    for row, image in zip(rows, images, strict=True):  # the first request after quiet is in the sample
        assert np.array_equal(decode(row["image"]).pixels, image)  # type: ignore[arg-type]
    assert np.allclose(rows[1]["probabilities"], expected_probabilities(images)[1], atol=1e-5)  # type: ignore[arg-type]


def test_sigterm_under_load_answers_every_accepted_request(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package", broken="slow", slow_rounds=280)
    bodies = [png(level) for level in range(8, 256, 8)]
    with running(tmp_path / "run", package) as server:
        load = Load(server.state.url, bodies, connections=6)
        with load:
            load.wait_for(50)
            assert server.stop() == 0
        assert statuses(load.answers) == {200}
        # A connection that was idle or new when the listener closed may be refused; none is cut in an answer.
        assert all("cannot be reached" in problem for problem in load.broken), load.broken
    assert len(read_log(server)) == len(load.answers)


def test_request_in_flight_at_sigterm_is_answered(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package", broken="slow", slow_rounds=8_000)  # a fifth of a second
    with running(tmp_path / "run", package, "1", "--workers", "1") as server:
        found: list[int] = []
        client = ServerClient(server.state.url)

        def ask() -> None:
            found.append(client.request("POST", "/predict", png(9))[0])
            client.close()

        asking = threading.Thread(target=ask)
        asking.start()
        in_flight = 'linnet_in_flight{model="tiny"} 1.0'
        until(lambda: in_flight in server.client.metrics(), "the request is worked on", every=0.005)
        assert server.stop() == 0
        asking.join()
        assert found == [200]
