"""KFP's own features, on this machine's engine or on the host that LINNET_PARITY_HOST names."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp.compiler import Compiler

from tests.engine.engines import RunningEngine, client_of, quiet, run_of, wait_for
from tests.engine.parity import suite, traps
from tests.engine.parity.cases import CASES, Case
from tests.shallow import shallow

HOST = os.environ.get("LINNET_PARITY_HOST", "")
assert suite and traps  # their cases stand in the list once they are loaded
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if HOST:
        yield client_of(HOST, os.environ.get("LINNET_ENGINE_TOKEN", ""))
        return
    engine = RunningEngine(tmp_path_factory.mktemp("parity") / "state", {"concurrent_runs": 3}).start()
    yield engine.client()
    engine.stop()


@pytest.fixture(scope="module")
def submitted(client: Any) -> dict[str, str]:
    """All runs at once: a host takes its time, and they wait for one another here too."""
    return {case.name: run_of(client, case.pipeline(), case.arguments) for case in CASES}


def test_suite_has_thirty_pipelines_with_different_names() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pipeline_does_what_it_does_on_a_cluster(case: Case, client: Any, submitted: dict[str, str]) -> None:
    check(case, wait_for(client, submitted[case.name], 900 if HOST else 300))


def test_order_follows_from_inputs_where_the_file_lists_no_dependencies(client: Any, tmp_path: Path) -> None:
    """A cluster's driver finds out whom a task waits for; the SDK happens to list them all."""
    (case,) = [case for case in CASES if case.name == "loop_over_an_output_collected"]
    file = tmp_path / "pipeline.yaml"
    shallow(Compiler().compile, case.pipeline(), str(file))
    text, listed = re.subn(r"^ +dependentTasks:\n(?: +- .*\n)+", "", file.read_text(), flags=re.MULTILINE)
    assert listed >= 2 and "dependentTasks" not in text
    file.write_text(text)
    with quiet():
        run_id = client.create_run_from_pipeline_package(str(file), {}).run_id
    check(case, wait_for(client, run_id, 900 if HOST else 300))


def check(case: Case, run: Any) -> None:
    """Asserts that a run ended as its case says."""
    states: dict[str, Counter[str]] = {}
    for task in run.run_details.task_details:
        states.setdefault(task.display_name, Counter())[task.state] += 1
    told = {task.display_name: task.error.message for task in run.run_details.task_details if task.error}
    assert not case.state or run.state == case.state, told
    for name, count in Counter(case.succeeded).items():
        assert states[name]["SUCCEEDED"] == count, (name, states, told)
    for name in case.failed:
        assert states[name]["FAILED"] >= 1, (name, states)
    for name in case.absent:
        assert states.get(name, Counter())["SUCCEEDED"] + states.get(name, Counter())["FAILED"] == 0, states
