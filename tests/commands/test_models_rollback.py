"""`linnet models rollback` and `promote` end a rollout that is under way, also one whose process is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.console.actions import Operator
from linnet.console.audit import AuditLog
from linnet.console.sources import Sources
from linnet.deployment.journal import Journal
from linnet.registry.champion import ModelRegistry
from linnet.registry.mlflow_registry import MlflowRegistry
from tests.commands.test_cache_commands import linnet
from tests.registry import conftest
from tests.registry.conftest import Submit

database, steps, submit = conftest.database, conftest.steps, conftest.submit


@pytest.fixture
def journal(database: Path, submit: Submit, state: Path) -> Journal:
    """tiny: champion 2 after 1, and the rollout of 3 at 1 %, whose process was killed."""
    del database
    registry = ModelRegistry(MlflowRegistry(), "ada@lab")
    for sharpness in (60.0, 50.0, 40.0):
        registry.register(submit(sharpness))
    registry.promote("tiny", "1", None, override="the first")
    registry.promote("tiny", "2", "1", override="better")
    left = Journal(state / "rollouts" / "tiny.json")
    left.path.parent.mkdir(parents=True)
    left.write(
        {"model": "tiny", "candidate": "3", "champion": "2", "percent": 1, "phase": "running", "total": 9.0,
         "started_at": "2026-01-01T00:00:00+00:00", "at": "2026-01-01T00:00:09+00:00"}
    )  # fmt: skip
    return left


def phase(journal: Journal) -> str:
    return str(journal.read()["phase"])


def champion() -> str:
    found = ModelRegistry(MlflowRegistry()).champion("tiny")
    assert found is not None
    return found.version


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (("models", "rollback", "--reason", "x"), "1"),
        (("models", "promote", "1", "--reason", "x"), "1"),
        (("rollout", "abort", "--reason", "x"), "2"),
    ],
    ids=["rollback", "promote", "abort"],
)
def test_dead_rollout_is_ended_and_abort_alone_leaves_the_champion(
    journal: Journal, words: tuple[str, ...], left: str
) -> None:
    """Issue 20: a rollback for a dead run demoted the champion and left the canary "under way, 1 %"."""
    told = linnet(*words)
    assert phase(journal) == "rollback" and champion() == left
    assert words[0] == "rollout" or "the rollout of version 3 is ended" in told
    assert "rolled back" in linnet("rollout", "status")


@pytest.mark.parametrize("act", ["rollback", "promote"])
def test_console_ends_it_as_well(journal: Journal, tmp_path: Path, act: str) -> None:
    person = Operator(Sources(), AuditLog(tmp_path / "audit"), "operator")
    if act == "rollback":
        person.rollback("tiny", "why")
    else:
        person.promote("tiny", "1", "why")
    assert phase(journal) == "rollback" and champion() == "1"


def test_rollback_that_cannot_be_ends_nothing(journal: Journal) -> None:
    linnet("models", "rollback", "--reason", "x")
    journal.write({**journal.read(), "phase": "running"})
    assert "no earlier champion" in linnet("models", "rollback", "--reason", "x", status=1)
    assert phase(journal) == "running"
