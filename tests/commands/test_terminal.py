"""Names reach the terminal as they are; ids and paths can be copied; help reads as people know it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from linnet import __version__
from linnet.cli import command_line
from linnet.commands.predict import _files, _show_answers
from linnet.commands.runs import _print_runs
from linnet.commands.summary import _settings, show_summary
from linnet.commands.terminal import progress_bars, terminal
from linnet.config import parse_config
from linnet.errors import DataError
from linnet.launch import follow
from linnet.records import RunRecord, RunRequest, StageRecord
from linnet.run import ending, runs
from linnet.run.live import append

REPOSITORY = Path(__file__).resolve().parents[2]
ODD = ("scan[red].png", "ok[/b]", "[bold]x", ":smile:", "a[/]b")


def test_brackets_in_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name", title="[/t]")
    for name in ODD:
        terminal().print(name)
        table.add_row(name)
    terminal().print(table)
    shown = capsys.readouterr().out
    assert all(shown.count(name) == 2 for name in ODD)
    assert "[/t]" in shown


def test_answers_with_brackets_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"model": "m", "version": "1", "predictions": [{"class": "ok[/b]", "probability": 0.5}]}
    _show_answers([(Path("scan[red].png"), answer)])
    shown = capsys.readouterr().out
    assert "scan[red].png" in shown and "ok[/b]" in shown


def test_no_command_makes_a_console_that_takes_text_for_markup() -> None:
    """The kind, not the case: one function makes every console of the command line."""
    files = [*(REPOSITORY / "linnet" / "commands").glob("*.py"), REPOSITORY / "linnet" / "cli.py"]
    made = [
        file.name for file in files if re.search(r"(?<![\w.])(Console|Terminal)\(", file.read_text("utf-8"))
    ]
    assert made == ["terminal.py"]


def test_version_is_told() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "linnet", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == f"linnet {__version__}\n"


def test_help_shows_switches_without_a_value_and_arguments_in_capitals() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "linnet", "run", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"Usage: .*run \[OPTIONS\] CONFIG", shown)
    assert re.search(r"--dry-run +Only show what would run", shown) and "<bool>" not in shown
    groups = [command_line()]
    for group in groups:
        groups += getattr(group, "commands", {}).values()
        assert all(option.metavar == "" for option in group.params if getattr(option, "is_flag", False))


def test_run_ids_are_whole_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    began = datetime(2026, 11, 27, 10, tzinfo=UTC)
    ids = ["fashion-20261127-101500-ab12", "x" * 63 + "-20261127-101500-cd34"]
    _print_runs([(name, "succeeded", "person", began, began + timedelta(seconds=90)) for name in ids])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", *ids]
    _print_runs([(ids[0], "interrupted", "schedule", began, began + timedelta(seconds=90))])
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())


def test_settings_that_differ_come_first_and_integers_are_integers() -> None:
    config = parse_config({"name": "x", "train": {"epochs": 3}, "gates": {"min_auc": 0.5}}).values()
    config["train"]["epochs"] = 3.0  # as KFP's structs give it back
    request = RunRequest(cause="person", actor="me", reason="", commit="")
    record = RunRecord(
        run_id="r", pipeline="training", config=config, commit="", request=request, state="succeeded",
        started_at=datetime.now(UTC),
    )  # fmt: skip
    changed, usual = _settings(record)
    assert [row[:2] for row in changed] == [("train.epochs", "3"), ("gates.min_auc", "0.5")]
    assert list(usual)[:2] == ["data", "validation"]
    assert "epochs" not in usual["train"].split(", ")[0]


def test_long_step_says_how_far_it_is_without_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stages").mkdir()
    stage = StageRecord(task="train", state="running", started_at=datetime.now(UTC) - timedelta(seconds=70))
    stage.save(tmp_path / "stages" / "train.json")
    (tmp_path / "progress.json").write_text('{"what": "training", "done": 2, "total": 5}')
    monkeypatch.setattr(follow, "LINE_SECONDS", 0.0)
    out = io.StringIO()
    ends = iter([False, False, True])
    follow._show_lines(tmp_path, lambda: next(ends), Console(file=out))
    assert out.getvalue().count("s so far  training: 2 of 5") >= 2


def test_runs_show_tells_how_far_a_running_stage_is(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    began = datetime.now(UTC) - timedelta(seconds=70)
    request = RunRequest(cause="person", actor="me", reason="", commit="")
    RunRecord(
        run_id="r", pipeline="training", config=parse_config({"name": "x"}).values(), commit="",
        request=request, state="running", started_at=began,
    ).save(tmp_path / "run.json")  # fmt: skip
    StageRecord(task="train", state="running", started_at=began).save(tmp_path / "stages" / "train.json")
    (tmp_path / "progress.json").write_text('{"what": "training", "done": 2, "total": 5}')
    out, lock = io.StringIO(), runs.hold(tmp_path)
    try:
        show_summary(tmp_path, Console(file=out, width=100))
    finally:
        os.close(lock)
    assert re.search(r"train +7\d s so far +training: 2 of 5", out.getvalue())


def test_predict_takes_folders_and_tells_what_it_leaves_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/1.png", "2.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    files = _files([tmp_path, Path("other.png")])
    assert files == [tmp_path / "2.png", tmp_path / "a" / "1.png", Path("other.png")]
    assert "left out 1 not an image" in capsys.readouterr().err.replace("\n", " ")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        _files([tmp_path / "empty"])


def test_brackets_in_what_a_bar_is_about_are_shown_as_they_are() -> None:
    """rich's bars take their texts for markup on any console: `s3://x/[red]y` lost a part, `[/b]` failed."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100, markup=False)
    with progress_bars(console) as progress:
        for place in ("s3://x/[red]y", "s3://x/[/b]"):
            progress(f"fetching: {place}", 1, 2)
        time.sleep(0.15)  # a frame
    assert "s3://x/[red]y" in shown.getvalue() and "s3://x/[/b]" in shown.getvalue()


