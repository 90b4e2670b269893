"""The command line: its parameters are frozen here, and a person's mistake gets one message."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from linnet.__main__ import main
from linnet.cli import app
from linnet.commands.training import parse_settings
from linnet.errors import ConfigError, DataError
from tests.registry.forked import start, wait

COMMANDS = {
    "run": {"config", "--set", "--dry-run", "--reason", "--host"},
    "submit": {"config", "--set", "--host", "--wait", "--key", "--cause", "--commit", "--reason"},
    "tune": {"config", "--output", "--trials", "--training-set", "--set", "--force", "--dry-run"},
    "init": {"name", "--data", "--force", "--layout", "--preset"},
    "compile": {"config", "--output", "--set", "--pipeline"},
    "up": {
        "--name",
        "--config",
        "--port",
        "--engine-port",
        "--console-port",
        "--console",
        "--labels",
        "--watch",
        "--keep",
        "--install",
        "--detach",
    },
    "down": set(),
    "predict": {"images", "--name", "--config", "--json", "--draw", "--out"},
    "status": {"--name", "--json"},
    "diagnose": {"config", "--name", "--minutes", "--json"},
    "backup": {"file", "--with-keys", "--force", "--dry-run"},
    "restore": {"file", "--force", "--dry-run"},
    "keys create": {"name", "--scope", "--model", "--rate"},
    "keys list": set(),
    "keys revoke": {"number"},
    "requests refused": {"--reason", "--limit", "--json"},
    "requests replay": {"request_ids", "--reason", "--limit", "--dry-run"},
    "requests show": {"request_id", "--output", "--json"},
    "models list": {"--name", "--tracking-uri"},
    "models show": {"version", "--name", "--tracking-uri"},
    "models promote": {"version", "--reason", "--name", "--tracking-uri"},
    "models allow": {"version", "--reason", "--name", "--tracking-uri"},
    "models rollback": {"--reason", "--name", "--tracking-uri"},
    "rollout status": {"--name"},
    "rollout approve": {"--name", "--reason"},
    "rollout pause": {"--name", "--reason"},
    "rollout resume": {"--name", "--reason"},
    "rollout abort": {"--name", "--reason"},
    "drift report": {"--name", "--config", "--minutes", "--output", "--evidently", "--json"},
    "drift simulate": {"--kind", "--name", "--severity", "--rate", "--count", "--seconds", "--feedback"}
    | {"--training-set", "--seed", "--dry-run"},
    "drift watch": {"config", "--name", "--stop", "--dry-run"},
    "skew audit": {"--name", "--config", "--minutes", "--require-known-images", "--json"},
    "retraining why": {"config", "--name"},
    "retraining check": {"config", "--name", "--dry-run"},
    "retraining status": {"config", "--name"},
    "retraining ledger": {"config", "--name", "--limit", "--all"},
    "retraining reset-breaker": {"config", "--name", "--reason"},
    "alerts generate": {
        "config",
        "--output",
        "--target",
        "--monitor",
        "--alertmanager",
        "--interval",
        "--dry-run",
    },
    "report": {"run_id", "--format", "--output", "--host", "--exit-code"},
    "console": {"what", "--port", "--bind", "--name", "--host"},
    "labels up": {"--port", "--show-password"},
    "labels down": set(),
    "labels export": {"config", "--dry-run"},
    "labels collect": {"config", "--full", "--run", "--dry-run"},
    "labels round": {"config", "--host"},
    "labels status": {"config"},
    "labels serve": {"config", "--port", "--host", "--every", "--run"},
    "labels cut": {"config", "--as-of"},  # the name before, not shown
    "labels snapshot": {"config", "--as-of"},
    "labels show": {"config", "sample"},
    "runs list": {"--limit", "--host"},
    "runs show": {"run_id", "--host"},
    "runs compare": {"first", "second"},
    "runs mirror": set(),
    "runs remark": {"run_id", "--tags", "--note"},
    "runs log": {"run_id", "--task", "--raw"},
    "runs follow": {"run_id", "--host"},
    "runs terminate": {"run_id", "--host"},
    "runs resume": {"run_id", "--host", "--wait"},
    "runs archive": {"run_id", "--host"},
    "runs unarchive": {"run_id", "--host"},
    "runs delete": {"run_id", "--host"},
    "data fetch": {"dvc_file", "--revision"},
    "data windows": {"config"},
    "data withdraw": {"config", "window", "--reason"},
    "cache explain": {"run_id", "task", "--against"},
    "cache ls": {"--task"},  # the name before, not shown
    "cache list": {"--task"},
    "cache verify": set(),
    "cache gc": {"--days", "--max-gb", "--dry-run"},
}


def linnet(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linnet", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)


def forked(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The same in a child of this process, which has Linnet loaded: a twentieth of the time."""
    said = [folder / "stdout", folder / "stderr"]

    def child() -> int:
        os.chdir(folder)
        for number, file in enumerate(said, start=1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        sys.argv = ["linnet", *words]
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return 0

    status = wait(start(child))
    return subprocess.CompletedProcess(words, status, *(file.read_text("utf-8") for file in said))


def test_commands_have_these_parameters_and_no_others() -> None:
    found = {}
    root = typer.main.get_command(app)
    groups = {"": root.commands}  # type: ignore[attr-defined]
    groups |= {f"{n} ": c.commands for n, c in groups[""].items() if hasattr(c, "commands")}
    for prefix, commands in groups.items():
        for name, command in commands.items():
            if not hasattr(command, "commands"):
                words = {next((o for o in p.opts if o.startswith("--")), p.opts[0]) for p in command.params}
                found[prefix + name] = words
    assert found == COMMANDS


def test_help_shows_every_command() -> None:
    shown = linnet("--help")
    assert shown.returncode == 0
    for command in {name.split()[0] for name in COMMANDS}:
        assert f" {command} " in shown.stdout


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("run", "none.toml"), 2, "none.toml: no such file"),
        (("run", "bad.toml"), 2, "train.epoch: unknown key (did you mean epochs?)"),
        (("run", "good.toml", "--set", "train.epochs=many"), 2, "train.epochs"),
        (("run", "good.toml", "--set", "epochs=3"), 2, "section.field=value"),
        (("init", "pets", "--data", "nowhere"), 1, "nowhere"),
        (("init", "Bad Name", "--data", "."), 2, "lower-case"),
        (("predict", "image.png"), 1, "there is no champion yet"),
        (("up", "--name", "nobody"), 1, "there is no champion of nobody yet"),
        (("models", "rollback", "--reason", "x"), 1, "no model is registered yet"),
        (("models", "rollback", "--name", "x"), 1, "there is no model 'x' (known: none yet)"),
        (("models", "show", "7", "--name", "x"), 1, "there is no model 'x'"),
        (("retraining", "reset-breaker", "good.toml"), 2, "say why: it is recorded in the ledger"),
        (("console", "link"), 1, "no console runs here: `linnet up`"),
        (("runs", "compare", "x", "y"), 1, "there is no run 'x' here"),
        (("drift", "report"), 1, "there is no champion yet"),
        (("drift", "simulate", "--kind", "fog"), 2, "there is no kind fog"),
        (("drift", "simulate", "--kind", "blur"), 1, "there is no training set to draw images from"),
        (("skew", "audit"), 1, "there is no champion yet"),
        (("runs", "show"), 1, "nothing ran here yet"),
        (("data", "fetch", "none.dvc"), 1, "none.dvc"),
        (("nonsense",), 2, "No such command 'nonsense'"),
    ],
)
def test_mistake_is_one_message_without_traceback(
    tmp_path: Path, words: tuple[str, ...], status: int, says: str
) -> None:
    (tmp_path / "bad.toml").write_text('name = "bad"\n[train]\nepoch = 3\n')
    (tmp_path / "good.toml").write_text('name = "good"\n')
    done = forked(tmp_path, *words)
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = linnet("run", "none.toml", "--debug", cwd=tmp_path)
    assert "Traceback" in done.stderr and "ConfigError" in done.stderr


def test_down_without_a_server_is_fine(tmp_path: Path) -> None:
    done = linnet("down", cwd=tmp_path)
    assert done.returncode == 0 and "nothing is running" in done.stdout


def test_compile_writes_the_kfp_file(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text('name = "good"\n')
    done = linnet("compile", "good.toml", "-o", "out/p.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "linnet-training" in (tmp_path / "out" / "p.yaml").read_text()


def test_parse_settings_takes_toml_values_and_plain_text() -> None:
    assert parse_settings(["a.b=3", "a.c=[1, 100]", "a.d=cpu", 'a.e="x"', "a.f=true"]) == {
        "a.b": 3,
        "a.c": [1, 100],
        "a.d": "cpu",
        "a.e": "x",
        "a.f": True,
    }
    with pytest.raises(ConfigError):
        parse_settings(["a.b"])


def test_simulated_drift_draws_from_the_state_folder_that_linnet_home_names(state: Path) -> None:
    told = CliRunner().invoke(app, ["drift", "simulate", "--kind", "blur", "--dry-run"]).exception
    assert isinstance(told, DataError) and str(state / "latest" / "build-features") in str(told)
