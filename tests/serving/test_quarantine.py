"""What is refused, or fails, is logged and counted by reason; a bounded sample is kept to send again."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from linnet.commands import requests as commands
from linnet.commands.requests_show import printable
from linnet.config import ServingConfig
from linnet.errors import RequestRejected
from linnet.monitoring.request_lookup import find_requests
from linnet.records.refused import body_of, refused_files, refused_requests
from linnet.serving.messages import Request
from linnet.serving.quarantine import BURST, Quarantine, sweep
from linnet.vision.decode import encode_png
from tests.commands.test_cache_commands import linnet
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, noise_png, png, running

BODIES: dict[str, tuple[str, bytes]] = {
    "type": ("/predict/tiny", b"no image at all"),
    "decode": ("/predict", png(100, 40)[:60]),
    "pixels": ("/predict/tiny", encode_png(np.zeros((300, 300, 1), np.uint8))),
    "size": ("/predict/tiny", noise_png(1, 200)),
    "shape": ("/v2/models/tiny/infer", b'{"inputs": []}'),
    "failed": ("/predict/tiny", png(0)),
}


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 90
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """It fails on black images, and takes at most 40,000 pixels and 20 kB."""
    folder = tmp_path_factory.mktemp("quarantine") / "serving"
    package = make_package(folder.parent / "package", broken="raising", max_pixels=40_000)
    config = json.dumps({"workers": 1, "max_body_mb": 0.02, "log_images": 1.0, "refused_keep": 100})
    with running(folder, package, "1", "--name", "tiny", "--config-json", config) as started:
        for path, body in BODIES.values():
            started.client.request("POST", path, body, {"Content-Type": "image/png"})
        started.client.predict(png(200))
        wait_for(lambda: len(refused_files(folder / "refused")) >= len(BODIES))
        yield started


@pytest.fixture
def home(server: RunningServer, state: Path) -> Path:
    """The state folder of that server."""
    state.mkdir(parents=True)
    (state / "serving").symlink_to(server.state_file.parent)
    return state


def test_each_refusal_is_kept_under_its_reason_with_its_body(server: RunningServer) -> None:
    found = {one.reason: (one, path) for one, path in refused_requests(server.state_file.parent / "refused")}
    assert set(found) == set(BODIES)
    for reason, (address, body) in BODIES.items():
        request, path = found[reason]  # type: ignore[index]
        assert (request.path, request.model, request.headers["content-type"]) == (
            address,
            "tiny",
            "image/png",
        )
        whole = reason != "size"  # a body beyond the limit is thrown away while it comes
        assert request.kept is whole and body_of(path) == (body if whole else b""), reason
        assert request.problem and request.request_id


def test_metric_counts_by_reason_and_the_log_says_why(server: RunningServer) -> None:
    text, log = server.client.metrics(), server.errors.read_text()
    for reason in set(BODIES) - {"failed"}:  # which is the version's failure, not a refusal
        assert f'reason="{reason}"' in text, reason
        assert f"reason {reason}" in log, reason
    assert 'reason="failed"' not in text and "reason failed" in log


def test_refused_requests_are_listed_shown_and_sent_again(home: Path, tmp_path: Path) -> None:
    told = linnet("requests", "refused")
    assert all(f"1 x {reason}" in told for reason in BODIES), told
    (newest, _), *_ = refused_requests(home / "serving" / "refused")
    listed = [json.loads(line) for line in linnet("requests", "refused", "--json").splitlines()]
    decode = next(one for one in listed if one["reason"] == "decode")
    shown = linnet("requests", "show", decode["request_id"], "-o", str(tmp_path / "body"))
    assert "refused: 400, decode" in shown and (tmp_path / "body").read_bytes() == BODIES["decode"][1]
    assert "would send" in linnet("requests", "replay", newest.request_id, "--dry-run")
    again = linnet("requests", "replay", decode["request_id"], "--dry-run")
    assert "to /predict/tiny," in again, "another model may be the only one that is served by then"
    assert "no refused request nobody" in linnet("requests", "replay", "nobody", status=1)
    assert "no reason 'why'" in linnet("requests", "refused", "--reason", "why", status=2)
    with pytest.raises(AssertionError, match="0 of 1 are answered now"):  # exit status 1: refused as before
        linnet("requests", "replay", decode["request_id"])


def test_served_request_is_shown_with_its_answer_feedback_and_image(
    home: Path, server: RunningServer, tmp_path: Path
) -> None:
    status, _, body = server.client.request(
        "POST", "/predict/tiny", png(130), {"Content-Type": "image/png", "Linnet-Request-Id": "order-17"}
    )
    assert status == 200, body
    label = {"labels": [{"request_id": "order-17", "label": "dark"}]}
    wait_for(lambda: find_requests(home / "serving" / "log", "order-17"))
    assert server.client.request("POST", "/feedback/tiny", json.dumps(label).encode())[0] == 200
    told = linnet("requests", "show", "order-17", "-o", str(tmp_path / "image.png"))
    assert "bright" in told and "labelled dark" in told and "answered" in told
    assert (tmp_path / "image.png").read_bytes()[:4] == b"\x89PNG"
    sample = find_requests(home / "serving" / "log", "order-17")[0].images[0].sample_id
    assert "order-17" in str(find_requests(home / "serving" / "log", sample or "")), "by its sample's id, too"
    assert "no request 'nobody'" in linnet("requests", "show", "nobody", status=1)


def refuse(quarantine: Quarantine, body: bytes = b"x", status: int = 415) -> None:
    quarantine.offer(Request("POST", "/predict", "", {}, body), "id", "m", RequestRejected(status, "no"))


def test_flood_costs_neither_memory_nor_disk(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, ServingConfig())
    quarantine.start()
    began = time.perf_counter()
    for _ in range(20_000):
        refuse(quarantine, bytes(1000))
    assert time.perf_counter() - began < 2
    quarantine.close()
    assert len(refused_files(tmp_path)) <= BURST + 3
    assert quarantine._held == 0


def test_bodies_are_kept_whole_or_not_at_all_and_never_beyond_the_room(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, ServingConfig(log_queue_mb=0.01))  # room for 2,500 bytes
    refuse(quarantine, bytes(2000))  # before the thread runs: nothing is offered to it
    quarantine.start()
    for size in (5 << 20, 2600, 2000):
        refuse(quarantine, bytes(size))
    refuse(quarantine, b"secret", status=401)
    quarantine.close()
    kept = sorted((one.size, one.kept) for one, _ in refused_requests(tmp_path))
    assert kept == [(6, False), (2000, True), (2600, False), (5 << 20, False)]


def test_redaction_and_zero_keep_no_body(tmp_path: Path) -> None:
    for config, count in ((ServingConfig(log_image_pixelate=4), 1), (ServingConfig(refused_keep=0), 0)):
        folder = tmp_path / str(count)
        quarantine = Quarantine(folder, config)
        quarantine.start()
        refuse(quarantine)
        quarantine.close()
        assert [one.kept for one, _ in refused_requests(folder)] == [False] * count


def test_sweep_keeps_the_newest_within_count_size_and_days(tmp_path: Path) -> None:
    now = time.time()
    for number in range(10):
        path = tmp_path / f"2026010{number}T000000-1-{number}.refused"
        path.write_bytes(bytes(100_000))
        os.utime(path, (now - (9 - number) * 86_400,) * 2)
    names = [path.name[7] for path in refused_files(tmp_path)]
    for config, left in (
        (ServingConfig(refused_days=7.5), names[:8]),
        (ServingConfig(refused_keep=6), names[:6]),
        (ServingConfig(refused_mb=0.25), names[:2]),
    ):
        sweep(tmp_path, config, now)
        assert [path.name[7] for path in refused_files(tmp_path)] == left


def test_damaged_file_hides_no_other_and_hostile_text_stays_text(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, ServingConfig())
    quarantine.start()
    evil = "\x1b[2J<script>alert(1)</script>\n"
    request = Request("POST", "/predict/" + evil, "", {"content-type": evil}, b"x")
    quarantine.offer(request, "id", evil, RequestRejected(400, evil))
    quarantine.close()
    (tmp_path / "29990101T000000-1-1.refused").write_bytes(b"\xff\xfe no JSON")
    ((found, path),) = refused_requests(tmp_path)
    assert (found.problem, found.model, body_of(path)) == (evil, evil, b"x")
    assert "\x1b" not in printable(found.problem) and "\n" not in printable(found.problem)


def test_ids_of_refused_requests_are_whole_at_80_columns(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`linnet requests show ID` needs an id; in the table it was cut to `3f2a9…`."""
    monkeypatch.setenv("COLUMNS", "80")
    commands.refused()
    lines = capsys.readouterr().out.splitlines()
    for request, _ in refused_requests(home / "serving" / "refused"):
        assert any(f"  {request.request_id}  tiny  {request.status}  " in line for line in lines), lines


