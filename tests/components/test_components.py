"""Components only translate: their Python functions, called as a cluster's executor would."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from linnet.config import parse_config
from linnet.errors import ConfigError

NAMES = sorted(
    path.stem for path in (Path(__file__).parents[2] / "components").glob("[a-z]*.py") if path.stem != "image"
)


def component(name: str) -> Any:
    return getattr(importlib.import_module(f"components.{name}"), name)


def artifact(folder: Path) -> Any:
    return SimpleNamespace(path=str(folder), metadata={})


@pytest.mark.parametrize("name", NAMES)
def test_component_is_lightweight_and_says_what_it_does(name: str) -> None:
    container = component(name).component_spec.implementation.container
    assert "python" in container.image
    assert "pip install" not in " ".join(container.command), "the image has everything"
    assert component(name).python_func.__doc__


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Great Expectations' own, at import
def test_ingest_then_validate_write_what_the_next_step_reads(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for label, level in (("dark", 40), ("bright", 200)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for index in range(60):
            pixels = random.integers(level - 30, level + 30, (10, 12, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{index}.png")
    data = {"location": str(tmp_path / "images"), "height": 8.0, "width": 8.0, "color": "rgb"}
    config = parse_config({"name": "two", "data": data, "validation": {"min_per_class": 5}})
    samples, report = artifact(tmp_path / "samples"), artifact(tmp_path / "report")
    component("ingest").python_func(name="two", data=data, samples=samples)
    assert json.loads((tmp_path / "samples" / "manifest.json").read_text())["rows"] == 120
    assert samples.metadata["key"]
    component("validate").python_func(
        name="two", data=data, validation=config.validation.values(), samples=samples, report=report
    )
    assert json.loads((tmp_path / "report" / "validation.json").read_text())["passed"] is True


@pytest.mark.parametrize("name", ["ingest", "train"])
def test_component_refuses_a_wrong_section_by_name(name: str, tmp_path: Path) -> None:
    there = artifact(tmp_path)
    wrong = {"ingest": {"name": "x", "data": {"hight": 3}, "samples": there},
             "train": {"train": {"epochs": "many"}, "training_set": there, "model": there}}  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        component(name).python_func(**wrong[name])
    assert caught.value.where in ("data.hight", "train.epochs")
