"""From a folder of images to answers of a champion, with the commands that a person types."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.e2e.use_case import COLORS, UseCase, refused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ALWAYS = {"register", "release"}
"""Steps that change the world, and so are never cached."""
SECOND = ("--set", "train.seed=1")
"""Another training on the same data."""


def champion(case: UseCase) -> dict[str, Any]:
    (found,) = [version for version in case.versions() if "champion" in version["aliases"]]
    return found


def plan(case: UseCase, *words: str) -> dict[str, str]:
    """The plan of a dry run: `cached` or `run` for each step."""
    shown = case.linnet("run", "photos.toml", "--dry-run", *words)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    rows = re.findall(r"^│ ([a-z-]+) +│ (\w+) ", shown.stdout, re.MULTILINE)
    return {name.replace("-", "_"): what for name, what in rows}


def answers(case: UseCase, *images: str) -> list[dict[str, Any]]:
    """What `linnet predict --json` says about images, less what differs from request to request."""
    done = case.linnet("predict", "--json", *images)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [{name: line[name] for name in ("image", "model", "version", "predictions")} for line in found]


def test_digits_of_scikit_learn_end_with_a_champion(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        file = tmp_path / "digits" / str(label) / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 255 / 16).astype(np.uint8)).save(file)
    case = UseCase(tmp_path)
    made = case.linnet("init", "digits", "--data", "digits")
    assert made.returncode == 0 and "linnet run configs/digits.toml" in made.stdout, made.stderr
    done = case.linnet("run", "configs/digits.toml", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    version = champion(case)
    assert version["name"] == "digits"
    assert version["metrics"]["accuracy"] >= 0.95
    assert list((case.state / "work").glob("train-*")) == [], "a finished training leaves no checkpoint"


@pytest.mark.proof  # its canary is judged by seconds: beside another busy process it rolls back
def test_real_photos_end_with_a_champion_by_two_commands_and_it_answers(tmp_path: Path) -> None:
    """Tiles of the two photographs that scikit-learn ships, a pretrained network, and the gates of `init`."""
    from sklearn.datasets import load_sample_images

    photographs = dict(zip(("temple", "flower"), load_sample_images().images, strict=True))
    side = 80
    for name, pixels in photographs.items():
        corners = [(y, x) for y in range(0, 427 - side, side) for x in range(0, 640 - side + 1, side)]
        for number, (y, x) in enumerate(corners):
            file = tmp_path / "shots" / name / f"{number:02}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[y : y + side, x : x + side + number % 20]).save(file, quality=90)
    case = UseCase(tmp_path)
    made = case.linnet("init", "shots", "--data", "shots")
    assert made.returncode == 0, made.stderr
    assert 'backbone = "auto"' in (tmp_path / "configs" / "shots.toml").read_text()
    done = case.linnet("run", "configs/shots.toml", timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert champion(case)["name"] == "shots"
    up = case.linnet("up", "--detach")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        for name in photographs:
            (answer,) = answers(case, f"shots/{name}/07.jpg")
            assert answer["predictions"][0]["class"] == name
    finally:
        case.linnet("down")


def test_color_photos_of_mixed_sizes_end_with_a_champion_and_a_summary(finished: UseCase) -> None:
    done = finished.linnet("runs", "show", finished.runs()[0].name)
    assert done.returncode == 0
    for words in ("gates: evaluation", "gates: package", "canary of version 1", "succeeded", "linnet up"):
        assert words in done.stdout
    assert set(re.findall(r"^│ (\w+) ", done.stdout, re.MULTILINE)) >= ALWAYS | {
        "train",
        "accuracy",
        "parity",
    }
    assert finished.record(finished.runs()[0])["state"] == "succeeded"
    assert champion(finished)["metrics"]["accuracy"] > 0.6


def test_second_run_takes_from_the_cache_what_the_dry_run_said_and_makes_no_second_version(
    finished: UseCase,
) -> None:
    before, ledger = finished.versions(), finished.ledger()
    runs, latest = finished.runs(), (finished.state / "latest").resolve()
    planned = plan(finished)
    assert finished.runs() == runs and finished.versions() == before
    assert (finished.state / "latest").resolve() == latest and latest.exists()
    done = finished.linnet("run", "photos.toml", "--set", "engine.mirror_runs=true")
    assert done.returncode == 0, done.stdout + done.stderr
    stages = finished.stages()
    assert {name for name, stage in stages.items() if not stage["cached"]} == ALWAYS
    assert planned == {n: "cached" if s["cached"] else "run" for n, s in stages.items()} | {
        "record_run": "run"
    }
    assert finished.versions() == before
    assert finished.ledger() == ledger
    _wait_for_the_mirror(finished)


def _wait_for_the_mirror(case: UseCase) -> None:
    """Until MLflow has every run of the case, the last one among them, and nothing is left at work."""
    until = time.monotonic() + 120
    while not all((run / "mirrored").exists() for run in case.runs()) or case.processes():
        assert time.monotonic() < until, (case.state / "engine" / "mirror.log").read_text()
        time.sleep(0.1)
    with closing(sqlite3.connect(case.state / "mlflow" / "mlflow.db")) as file:
        sql = "SELECT value, status FROM tags JOIN runs USING (run_uuid) WHERE key = 'linnet.pipeline_run'"
        assert sorted(file.execute(sql)) == sorted((run.name, "FINISHED") for run in case.runs())


def test_labelling_round_alone_asks_what_the_newest_evaluation_doubts(finished: UseCase) -> None:
    # before a second training, whose own round would find all of so few photos asked about
    before = finished.runs()
    done = finished.linnet("labels", "round", "photos.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert finished.processes() == {}
    (run,) = set(finished.runs()) - set(before)
    assert finished.record(run)["pipeline"] == "labeling"
    stages = finished.stages(run)
    assert set(stages) == {"ingest", "validate", "collect_labels", "request_labels"}
    assert stages["ingest"]["cached"] and stages["validate"]["cached"]
    file = next(run.rglob("requests.json"))
    asked = json.loads(file.read_text())
    assert len(asked["requests"]) == stages["request_labels"]["values"]["requested"] > 0
    newest = next(folder for folder in reversed(before) if "evaluate" in finished.stages(folder))
    assert asked == json.loads(next(newest.rglob("requests.json")).read_text()), (
        "the same round, not a new one"
    )


def test_canary_that_says_no_leaves_the_champion(finished: UseCase) -> None:
    before = {version["version"]: version["aliases"] for version in finished.versions()}
    strict = ("max_latency_ratio=1.0001", "median_floor_ms=0", "latency_floor_ms=0", "deadline_seconds=2")
    words = (*SECOND, *(word for setting in strict for word in ("--set", f"release.{setting}")))
    planned = plan(finished, *words)
    says = ("rejected", "canary of version", "latency")
    refused(finished, "run", "photos.toml", *words, status=3, says=says)
    assert finished.record()["state"] == "rejected"
    stages = finished.stages()
    assert planned == {n: "cached" if s["cached"] else "run" for n, s in stages.items()} | {
        "record_run": "run"
    }
    kept = {"ingest", "validate", "collect_labels", "build_features"}
    assert {n for n, s in stages.items() if s["cached"]} == kept
    after = {version["version"]: version["aliases"] for version in finished.versions()}
    (new,) = set(after) - set(before)
    assert after == {**before, new: ["challenger"]}


def test_rollback_after_a_second_training_gives_the_earlier_answers_again(finished: UseCase) -> None:
    # the canary has refused this training: the same command, less strict, may try again
    images = [f"photos/{name}/000.png" for name in COLORS]
    up = finished.linnet("up", "--detach", "--no-watch", "--port", "0")
    try:
        assert up.returncode == 0, up.stderr
        first, earlier = champion(finished)["version"], answers(finished, *images)
        done = finished.linnet("run", "photos.toml", *SECOND)
        assert done.returncode == 0, done.stdout + done.stderr
        second, later = champion(finished)["version"], answers(finished, *images)
        assert second != first and later != earlier
        back = finished.linnet("models", "rollback", "--reason", "the test says so")
        assert back.returncode == 0 and f"version {first} is the champion again" in back.stdout
        assert answers(finished, *images) == earlier, "bit for bit, from the server that ran all the while"
    finally:
        down = finished.linnet("down")
    assert down.returncode == 0, down.stderr
    assert answers(finished, *images) == earlier, "and without a server"
    assert finished.ledger()[-1]["entry"]["reason"] == "the test says so"


def test_predict_prints_three_classes_with_and_without_a_server_and_its_trail_leads_to_the_data(
    finished: UseCase,
) -> None:
    image, version = "photos/water/001.png", champion(finished)["version"]
    alone = finished.linnet("predict", image)
    assert alone.returncode == 0 and all(name in alone.stdout for name in COLORS), alone.stderr
    assert f"photos {version}" in alone.stdout and len(re.findall(r"\d+\.\d%", alone.stdout)) == 3
    up = finished.linnet("up", "--detach", "--no-watch", "--port", "0", "--console-port", "0")
    try:
        assert up.returncode == 0, up.stderr
        assert finished.linnet("predict", image).stdout == alone.stdout
        again = finished.linnet("up")  # shows where things are, and leaves them as they are
        assert again.returncode == 0 and "served already" in again.stdout, again.stderr
        assert finished.linnet("predict", image).stdout == alone.stdout
        (link,) = re.findall(r"^operator +(http\S+)", up.stdout, re.M)
        opened = httpx.get(link)
        assert opened.status_code == 303 and re.search(
            r"linnet_console_\d+=operator\.", opened.headers["set-cookie"]
        )
    finally:
        down = finished.linnet("down")
    assert down.returncode == 0 and "stopped" in down.stdout
    assert finished.processes() == {}
    _walk_the_trail(finished)


def _walk_the_trail(case: UseCase) -> None:
    """From the last logged prediction to the version, its run, the commit and the data."""
    logged = sorted((case.state / "serving" / "log").glob("*.parquet"))
    (row,) = pq.read_table(logged[-1]).to_pylist()
    assert row["predicted"] == "water"
    (version,) = [found for found in case.versions() if found["version"] == row["version"]]
    run = case.state / "runs" / version["tags"]["run"]
    assert case.stages(run)["register"]["values"]["version"] == row["version"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=case.folder, capture_output=True, text=True)
    assert case.record(run)["commit"] == version["tags"]["commit"] == head.stdout.strip()
    manifest = json.loads((run / "ingest" / "samples" / "manifest.json").read_text())
    assert manifest["digest"] == version["tags"]["dataset_digest"]
