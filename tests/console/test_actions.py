"""What an operator may do and a viewer may not; each act leaves a line in the audit log."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.console.access import Role
from linnet.console.actions import NotAllowed, Operator
from linnet.console.audit import AuditLog
from linnet.console.sources import Sources
from linnet.errors import ConfigError, RegistryError


def operator(tmp_path: Path, role: Role) -> tuple[Operator, AuditLog]:
    audit = AuditLog(tmp_path / "audit.jsonl")
    return Operator(Sources(), audit, role), audit


def test_viewer_can_change_nothing_and_the_try_is_on_record(tmp_path: Path) -> None:
    person, audit = operator(tmp_path, "viewer")
    assert not person.may_act
    for act in (
        lambda: person.promote("m", "1", "why"),
        lambda: person.rollback("m", "why"),
        lambda: person.start_run({"name": "m"}, "why"),
        lambda: person.terminate("r", "why"),
        lambda: person.retry("r", "why"),
    ):
        with pytest.raises(NotAllowed, match="log in with the operator's token"):
            act()
    assert [line.action for line in audit.lines()] == [
        "retry",
        "terminate",
        "start a run",
        "roll back",
        "promote",
    ]
    assert {line.outcome for line in audit.lines()} == {"refused"}


def test_act_that_fails_is_on_record_with_its_error(tmp_path: Path) -> None:
    person, audit = operator(tmp_path, "operator")
    with pytest.raises(RegistryError):
        person.rollback("m", "why")
    with pytest.raises(ConfigError):
        person.start_run({"name": "m", "train": {"epochs": 0}}, "why")
    last, first = audit.lines()
    assert (first.action, first.outcome, first.reason) == ("roll back", "failed", "why")
    assert "epochs" in last.detail and "(console)" in last.actor
