"""What an operator may do and a viewer may not; each act leaves a line in the audit log."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest
import typer.main

from docs.generate import walk
from linnet.cli import app
from linnet.console import actions
from linnet.console.actions import NotAllowed, Operator
from linnet.console.audit import AuditLog
from linnet.console.sessions import Role
from linnet.console.sources import Sources
from linnet.deployment.journal import Command
from linnet.errors import ConfigError, RegistryError, RolloutError


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
        lambda: person.send_rollout_command("m", "approve", "why"),
    ):
        with pytest.raises(NotAllowed, match="log in with the operator's token"):
            act()
    assert [line.action for line in audit.lines()] == [
        "approve a rollout",
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
    with pytest.raises(RolloutError, match="no rollout of m here yet"):
        person.send_rollout_command("m", "abort", "why")
    with pytest.raises(ConfigError):
        person.start_run({"name": "m", "train": {"epochs": -1}}, "why")
    last, _, first = audit.lines()
    assert (first.action, first.outcome, first.reason) == ("roll back", "failed", "why")
    assert "epochs" in last.detail and "(console)" in last.actor


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("labels", {"server": "http://attacker.example"}),
        ("labels", {"token_file": "/root/.ssh/id_ed25519"}),
        ("data", {"location": "/etc", "height": 8, "width": 8, "color": "gray"}),
        ("registry", {"tracking_uri": "http://attacker.example"}),
        ("engine", {"host": "http://attacker.example"}),  # would get LINNET_ENGINE_TOKEN
        ("serving", {"feature_source": "os:system"}),
        ("release", {"kserve": {"token_file": "/etc/shadow"}}),
    ],
)
def test_operator_may_not_reach_with_the_owners_rights(
    tmp_path: Path, section: str, values: dict[str, object]
) -> None:
    person, audit = operator(tmp_path, "operator")
    with pytest.raises(ConfigError, match=f"{section}.*configs/"):
        person.start_run({"name": "m", section: values}, "why")
    assert audit.lines()[0].outcome == "failed"


IN_THE_COMMAND_LINE = {
    "promote": {"models promote"},
    "rollback": {"models rollback"},
    "start_run": {"run", "submit"},
    "terminate": {"runs terminate"},
    "retry": {"runs resume"},
    "remark": {"runs remark"},
    "send_rollout_command": {f"rollout {command}" for command in get_args(Command)},
}
"""What an operator can do in the console, and the commands that do the same."""


def test_everything_that_the_console_changes_the_command_line_can_change() -> None:
    acts = {name for name, _ in inspect.getmembers(Operator, inspect.isfunction) if not name.startswith("_")}
    assert acts == set(IN_THE_COMMAND_LINE)
    known = {path.removeprefix("linnet ") for path, _ in walk(typer.main.get_command(app))}
    for commands in IN_THE_COMMAND_LINE.values():
        assert commands <= known


def test_pages_change_things_through_the_operator_alone() -> None:
    """What they call on it is what is listed above; nothing else that acts is imported beside it."""
    source = Path(actions.__file__).parent
    pages = "".join(
        file.read_text("utf-8") for file in [*source.glob("pages/*.py"), *source.glob("views/*.py")]
    )
    assert set(re.findall(r"context\.operator\(request\)\.(\w+)", pages)) == {"may_act"} | set(
        IN_THE_COMMAND_LINE
    )
    for acting in (
        "launch.submit",
        "launch.client",
        "serving.champion_traffic",
        "registry.connect",
        "deployment.rollout_commands",
    ):
        assert f"linnet.{acting} import" not in pages, acting
