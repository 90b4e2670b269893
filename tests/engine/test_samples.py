"""The benchmark of KFP's compiled samples: what it makes of an ending, and a small folder run for real."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kfp import dsl
from kfp.compiler import Compiler

from benchmarks.samples import Ending, cause, table, verdict
from tests.engine.engines import ROOT
from tests.engine.parity import parts


@pytest.mark.parametrize(
    ("name", "state", "expected"),
    [
        ("a.yaml", "succeeded", "runs"),
        ("a.yaml", "failed", "wrong"),
        ("a.yaml", "refused", "refused"),
        ("a.yaml", "stuck", "unended"),
        ("failing/a.yaml", "failed", "runs"),
        ("failing/a.yaml", "succeeded", "wrong"),
        ("failing/a.yaml", "stuck", "unended"),
        ("env-var.yaml", "failed", "runs"),
        ("env-var.yaml", "succeeded", "wrong"),
        ("pipeline_with_importer.yaml", "failed", "outside"),
        ("pipeline_with_importer.yaml", "succeeded", "runs"),
        ("pipeline_with_google_artifact_type.yaml", "failed", "runs"),
        ("input_artifact.yaml", "refused", "refused"),
        ("input_artifact.yaml", "succeeded", "wrong"),
    ],
)
def test_ending_is_judged_by_what_a_cluster_does(name: str, state: str, expected: str) -> None:
    assert verdict(name, Ending(state, "why")) == expected  # type: ignore[arg-type]


def test_table_counts_each_engine_and_gives_the_reasons_of_what_is_refused_and_wrong() -> None:
    only = "The SubprocessRunner only supports running Lightweight Python Components."
    results = {
        "a.yaml": {"Linnet": Ending("succeeded"), "kfp.local": Ending("refused", only)},
        "b.yaml": {"Linnet": Ending("refused", "needs a container"), "kfp.local": Ending("failed", "b!")},
        "c.yaml": {"Linnet": Ending("succeeded"), "kfp.local": Ending("stuck", "not ended after 9 s")},
        "pipeline_with_importer.yaml": {"Linnet": Ending("failed", "cannot be fetched")},
    }  # fmt: skip
    text = table(results)
    for line in (
        "| of 4 samples | Linnet | kfp.local |",
        "| end as on a cluster | 2 | 0 |",
        "| refused, with the reason | 1 | 1 |",
        "| not ended in the time they were given | 0 | 1 |",
        "| wrong | 0 | 1 |",
        f"| {cause(only)} | 1 |",
        "| not run | 0 | 1 |",
        "| a public bucket of Google's cloud (gs://ml-pipeline-playground) | 1 |",
        "| wrong by kfp.local, because of | samples |",
        "| b! | 1 |",
    ):
        assert line in text.splitlines(), text
    assert "wrong by Linnet" not in text


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_folder_of_compiled_pipelines_is_run_and_its_table_written(tmp_path: Path) -> None:
    @dsl.pipeline(name="good")
    def good(value: int) -> None:
        parts.expect_number(found=parts.double(value=value).output, wanted=14)

    @dsl.pipeline(name="bad")
    def bad() -> None:
        parts.fail()

    for name, pipeline in (("good", good), ("failing/bad", bad), ("worse", bad)):
        file = tmp_path / "folder" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        Compiler().compile(pipeline, str(file))
    words = [
        "folder",
        "--engines",
        "Linnet",
        "--table",
        "table.md",
        "--results",
        "results.json",
        "--jobs",
        "3",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.samples", *words],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "table.md").read_text()
    assert all(f"{name}.yaml: Linnet: " in done.stdout for name in ("good", "failing/bad", "worse"))
    assert text in done.stdout
    assert len(json.loads((tmp_path / "results.json").read_text())) == 3
    assert "| end as on a cluster | 2 |" in text and "| wrong | 1 |" in text, text
    assert "| wrong by Linnet, because of | samples |" in text
