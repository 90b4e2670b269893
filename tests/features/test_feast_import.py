"""Importing Feast: quickly, and without a trace in the process."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(script: str) -> str:
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


@pytest.mark.slow
def test_import_leaves_out_torch_and_restores_typeguard_and_environment() -> None:
    script = """
import os, sys, typeguard
before, checked = dict(os.environ), typeguard.typechecked
from linnet.features.feast_import import import_feast
assert "feast" not in sys.modules
feast = import_feast()
assert feast is import_feast()
assert "torch" not in sys.modules
assert typeguard.typechecked is checked
assert dict(os.environ) == before, set(os.environ) - set(before)
import torch
print(feast.__name__, torch.__name__)
"""
    assert run(script) == "feast torch"


def test_features_package_imports_nothing_slow() -> None:
    script = """
import sys
import linnet.features.build, linnet.features.serve, linnet.features.audit
print(sorted({"feast", "pandas", "torch", "pyarrow", "ibis"} & set(sys.modules)))
"""
    assert run(script) == "[]"


def test_first_question_to_a_store_imports_feast_the_quick_way() -> None:
    script = """
import sys
from linnet.errors import ConfigError
from linnet.features.store import FeatureStore
try:
    FeatureStore("x").historical("nothing", [], [], [])
except ConfigError as error:
    print("torch" in sys.modules, "image_classifier_v1" in str(error))
"""
    assert run(script) == "False True"
