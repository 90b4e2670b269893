"""A server of a terminal that is killed comes back with the champions and models of that moment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from linnet.commands import serve
from linnet.commands.terminal import terminal
from linnet.config import ServingConfig
from linnet.errors import RegistryError
from linnet.process.model_server import models_command

ROOT = Path(__file__).parents[2]
SERVER = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[1])
from linnet.process.model_server import ServerState
models = json.loads(sys.argv[sys.argv.index("--models-json") + 1])
with open(sys.argv[2], "a") as file:
    file.write(json.dumps({one["name"]: one["version"] for one in models}) + "\\n")
if len(open(sys.argv[2]).readlines()) == 1:
    file = sys.argv[sys.argv.index("--state-file") + 1]
    from pathlib import Path
    ServerState("http://x", os.getpid(), "i", "t", ["faces", "textures"]).write(Path(file))
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""Writes down what it is to serve; the first one has a model added to it, and is killed."""


def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, registry_fails: bool = False) -> list[Any]:
    """What the servers of one `serve_champions` were to serve; textures is promoted in the meantime."""
    told, real, asked = tmp_path / "served", models_command, []

    def champions(names: list[str] | None = None, _: object = None) -> list[Any]:
        asked.append(names)
        if len(asked) > 1 and registry_fails:
            raise RegistryError("the registry does not answer")
        version = "1" if len(asked) == 1 else "2"
        return [
            SimpleNamespace(name=name, version=version, package=tmp_path, run="", serving=ServingConfig)
            for name in names or []
        ]

    def command(*words: Any) -> list[str]:
        return [sys.executable, "-c", SERVER, str(ROOT), str(told), *real(*words)[3:]]

    monkeypatch.setattr(serve, "find_champions", champions)
    monkeypatch.setattr(serve, "models_command", command)
    with pytest.raises(typer.Exit) as ended:
        serve.serve_champions(["textures"], [], None, False, terminal())
    assert ended.value.exit_code == 0
    return [json.loads(line) for line in told.read_text().splitlines()]


def test_killed_server_comes_back_with_the_champions_of_now_and_models_that_were_added(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del state
    assert served(tmp_path, monkeypatch) == [{"textures": "1"}, {"faces": "2", "textures": "2"}]


def test_killed_server_comes_back_as_it_was_where_the_registry_does_not_answer(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del state
    assert served(tmp_path, monkeypatch, registry_fails=True) == [{"textures": "1"}] * 2
    assert "the registry does not answer" in capsys.readouterr().out
