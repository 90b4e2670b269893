"""Random DAGs: the real compiler and the real driver do what a small interpreter of KFP's semantics says."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.engine.engines import ROOT
from tests.engine.random_dags.pipelines import run_here, run_in_worker
from tests.engine.random_dags.programs import Program, expected, programs

pytestmark = pytest.mark.timeout(3600)
# Where the variable CI is set, hypothesis would draw the same examples every night.
FREE = settings(
    deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, derandomize=False, database=None
)
WIDTHS = st.integers(1, 4)


def _agree(program: Program, seed: int, width: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        found, _ = run_here(program, Path(scratch) / "run", seed, width)
    wanted = expected(program)
    differ = (wanted.outcomes - found.outcomes, found.outcomes - wanted.outcomes)
    assert found.outcomes == wanted.outcomes, f"wanted and not found, found and not wanted: {differ}"
    assert found.failed == wanted.failed


@settings(FREE, max_examples=40, derandomize=True, phases=[Phase.generate])
@given(programs(), st.integers(0, 99), WIDTHS)
def test_random_dag_does_what_the_interpreter_says(program: Program, seed: int, width: int) -> None:
    _agree(program, seed, width)


@pytest.mark.proof
@settings(FREE, max_examples=2000)
@given(programs(), st.integers(0, 99), WIDTHS)
def test_two_thousand_random_dags_do_what_the_interpreter_says(
    program: Program, seed: int, width: int
) -> None:
    _agree(program, seed, width)


@settings(FREE, max_examples=2, derandomize=True, phases=[Phase.generate])
@given(programs(), WIDTHS)
def test_random_dag_in_a_worker_does_what_the_interpreter_says(program: Program, width: int) -> None:
    found, wanted = run_in_worker(program, width), expected(program)
    assert (found.outcomes, found.failed) == (wanted.outcomes, wanted.failed)


def test_proofs_draw_other_dags_every_time_also_in_ci() -> None:
    code = (
        "from tests.engine.random_dags import test_random_dags as tests\n"
        "for name, test in vars(tests).items():\n"
        "    if name.startswith(('test_two_thousand', 'test_hundred')):\n"
        "        print(test._hypothesis_internal_use_settings.derandomize)"
    )
    environment = {**os.environ, "CI": "true", "GITHUB_ACTIONS": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.proof
@settings(FREE, max_examples=100)
@given(programs(), WIDTHS)
def test_hundred_random_dags_in_workers_do_what_the_interpreter_says(program: Program, width: int) -> None:
    found, wanted = run_in_worker(program, width), expected(program)
    assert (found.outcomes, found.failed) == (wanted.outcomes, wanted.failed)
