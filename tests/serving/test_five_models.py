"""Five models under load at once, while two release and one rolls back: each answer is its model's own.

Every answer is compared, bit by bit, with a replay of the version of the named model that it says it is.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.serving.client import ServerClient
from linnet.serving.predictor import Predictor
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, noise_png, running
from tests.serving.test_several_models import models_flags

MODELS = ("digits", "faces", "fashion", "textures", "birds")
BODIES = [noise_png(seed) for seed in range(32)]
CLIENTS = 10
Answer = tuple[str, int, int, dict[str, str], bytes]
"""Model asked, number of the image, status, headers and body."""


def classes_of(model: str) -> tuple[str, ...]:
    return tuple(f"{model} {i}" for i in range(3 + MODELS.index(model)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of each model two packages with other answers: its odd and its even versions."""
    folder = tmp_path_factory.mktemp("five")
    for number, model in enumerate(MODELS):
        for parity, broken in ((1, None), (0, "permuted")):
            make_package(
                folder / model / str(parity),
                name=model,
                classes=classes_of(model),
                broken=broken,  # type: ignore[arg-type]
                sharpness=40.0 + 5 * number,
            )
    return folder


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[RunningServer]:
    flags = models_flags(
        *({"name": model, "version": "1", "package": folder / model / "1"} for model in MODELS)
    )
    with running(tmp_path / "run", None, "", *flags, "--workers", "2") as started:
        yield started


def package_of(folder: Path, model: str, version: str) -> Path:
    return folder / model / str(int(version) % 2)


def release(server: RunningServer, folder: Path, model: str, stop: threading.Event) -> None:
    """Canaries of one model after another: each at 20, then 60 percent, then promoted."""
    client = ServerClient(server.state.url, server.state.token, model=model)
    champion = 1
    while not stop.is_set():
        candidate = champion + 1
        client.load(str(candidate), package_of(folder, model, str(candidate)))
        for percent in (20, 60):
            client.set_routes(str(champion), str(candidate), percent=percent, mirror=0.3)
            stop.wait(0.2)
        client.set_routes(str(candidate))
        client.unload(str(champion))
        champion = candidate


def roll_back(server: RunningServer, folder: Path, model: str, stop: threading.Event) -> None:
    """Between two versions, there and back."""
    client = ServerClient(server.state.url, server.state.token, model=model)
    client.load("2", package_of(folder, model, "2"))
    while not stop.is_set():
        for version in ("2", "1"):
            client.set_routes(version)
            stop.wait(0.1)


def asked(server: RunningServer, count: int) -> list[Answer]:
    """`count` requests of all models by turns, over CLIENTS connections, each sent once."""
    found: list[list[Answer]] = [[] for _ in range(CLIENTS)]

    def ask(number: int) -> None:
        client = ServerClient(server.state.url)
        for i in range(number, count, CLIENTS):
            model, image = MODELS[i % len(MODELS)], (i // len(MODELS)) % len(BODIES)
            status, headers, body = client.request("POST", f"/predict/{model}", BODIES[image])
            found[number].append((model, image, status, headers, body))
        client.close()

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answer for one in found for answer in one]


def wrong_answers(folder: Path, answers: list[Answer]) -> list[str]:
    """What is not, to the bit, the answer of the named model's own version."""
    replays = {
        (model, parity): Predictor.load("r", folder / model / str(parity), 1)
        for model in MODELS
        for parity in (0, 1)
    }
    expected = {
        (model, parity, image): replay.predict_upload(body).output[0]
        for (model, parity), replay in replays.items()
        for image, body in enumerate(BODIES)
    }
    wrong = []
    for model, image, status, headers, body in answers:
        answer = json.loads(body)
        if status != 200:
            wrong.append(f"{model}: {status} {answer}")
            continue
        version, named = answer["version"], (answer["model"], headers["linnet-model"])
        probabilities = expected[model, int(version) % 2, image]
        classes = classes_of(model)
        same = all(
            one["class"] in classes
            and one["probability"] == float(probabilities[classes.index(one["class"])])
            for one in answer["predictions"]
        )
        if named != (model, model) or headers["linnet-model-version"] != version or not same:
            wrong.append(f"{model} {version}: {named} {answer}")
    return wrong


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.proof)])
def test_five_models_under_load_answer_as_themselves_while_two_release_and_one_rolls_back(
    server: RunningServer, folder: Path, count: int
) -> None:
    stop = threading.Event()
    problems: list[BaseException] = []

    def guarded(work: object, model: str) -> None:
        try:
            work(server, folder, model, stop)  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001  told by the assertion below
            problems.append(error)

    changes = [(release, "faces"), (release, "fashion"), (roll_back, "textures")]
    threads = [threading.Thread(target=guarded, args=change) for change in changes]
    for thread in threads:
        thread.start()
    try:
        answers = asked(server, count)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not problems
    assert len(answers) == count
    assert wrong_answers(folder, answers) == []
    versions = Counter((model, json.loads(body)["version"]) for model, _, _, _, body in answers)
    assert {version for model, version in versions if model in ("digits", "birds")} == {"1"}
    for model in ("faces", "fashion", "textures"):
        assert sum(asked_of == model for asked_of, _ in versions) > 1, f"{model} never changed"
