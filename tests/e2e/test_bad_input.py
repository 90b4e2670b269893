"""Mistakes and mishaps at the command line: one message, the right status, and the same command goes on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from linnet.data.version import listing_digest
from tests.e2e.use_case import UseCase, refused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UseCase]:
    """The use case of this file, its state folder on a file system of its own if one may be mounted."""
    case = UseCase.of_photos(tmp_path_factory.mktemp("photos"))
    case.state.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400m", "linnet-test", str(case.state)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    yield case
    if mounted:
        subprocess.run(["umount", "-l", str(case.state)], check=True)


def remount(case: UseCase, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(case.state)], check=True)


def test_full_disk_is_told_and_with_room_the_same_command_goes_on(photos: UseCase) -> None:
    if not photos.state.is_mount():
        pytest.skip("may not mount a file system here")
    remount(photos, "size=2m")
    refused(photos, "run", "photos.toml", status=1, says=("the disk is full", "run the same command again"))
    remount(photos, "size=400m")
    done = photos.linnet("run", "photos.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(photos.versions()) == 1
    remount(photos, "ro")
    refused(photos, "run", "photos.toml", status=1, says=("LINNET_HOME",))
    remount(photos, "rw")


def test_broken_folders_and_configs_are_refused_and_the_repaired_one_runs(photos: UseCase) -> None:
    case, folder = photos, photos.folder
    photo, config = folder / "photos" / "grass" / "007.png", folder / "photos.toml"
    whole, good = photo.read_bytes(), config.read_text()

    photo.write_bytes(whole[: len(whole) // 2])
    told = ("grass/007.png", "data.bad_files")
    refused(case, "run", "photos.toml", "--set", "data.bad_files=fail", status=1, says=told)
    assert case.record()["state"] == "failed"
    photo.write_bytes(whole)

    (folder / "photos" / "sky").mkdir()
    refused(case, "run", "photos.toml", status=1, says=("sky",))
    record = case.record()  # without the start of Python, which takes long on a busy machine
    began, ended = (datetime.fromisoformat(record[moment]) for moment in ("started_at", "ended_at"))
    assert (ended - began).total_seconds() < 30  # a cluster's waits between retries are not for a person
    assert len([stage for stage in case.stages().values() if stage["final"]]) == 1
    for number in range(12):
        (folder / "photos" / "sky" / f"{number}.png").write_text("a text, not an image")
    refused(case, "run", "photos.toml", status=1, says=("sky/",))
    refused(case, "init", "sky", "--data", "photos", status=1, says=("no image",))
    assert not (folder / "configs").exists()
    shutil.rmtree(folder / "photos" / "sky")

    runs = len(case.runs())
    config.write_text(good + "[labels]\nbugdet = 3\n")
    refused(case, "run", "photos.toml", status=2, says=("labels.bugdet", "did you mean budget?"))
    config.write_text(good.replace("epochs = 8", 'epochs = "many"'))
    refused(case, "run", "photos.toml", status=2, says=("train.epochs", "many"))
    config.write_text(good.replace("[train]", "[train"))
    refused(case, "run", "photos.toml", status=2, says=("photos.toml", "TOML"))
    config.write_text(good)
    assert len(case.runs()) == runs

    done = case.linnet("run", "photos.toml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def named(tmp_path: Path) -> UseCase:
    """A dataset named by digest in `photos.dvc`, whose sources are apt and a mirror, both out of reach."""
    case = UseCase.of_photos(tmp_path, each=12)
    folder = tmp_path / "photos"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    listed = [
        {
            "relpath": path.relative_to(folder).as_posix(),
            "size": path.stat().st_size,
            "md5": hashlib.md5(path.read_bytes()).hexdigest(),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    ]
    digest = listing_digest({str(file["relpath"]): str(file["md5"]) for file in listed})
    origins = {
        "files": listed,
        "debian_package": "no-such-package",
        "mirrors": ["http://127.0.0.1:9/photos/"],
    }
    out = {"md5": digest, "hash": "md5", "path": "photos"}
    document = {"outs": [out], "wdir": ".linnet/data", "meta": {"linnet": origins}}
    (tmp_path / "photos.dvc").write_text(yaml.safe_dump(document))
    (tmp_path / "bin").mkdir()
    for program in ("sh", "mktemp"):  # and no apt-get
        (tmp_path / "bin" / program).symlink_to(str(shutil.which(program)))
    case.environment = {"PATH": str(tmp_path / "bin")}
    return case


def test_no_source_within_reach_is_told_and_a_wrong_byte_is_found(named: UseCase) -> None:
    says = ("no source has it", "apt-get is not installed", "127.0.0.1", "Connection refused", "connect to a")
    refused(named, "data", "fetch", "photos.dvc", status=1, says=says)
    there = named.state / "data" / "photos"
    shutil.copytree(named.folder / "photos", there)
    assert named.linnet("data", "fetch", "photos.dvc").returncode == 0
    damaged = there / "water" / "003.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused(named, "data", "fetch", "photos.dvc", status=1, says=("water/003.png", "digest", "no source has"))
    words = ("run", "photos.toml", "--set", "data.location=photos.dvc")
    refused(named, *words, status=1, says=("water/003.png", "no source has it", "127.0.0.1"))
    assert named.stages()["ingest"]["state"] == "failed"
    damaged.write_bytes(whole)
    assert named.linnet("data", "fetch", "photos.dvc").returncode == 0


def test_predict_refuses_what_is_no_image(finished: UseCase) -> None:
    (finished.folder / "note.png").write_text("a text")
    refused(finished, "predict", "note.png", status=1, says=("note.png",))
    refused(finished, "predict", "nowhere.png", status=1, says=("nowhere.png",))
    (finished.folder / "empty").mkdir()
    refused(finished, "predict", "empty", status=1, says=("empty", "holds no image"))
    up = finished.linnet("up", "--no-console", "--no-watch", "--detach", "--port", "0")
    assert up.returncode == 0, up.stderr
    try:
        for image in ("note.png", "nowhere.png"):
            done = finished.linnet("predict", image)
            assert done.returncode == 1 and image in done.stderr and "Traceback" not in done.stderr
            assert len(done.stderr.strip().splitlines()) == 1
        assert finished.linnet("predict", "photos/grass/001.png").returncode == 0
        both = finished.linnet("predict", "note.png", "photos/grass", "--json")
        bad, *good = [json.loads(line) for line in both.stdout.splitlines()]  # a bad file hides no good ones
        assert both.returncode == 1 and "note.png" in both.stderr and "error" in bad
        assert good and all(one["predictions"] for one in good)
    finally:
        assert finished.linnet("down").returncode == 0


def test_up_on_a_taken_port_says_so(finished: UseCase) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        says = (f"port {port}", "is taken", "--port")
        refused(finished, "up", "--no-console", "--detach", "--port", port, status=1, says=says)
        refused(finished, "up", "--no-console", "--port", port, status=1, says=says)


def test_failed_gate_ends_with_its_reason_and_registers_nothing(finished: UseCase) -> None:
    before, ledger = finished.versions(), finished.ledger()
    says = ("rejected", "expected calibration error is", "at most 0.0000 is allowed", "FAIL")
    refused(finished, "run", "photos.toml", "--set", "gates.max_ece=0", status=3, says=says)
    stages = finished.stages()
    assert finished.record()["state"] == "rejected" and finished.record()["ended_at"]
    assert stages["request_labels"]["state"] == "succeeded"
    assert not {"package", "register", "release"} & set(stages)
    assert finished.versions() == before and finished.ledger() == ledger
    impossible = (
        "gates.min_accuracy",
        "1 is out of reach",
        "no number of test images is enough",
        "set at most",
    )
    refused(finished, "run", "photos.toml", "--set", "gates.min_accuracy=1.0", status=2, says=impossible)
    assert finished.linnet("run", "photos.toml").returncode == 0


def test_file_size_limit_is_told(tmp_path: Path) -> None:
    case = UseCase.of_photos(tmp_path)
    command = 'ulimit -f 20; exec "$0" -m linnet run photos.toml'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable], **case.place(), capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the disk is full, or your share of it" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_state_folder_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    case = UseCase.of_photos(tmp_path)
    case.state.write_text("a file where the folder should be")
    refused(case, "run", "photos.toml", status=1, says=(str(case.state),))
