"""The README tells the truth: its curl lines run against the real server, its commands parse."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from linnet.cli import app
from linnet.config import load_config
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, running

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
LINES = [line.split(" #")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]
CURLS = [line for line in LINES if line.startswith("curl ")]
COMMANDS = [line for line in LINES if line.startswith("linnet ")]
TARGETS = [line for line in LINES if line.startswith("make ")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The real server with a package of the README's model: its name, its classes, its image size."""
    config = load_config(ROOT / "configs" / "fashion.toml")
    folder = tmp_path_factory.mktemp("readme")
    size = {"height": config.data.height, "width": config.data.width}
    package = make_package(folder / "package", name=config.name, classes=config.data.classes, **size)
    with running(folder, package, "1", "--workers", "1") as started:
        yield started


def curl(line: str, server: RunningServer, debian: Callable[[str, str], str]) -> tuple[int, str]:
    debian("curl", "curl")
    words = shlex.split(line.replace("http://127.0.0.1:8090", server.state.url))
    command = [*words, "--write-out", "\n%{http_code}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_readme_has_what_is_tested_here() -> None:
    assert len(CURLS) == 5 and len(COMMANDS) >= 8 and {"make run", "make test"} <= set(TARGETS)


@pytest.mark.parametrize("line", CURLS)
def test_readme_curl_succeeds(line: str, server: RunningServer, debian: Callable[[str, str], str]) -> None:
    status, body = curl(line, server, debian)
    assert status == 200, body


def test_readme_prediction_names_three_classes_and_the_version(
    server: RunningServer, debian: Callable[[str, str], str]
) -> None:
    line = next(line for line in CURLS if line.endswith("/predict"))
    answer = json.loads(curl(line, server, debian)[1])
    assert answer["model"] == "fashion" and answer["version"] == "1"
    assert len(answer["predictions"]) == 3


def test_readme_v2_inference_answers_a_probability_a_class(
    server: RunningServer, debian: Callable[[str, str], str]
) -> None:
    line = next(line for line in CURLS if line.endswith("/infer"))
    answer: dict[str, Any] = json.loads(curl(line, server, debian)[1])
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert answer["id"] == "example"
    assert outputs["probabilities"]["shape"] == [1, 10]
    assert sum(outputs["probabilities"]["data"]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("line", COMMANDS)
def test_readme_command_parses(line: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    context = command.make_context(command.name, words)
    assert context.command is command


def test_readme_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in {word for line in TARGETS for word in line.split()[1:] if word.isalpha()}:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("run", "test", "lint", "types", "bench", "proof", "clean"):
        assert f"make {target} " in shown
