"""`linnet compile` writes any of the pipelines, for a cluster."""

from __future__ import annotations

from pathlib import Path

import yaml
from typer.testing import CliRunner

from linnet.cli import app
from tests.shallow import shallow


def test_compile_writes_the_pipeline_that_is_asked_for_with_the_image_of_the_cluster(tmp_path: Path) -> None:
    config = tmp_path / "shoes.toml"
    config.write_text('name = "shoes"\n[cluster]\nimage = "registry.example.org/linnet@sha256:1"\n')
    target = tmp_path / "out.yaml"
    command = ["compile", str(config), "--pipeline", "labeling", "-o", str(target)]
    done = shallow(CliRunner().invoke, app, command)
    assert done.exit_code == 0, done.output
    spec, _ = yaml.load_all(target.read_text(), yaml.CSafeLoader)
    assert spec["pipelineInfo"]["name"] == "linnet-labeling"
    executors = spec["deploymentSpec"]["executors"].values()
    assert {one["container"]["image"] for one in executors} == {"registry.example.org/linnet@sha256:1"}


def test_compile_names_the_pipelines_that_there_are(tmp_path: Path) -> None:
    config = tmp_path / "shoes.toml"
    config.write_text('name = "shoes"\n')
    done = CliRunner().invoke(app, ["compile", str(config), "--pipeline", "serving", "-o", "unused.yaml"])
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    assert "training, labeling, monitoring" in said