def test_no_command_makes_bars_of_its_own() -> None:
    """The kind: one function makes every bar of the command line, and every column says what its text is."""
    sources = {file: file.read_text("utf-8") for file in (REPOSITORY / "linnet").rglob("*.py")}
    making = [file.name for file, text in sources.items() if re.search(r"(?<![\w.])(Progress|Bars)\(", text)]
    assert making == ["terminal.py"]
    columns = [line for text in sources.values() for line in text.splitlines() if "TextColumn(" in line]
    assert columns and all("markup=False" in line for line in columns)


LONG = Path("/home/ada/pictures/a folder with quite a long name/of the year 2026/november/scan-0001.png")


def test_paths_in_text_and_in_answers_are_never_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a box a path was cut to `/home/ada/pictures/a fold…`: of two photos nobody could tell which."""
    monkeypatch.setenv("COLUMNS", "60")
    terminal().print(f"look at it: {LONG}")
    terminal().print(Text(str(LONG)))
    answer = {"model": "m", "version": "1", "predictions": [{"class": "ok[/b]", "probability": 0.75}]}
    _show_answers([(LONG, answer), (LONG.with_name("scan-0002.png"), answer)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(str(LONG)) and lines[1] == str(LONG)
    assert f"{LONG}  m 1" in lines and f"{LONG.with_name('scan-0002.png')}  m 1" in lines
    assert lines.count("   75.0%  ok[/b]") == 2
    _show_answers([(Path("a.png"), answer)])
    assert "┃ image" in capsys.readouterr().out, "what fits is a table"


def test_paths_of_a_run_s_result_are_whole_on_a_narrow_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "a state folder with a long name" / "state"))
    _, folder = runs.create("training", {"name": "x"}, RunRequest(cause="person", actor="me"))
    page = folder / "evaluate" / "report" / "report.html"
    page.parent.mkdir(parents=True)
    page.touch()
    ending.finish(folder, worked=False)
    out = io.StringIO()
    show_summary(folder, Console(file=out, width=40))
    lines = out.getvalue().splitlines()
    for name in (Path("evaluate") / "report" / "report.html", Path("log.txt")):
        (line,) = [line for line in lines if line[:2] == "  " and line.endswith(str(name))]
        found = Path(os.path.normpath(Path.cwd() / line[20:].strip()))
        assert found.resolve() == (folder / name).resolve(), line


def test_training_is_watched_on_the_terminal(tmp_path: Path) -> None:
    """Epochs, pace, time left and what it takes of the machine; today's run said `for 24 s` alone."""
    (tmp_path / "stages").mkdir()
    began = datetime.now(UTC) - timedelta(seconds=70)
    StageRecord(task="train", state="running", started_at=began).save(tmp_path / "stages" / "train.json")
    at = began.timestamp()
    told = {"what": "epoch 3/5: loss 0.3", "done": 50, "total": 100, "began": 0, "since": at, "at": at + 70}
    (tmp_path / "progress.json").write_text(json.dumps(told))
    for epoch in range(1, 6):
        append(tmp_path / "live" / "train.jsonl", {"epoch": epoch, "loss": 1 / epoch})
    append(tmp_path / "live" / "train.usage.jsonl", {"at": 2.0, "cpus": 1.5, "memory_mb": 900.0, "gpu": 0.93})
    out = io.StringIO()
    Console(file=out, width=120).print(follow._table(tmp_path, Spinner("dots")))
    shown = out.getvalue()
    for words in ("epoch 3/5: loss 0.3, 1 min", "epoch 5: loss 0.2", "1.5 processors", "GPU 93 %"):
        assert words in shown, shown
    assert "epoch 2:" not in shown  # the last three alone
    assert "epoch 5: loss 0.2" in follow.under_way(tmp_path)