def test_request_that_cannot_be_written_keeps_no_later_one_out(tmp_path: Path) -> None:
    """The thread ended at the first: from then on nothing was kept, and the server's end waited for ever."""
    quarantine = Quarantine(tmp_path, ServingConfig())
    quarantine.start()
    for problem in ("first", "no UTF-8: \ud800", "last"):
        quarantine.offer(Request("POST", "/predict", "", {}, b"x"), "id", "m", RequestRejected(415, problem))
    quarantine.close()
    assert {one.problem for one, _ in refused_requests(tmp_path)} == {"first", "last"}


def test_files_that_cannot_be_read_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`requests show ID` said that there is no such request."""
    log, refused = tmp_path / "log", tmp_path / "refused"
    for folder, name in ((log, "served-20260101T000000-1.parquet"), (refused, "20260101T000000-1-1.refused")):
        folder.mkdir()
        (folder / name).write_bytes(b"no such file")
    assert find_requests(log, "order-17") == [] and list(refused_requests(refused)) == []
    assert "served-20260101T000000-1.parquet: its requests are not looked at" in caplog.text
    assert "20260101T000000-1-1.refused: this refused request cannot be read" in caplog.text


def test_caller_without_a_key_is_told_from_a_bad_input(tmp_path: Path) -> None:
    config = json.dumps({"workers": 1, "require_key": True})
    with running(
        tmp_path / "s", make_package(tmp_path / "p"), "1", "--name", "tiny", "--config-json", config
    ) as server:
        where = urlsplit(server.state.url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port)
        connection.request("POST", "/predict/tiny", png(10))
        assert connection.getresponse().status == 401
        connection.close()
        wait_for(lambda: bool(refused_files(tmp_path / "s" / "refused")))
        ((found, _),) = refused_requests(tmp_path / "s" / "refused")
        assert (found.reason, found.kept) == ("key", False)
