"""`linnet cache ...` and the cost in `linnet runs show`, on runs of real steps."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from linnet.cache.store import open_cache
from linnet.cli import app
from linnet.errors import LinnetError
from linnet.records import RunRequest, StageRecord
from linnet.run import ending, runs
from linnet.run.step import run_step
from tests.run.test_step import Artifact


def one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int = 3, name: str = "photos") -> Path:
    """A run of one step, closed."""
    request = RunRequest(
        cause="drift", actor="monitor@host", reason="PSI 0.4", evidence={"drift_report": "reports/7.json"}
    )
    _, folder = runs.create("training", {"name": name, "train": {"epochs": epochs}}, request)
    monkeypatch.setenv("LINNET_RUN_DIR", str(folder))
    source = tmp_path / "samples"
    source.write_bytes(b"samples") if not source.exists() else None

    def work(out: Any) -> dict[str, Any]:
        out["model"].mkdir()
        (out["model"] / "weights").write_bytes(bytes(1_000_000))
        return {"epochs": epochs}

    out = Artifact(str(folder / "artifacts" / "linnet" / "train" / "model"))
    run_step(
        "train", work, code=__file__, parameters={"train": {"epochs": epochs, "seed": 0}},
        inputs={"samples": source}, outputs={"model": out},
    )  # fmt: skip
    ending.finish(folder, worked=True)
    return folder


def linnet(*words: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "160"})
    if status:
        assert isinstance(done.exception, LinnetError)
        return str(done.exception)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_explain_names_the_settings_and_inputs_that_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = one_run(tmp_path, monkeypatch)
    assert "no other run of this step" in linnet("cache", "explain", "", "train")
    second = one_run(tmp_path, monkeypatch)
    told = linnet("cache", "explain", second.name, "train")
    assert f"came from the cache (worked out by run {first.name})" in told and "nothing changed" in told
    one_run(tmp_path, monkeypatch, name="other use case")
    (tmp_path / "samples").write_bytes(b"other samples")
    third = one_run(tmp_path, monkeypatch, epochs=5)
    told = linnet("cache", "explain", third.name, "train", "--against", first.name)
    assert "worked" in told and "train.epochs: 3 -> 5" in told and "input samples: " in told
    assert "train.seed" not in told
    assert f"compared with run {second.name}" in linnet("cache", "explain", third.name, "train"), (
        "not with a run of another use case"
    )


def test_explain_of_a_step_that_is_not_there_names_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_run(tmp_path, monkeypatch)
    assert "it has train" in linnet("cache", "explain", "", "trian", status=1)


def test_ls_and_verify_look_at_every_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_run(tmp_path, monkeypatch)
    one_run(tmp_path, monkeypatch, epochs=4)
    listed = linnet("cache", "list")
    assert listed.count("train") == 2 and "2 entries, 1.0 MB" in listed, "equal contents are counted once"
    assert linnet("cache", "list", "--task", "package").count("package") == 0
    assert "2 entries are whole, 0 were not" in linnet("cache", "verify")
    (blob,) = [path for path in (open_cache().root / "blobs").rglob("*") if path.is_file()]
    blob.chmod(0o644)
    blob.write_bytes(b"x" + bytes(999_999))
    assert "0 entries are whole, 2 were not" in linnet("cache", "verify")


def test_gc_keeps_what_a_run_under_way_needs_and_a_dry_run_keeps_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_run(tmp_path, monkeypatch)
    busy = one_run(tmp_path, monkeypatch, epochs=4)
    record = json.loads((busy / "run.json").read_text())
    (busy / "run.json").write_text(json.dumps({**record, "state": "running"}))
    lock = runs.hold(busy)
    told = linnet("cache", "gc", "--days", "0", "--dry-run")
    assert "would drop 1 entries" in told and f"run {busy.name} is under way" in told
    assert len(open_cache().entry_files()) == 2
    assert "dropped 1 entries, 0.0 MB" in linnet("cache", "gc", "--days", "0"), "the contents are shared"
    (kept,) = open_cache().entry_files()
    assert kept.stem == StageRecord.load(busy / "stages" / "train.json").key
    os.close(lock)
    assert "dropped 1 entries, 1.0 MB; 0.0 MB stay" in linnet("cache", "gc", "--max-gb", "0")


def test_gc_goes_on_past_a_damaged_stage_record_and_keeps_what_it_may_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One damaged file of any run that was ever registered, and the cache could not be shrunk any more."""
    one_run(tmp_path, monkeypatch)
    busy = one_run(tmp_path, monkeypatch, epochs=4)
    over = one_run(tmp_path, monkeypatch, epochs=5)
    (over / "stages" / "train.json").write_text("{")  # of a run that ended: nothing of it is needed
    assert "would drop 3 entries" in linnet("cache", "gc", "--days", "0", "--dry-run")
    record = json.loads((busy / "run.json").read_text())
    (busy / "run.json").write_text(json.dumps({**record, "state": "running"}))
    lock = runs.hold(busy)
    (busy / "stages" / "package.json").write_text("{")  # no entry is of this task
    told = linnet("cache", "gc", "--days", "0", "--dry-run")
    assert "would drop 2 entries" in told and f"run {busy.name} is under way" in told
    (busy / "stages" / "train.json").write_text("{")
    told = linnet("cache", "gc", "--days", "0")
    assert "dropped 0 entries" in told and len(open_cache().entry_files()) == 3
    assert f"{busy.name} is under way, and its record of train cannot be read" in " ".join(told.split())
    os.close(lock)


def test_runs_show_tells_cause_versions_and_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_run(tmp_path, monkeypatch)
    told = linnet("runs", "show", one_run(tmp_path, monkeypatch).name)
    assert "drift, by monitor@host: PSI 0.4" in told and "reports/7.json" in told
    assert "python 3." in told and "CPU seconds" in told and "USD" in told
    assert "the cache saved" in told and "epochs 3" in told


def test_runs_compare_tells_what_differs_between_two_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (one_run(tmp_path, monkeypatch, epochs=epochs).name for epochs in (3, 4))
    told = linnet("runs", "compare", first, second)
    assert first in told and second in told and "succeeded" in told
    assert re.search(r"train\.epochs\W+3\W+4\W", told)
    assert "no metrics to compare" in told and "neither run was judged" in told
    assert "train.epochs" not in linnet("runs", "compare", first, first)


def test_runs_compare_cuts_nothing_at_80_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both runs were headed `photos-20261128-0130…`, and of commits and paths one half was seen."""
    name = "photos-of-the-" + "x" * 40
    first, second = (one_run(tmp_path, monkeypatch, epochs, name) for epochs in (3, 4))
    places = [f"/home/ada/pictures/a folder with quite a long name/of november/{n}" for n in ("one", "two")]
    for folder, place in zip((first, second), places, strict=True):
        record = json.loads((folder / "run.json").read_text())
        record["config"]["data"] = {"location": place}
        (folder / "run.json").write_text(json.dumps({**record, "commit": "c" * 40}))
    told = CliRunner().invoke(app, ["runs", "compare", first.name, second.name], env={"COLUMNS": "80"}).output
    lines = told.splitlines()
    assert lines[:2] == [f"A  {first.name}", f"B  {second.name}"] and "…" not in told
    assert f"commit  {'c' * 40}" in lines
    assert [f"  {mark}  {place}" in lines for mark, place in zip("AB", places, strict=True)] == [True, True]
    assert lines[lines.index("train.epochs") :][1:3] == ["  A  3", "  B  4"]
