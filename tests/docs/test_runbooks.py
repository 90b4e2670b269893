"""Every command of every runbook parses, and every setting, metric, panel and file that one names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from linnet.alerting.dashboards import dashboards
from linnet.cli import command_line
from linnet.config import SECTIONS, ServiceLevelsConfig
from linnet.monitoring import metric_names
from tests.docs.runbooks import PAGES, Step, named, steps

BOARDS = dashboards("fashion", ServiceLevelsConfig())
MACHINE = {"df -h", "dmesg", "top"}
"""Programs of the system that runbooks send people to."""


def parse(words: list[str]) -> None:
    """As the command line does, up to the moment when the command would run.

    Raises:
        click.UsageError: there is no such command, or it has no such option.
    """
    command, context = command_line(), None
    while True:
        context = command.make_context(command.name or "linnet", list(words), parent=context)
        if not hasattr(command, "commands"):
            return
        _, command, words = command.resolve_command(context, [*context._protected_args, *context.args])


ALL = [step for page in PAGES for step in steps(page)]


@pytest.mark.parametrize("step", ALL, ids=lambda step: f"{step.page}: {step.command}")
def test_command_of_a_runbook_parses(step: Step) -> None:
    parse(step.words)


def test_a_command_that_does_not_exist_is_found() -> None:
    """The check can fail: what runbooks once said does."""
    for wrong in ("drift why", "retraining why --since 3", "models rollback 2", "log show"):
        with pytest.raises(Exception, match=r"(?i)no such|unexpected|missing"):
            parse(wrong.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_runbook_says_what_to_look_at_what_to_do_and_how_to_go_back(page: Path) -> None:
    sections = re.findall(r"^## (.+)$", page.read_text("utf-8"), re.MULTILINE)
    assert sections == ["Look", "Do", "Back"]
    assert {"Look", "Do"} <= {step.section for step in steps(page)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_runbook_names_exists(page: Path) -> None:
    metrics = {*metric_names.SERVER, *metric_names.MONITOR}
    for name in named(page) - MACHINE:
        section, dot, key = name.partition(" ")[0].partition(".")
        if dot and section in SECTIONS:
            assert key in SECTIONS[section].model_fields, name
        elif name.startswith("linnet_"):
            assert name in metrics, name
        elif not re.fullmatch(r"(burn=)?[\d.]+|none", name):
            assert Path(name).name in FILES or (name.startswith(".linnet/") and name.endswith("/")), name


FILES = {
    "server.log",
    "keeper.log",
    "report.html",
    "drift.json",
    "performance.json",
    "skew.json",
    "requirements.lock",
}
"""That they are where the runbooks say is seen in `test_runbooks_played.py`."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_panels_that_a_runbook_sends_to_are_on_their_board(page: Path) -> None:
    text = page.read_text("utf-8")
    sent = re.findall(r"[Dd]ashboard \*([\w-]+)\*, panels? \*([^*]+)\*(?: and \*([^*]+)\*)?", text)
    assert len(re.findall("[Dd]ashboard ", text)) == len(sent), "each names its board and panel"
    for board, *panels in sent:
        titles = {panel["title"] for panel in BOARDS[f"fashion-{board}"]["panels"]}
        assert {panel for panel in panels if panel} <= titles
