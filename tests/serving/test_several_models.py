"""Several models in one server, each by its name: none answers for another, and none harms another."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linnet.errors import RequestRejected
from linnet.monitoring.log_reader import read_feedback
from linnet.process.model_server import ServerState
from linnet.records.refused import refused_requests
from linnet.serving.client import ServerClient
from linnet.serving.keys import KeyFile
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, png, running
from tests.serving.test_workers import workers_of

FACES = ("frown", "smile", "yawn")


def models_flags(*models: dict[str, Any]) -> tuple[str, ...]:
    return ("--models-json", json.dumps([{**model, "package": str(model["package"])} for model in models]))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """textures, faces (other classes), and slow, which takes about 20 ms an image."""
    folder = tmp_path_factory.mktemp("packages")
    make_package(folder / "textures", name="textures")
    make_package(folder / "faces", name="faces", classes=FACES)
    make_package(folder / "slow", name="slow", broken="slow", slow_rounds=280)
    make_package(folder / "corrupt", name="corrupt", broken="corrupt")
    return folder


@contextlib.contextmanager
def both(packages: Path, folder: Path) -> Iterator[RunningServer]:
    """textures 1 and faces 4, on two workers."""
    flags = models_flags(
        {"name": "textures", "version": "1", "package": packages / "textures"},
        {"name": "faces", "version": "4", "package": packages / "faces"},
    )
    with running(folder, None, "", *flags, "--workers", "2") as started:
        yield started


@pytest.fixture(scope="module")
def shared(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """For tests that leave routes, versions and models as they are."""
    with both(packages, tmp_path_factory.mktemp("shared")) as started:
        yield started


@pytest.fixture
def server(packages: Path, tmp_path: Path) -> Iterator[RunningServer]:
    with both(packages, tmp_path / "run") as started:
        yield started


def client_of(server: RunningServer, model: str) -> ServerClient:
    return ServerClient(server.state.url, server.state.token, model=model)


def said(server: RunningServer, model: str, level: int = 8) -> tuple[str, str, str]:
    answer = client_of(server, model).predict(png(level))
    return answer["model"], answer["version"], answer["predictions"][0]["class"]


def test_each_model_answers_by_its_name_and_nobody_guesses(shared: RunningServer) -> None:
    assert shared.state.models == ["faces", "textures"]
    assert said(shared, "textures") == ("textures", "1", "dark")
    assert said(shared, "faces") == ("faces", "4", "frown")
    status, headers, content = shared.client.request("POST", "/predict", png(8))
    assert status == 400 and "linnet-model" not in headers
    error = json.loads(content)["error"]
    assert "faces, textures" in error and "/predict/NAME" in error
    status, _, content = shared.client.request("POST", "/predict/hands", png(8))
    assert status == 404 and "faces, textures" in json.loads(content)["error"]
    status, headers, _ = shared.client.request("GET", "/v2/models/faces")
    assert (status, headers["linnet-model"], headers["linnet-model-version"]) == (200, "faces", "4")
    assert client_of(shared, "faces").metadata("faces")["outputs"][0]["parameters"]["classes"] == list(FACES)


def test_index_lists_every_model(shared: RunningServer) -> None:
    for method, path in (("GET", "/v2/models"), ("POST", "/v2/repository/index")):
        status, _, content = shared.client.request(method, path)
        assert status == 200
        listed = [(entry["name"], entry["version"], entry["state"]) for entry in json.loads(content)]
        assert listed == [("faces", "4", "READY"), ("textures", "1", "READY")]


def test_package_of_another_use_case_is_refused_and_changes_nothing(
    server: RunningServer, packages: Path
) -> None:
    """The fault of issue 14: a release of faces once went to the textures server, by its version alone."""
    textures = client_of(server, "textures")
    with pytest.raises(RequestRejected, match="its package is of faces, but model textures") as caught:
        textures.load("2", packages / "faces")
    assert caught.value.status == 409
    with pytest.raises(RequestRejected, match="not loaded"):
        textures.set_routes("2")
    textures.load("2", packages / "textures")
    textures.set_routes("2")
    assert said(server, "textures") == ("textures", "2", "dark")
    assert said(server, "faces") == ("faces", "4", "frown"), "another model's release touched this one"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "routes"),
        ("PUT", "routes"),
        ("PUT", "versions/2"),
        ("DELETE", "versions/2"),
        ("GET", "records"),
        ("POST", "lease"),
    ],
)
def test_admin_call_without_a_name_is_refused_where_several_are_served(
    shared: RunningServer, method: str, path: str
) -> None:
    sent = {"Authorization": f"Bearer {shared.state.token}"}
    status, _, content = shared.client.request(method, f"/admin/{path}", b"{}", sent)
    assert status == 400
    assert "/admin/models/NAME" in json.loads(content)["error"] and "faces, textures" in str(content)


def test_records_and_metrics_are_of_the_model_that_is_asked(server: RunningServer) -> None:
    for _ in range(3):
        said(server, "faces")
    said(server, "textures")
    records = client_of(server, "faces").records().records
    assert {(record.model, record.version) for record in records} == {("faces", "4")} and len(records) == 3
    text = server.client.metrics()
    assert 'linnet_requests_total{model="faces",outcome="ok",version="4"} 3.0' in text
    assert 'linnet_requests_total{model="textures",outcome="ok",version="1"} 1.0' in text
    assert 'linnet_queue{model="faces"}' in text and 'linnet_queue{model="textures"}' in text
    assert text.count("# HELP process_resident_memory_bytes") == 1
    server.stop()
    from pyarrow import parquet

    rows = [r for p in server.log_dir.glob("served-*") for r in parquet.read_table(p).to_pylist()]
    assert sorted((row["model"], row["version"]) for row in rows) == [("faces", "4")] * 3 + [
        ("textures", "1")
    ]


def test_label_is_held_against_the_classes_of_its_model(shared: RunningServer) -> None:
    answer = client_of(shared, "faces").predict(png(8))
    body = json.dumps({"request_id": answer["request_id"], "label": "smile"}).encode()
    assert shared.client.request("POST", "/feedback", body)[0] == 400
    status, _, content = shared.client.request("POST", "/feedback/textures", body)
    assert status == 400 and "dark" in str(content)
    assert shared.client.request("POST", "/feedback/faces", body)[0] == 200


def test_labels_of_one_model_never_meet_requests_of_another_that_bear_the_same_name(
    server: RunningServer,
) -> None:
    """A client that asks two models about one picture may name both requests alike."""
    for model in ("faces", "textures"):
        client_of(server, model).predict(png(8), request_id="picture-7")
    body = json.dumps({"request_id": "picture-7", "label": "smile"}).encode()
    for written in (1, 0):
        status, _, content = server.client.request("POST", "/feedback/faces", body)
        assert status == 200 and json.loads(content) == {"written": written, "known": 1 - written}
    body = json.dumps({"request_id": "picture-7", "label": "white"}).encode()
    assert json.loads(server.client.request("POST", "/feedback/textures", body)[2])["written"] == 1
    for model, label in (("faces", "smile"), ("textures", "white")):
        labels = read_feedback(server.log_dir, model).labels
        assert {key: found for key, (found, _) in labels.items()} == {("picture-7", 0): label}


def test_model_is_added_and_closed_while_others_answer(server: RunningServer, packages: Path) -> None:
    stop, problems = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            if said(server, "faces") != ("faces", "4", "frown"):
                problems.append("faces")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        server.client.open_model("third", "9", packages / "textures")
        with pytest.raises(RequestRejected, match="served already"):
            server.client.open_model("third", "9", packages / "textures")
        with pytest.raises(RequestRejected, match="digest"):
            server.client.open_model("fourth", "1", packages / "corrupt")
        assert server.client.models() == ["faces", "textures", "third"]
        assert said(server, "third") == ("third", "9", "dark")
        status, _, _ = server.client.request(
            "DELETE", "/admin/models/third", b"", {"Authorization": f"Bearer {server.state.token}"}
        )
        assert status == 200 and server.client.models() == ["faces", "textures"]
        assert server.client.request("POST", "/predict/third", png(8))[0] == 404
    finally:
        stop.set()
        thread.join()
    assert not problems


def test_overload_of_one_model_refuses_none_of_another(packages: Path, tmp_path: Path) -> None:
    flags = models_flags(
        {"name": "slow", "version": "1", "package": packages / "slow", "config": {"max_in_flight": 2}},
        {"name": "faces", "version": "4", "package": packages / "faces"},
    )
    with running(tmp_path / "run", None, "", *flags, "--workers", "1") as server:
        stop, statuses = threading.Event(), []

        def flood() -> None:
            client = client_of(server, "slow")
            while not stop.is_set():
                statuses.append(client.request("POST", "/predict/slow", png(8))[0])

        threads = [threading.Thread(target=flood) for _ in range(6)]
        for thread in threads:
            thread.start()
        try:
            until = time.monotonic() + 90
            while 429 not in statuses and time.monotonic() < until:
                time.sleep(0.05)
            answers = [said(server, "faces") for _ in range(50)]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert 429 in statuses, "it was not overloaded"
        assert set(answers) == {("faces", "4", "frown")}
        text = server.client.metrics()
        assert 'linnet_validation_failures_total{model="slow",reason="overload",status="429"}' in text
        assert 'linnet_validation_failures_total{model="faces"' not in text


@pytest.mark.slow
def test_worker_that_dies_is_replaced_with_all_models_even_if_one_is_gone(
    packages: Path, tmp_path: Path
) -> None:
    import shutil

    gone = tmp_path / "gone"
    shutil.copytree(packages / "faces", gone)
    flags = models_flags(
        {"name": "faces", "version": "4", "package": gone},
        {"name": "textures", "version": "1", "package": packages / "textures"},
    )
    with running(tmp_path / "run", None, "", *flags, "--workers", "1") as server:
        shutil.rmtree(gone)
        before = workers_of(server)
        os.kill(before[0], signal.SIGKILL)
        until = time.monotonic() + 60
        while True:
            try:
                found = said(server, "textures")
                if workers_of(server) not in ([], before):
                    break
            except Exception:  # noqa: BLE001  nobody answers for a moment
                assert time.monotonic() < until, "it was not replaced"
                time.sleep(0.1)
        assert found == ("textures", "1", "dark")
        with pytest.raises(RequestRejected) as caught:
            client_of(server, "faces").predict(png(8))
        assert caught.value.status == 503


def test_model_that_cannot_be_loaded_keeps_no_other_from_being_served(packages: Path, tmp_path: Path) -> None:
    flags = models_flags(
        {"name": "corrupt", "version": "1", "package": packages / "corrupt"},
        {"name": "faces", "version": "4", "package": packages / "faces"},
    )
    flags += ("--unserved-json", json.dumps({"gone": "it has no champion"}), "--workers", "1")
    with running(tmp_path / "run", None, "", *flags) as server:
        assert server.state.models == ["faces"]
        assert server.client.predict(png(8))["model"] == "faces"
        assert "model corrupt: " in server.errors.read_text()
        state = ServerState.read(server.state_file)
        assert state is not None and state.wanted == ["corrupt", "faces", "gone"]
        assert "digest" in state.unserved["corrupt"] and state.unserved["gone"] == "it has no champion"
        server.client.open_model("corrupt", "2", packages / "textures")
        state = ServerState.read(server.state_file)
        assert (
            state is not None and state.models == ["corrupt", "faces"] and state.unserved.keys() == {"gone"}
        )
        server.client.request(
            "DELETE", "/admin/models/gone", b"", {"Authorization": f"Bearer {server.state.token}"}
        )
        state = ServerState.read(server.state_file)
        assert state is not None and state.wanted == ["corrupt", "faces"], "the next start tries it no more"


def test_key_of_one_model_opens_no_other(packages: Path, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    _, secret = keys.create("webshop", ("infer", "admin"), models=("faces",))
    flags = models_flags(
        {"name": "textures", "version": "1", "package": packages / "textures"},
        {"name": "faces", "version": "4", "package": packages / "faces"},
    )
    with running(tmp_path / "run", None, "", *flags, "--workers", "1", "--keys", str(keys.path)) as server:
        sent = {"Authorization": f"Bearer {secret}"}
        plain = ServerClient(server.state.url)
        assert plain.request("POST", "/predict/faces", png(8), sent)[0] == 200
        status, _, content = plain.request("POST", "/predict/textures", png(8), sent)
        assert status == 403 and "faces only" in str(content)
        assert plain.request("GET", "/admin/models/faces/routes", b"", sent)[0] == 200
        assert plain.request("GET", "/admin/models/textures/routes", b"", sent)[0] == 403
        assert plain.request("GET", "/admin/models", b"", sent)[0] == 403


def test_key_and_redaction_that_one_model_asks_for_hold_where_the_server_asks_for_neither(
    packages: Path, tmp_path: Path
) -> None:
    """The server's own alone held: under `linnet up` a model whose run asked for keys was open to all."""
    closed = {"require_key": True, "log_image_pixelate": 4}
    flags = models_flags(
        {"name": "textures", "version": "1", "package": packages / "textures"},
        {"name": "faces", "version": "4", "package": packages / "faces", "config": closed},
    )
    keys = KeyFile(tmp_path / "keys.json")
    _, secret = keys.create("webshop", ("infer",))
    refused = tmp_path / "run" / "refused"
    with running(tmp_path / "run", None, "", *flags, "--workers", "1", "--keys", str(keys.path)) as server:
        plain, sent = ServerClient(server.state.url), {"Authorization": f"Bearer {secret}"}
        for path in ("/predict", "/v2/models/{}/infer", "/feedback"):
            statuses = [
                plain.request("POST", path.format(name) if "{}" in path else f"{path}/{name}", b"{}")[0]
                for name in ("faces", "textures")
            ]
            assert statuses[0] == 401 and statuses[1] != 401, path
        assert plain.request("POST", "/predict/faces", png(8), sent)[0] == 200
        for path in ("/predict/faces", "/predict/textures", "/predict"):
            assert plain.request("POST", path, png(100, 40)[:60], sent)[0] == 400
    kept = {one.model: one.kept for one, _ in refused_requests(refused) if one.reason == "decode"}
    assert kept == {"faces": False, "textures": True}
    assert not any(one.kept for one, _ in refused_requests(refused) if one.model != "textures")
