"""Hostile text in every field that anybody can set, through every page, report, ledger table, board and rule."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml

from linnet.alerting.files import AlertedModel, alert_files
from linnet.alerting.rules import rule_groups
from linnet.config import ServiceLevelsConfig
from linnet.console.curves import Line, curves
from linnet.console.markup import Html
from linnet.console.pages import run as run_page
from linnet.console.pages.run import RunPageData
from linnet.console.sources import Canary
from linnet.console.views import comparison, models, overview, production, release, run
from linnet.deployment.page import render
from linnet.records import CohortResult, JudgeSnapshot, LedgerEntry, MetricJudgement, RunRequest, now
from linnet.report.render import html, markdown
from linnet.run.remarks import RunRemarks
from tests.console.records import evaluation, evidence, interval, run_record, version

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    '" onmouseover="alert(1)" x="',
    "' onfocus='alert(1)' autofocus x='",
    "</title></style></textarea><svg onload=alert(1)>",
    "javascript:alert(1)",
    "[x](javascript:alert(1))",
    "`<b onclick=alert(1)>`",
    "a\u202eb<i>",
    "&lt;script&gt;",
)
SAFE = {"onerror", "onload", "onclick", "onmouseover", "onfocus", "autofocus", "srcdoc", "formaction"}


class Dangers(HTMLParser):
    """What a browser would run, follow or be misled by, in a piece of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, element: str, attributes: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attributes}
        if element in ("script", "iframe", "object", "embed", "base", "i") or names & SAFE:
            self.found.append(f"<{element} {attributes}>"[:200])
        for name, value in attributes:
            scheme = "".join((value or "").lower().split())
            if name in ("href", "src", "action") and scheme.startswith(
                ("javascript:", "vbscript:", "data:text")
            ):
                self.found.append(f"{name}={value}")
            if name == "src" and value == "x":
                self.found.append("the payload's own image")


def everything(text: str) -> dict[str, str]:
    """Every piece that shows a record, of records whose every text field is `text`."""
    request = RunRequest(cause="merge", actor=text, reason=text)
    record = run_record(
        run_id=text, state="failed", error=text, request=request, commit=text,
        config={"name": text, "registry": {"model": text}, "data": {"classes": [text], "location": text}},
    )  # fmt: skip
    stage = record.stages[0].model_copy(update={"error": text, "values": {text: text}, "state": "failed"})
    record = record.model_copy(update={"stages": (stage,), "versions": {text: text}})
    judged = MetricJudgement(
        metric="errors", champion=0.0, candidate=0.01, low=-0.01, high=0.02, margin=0.05, verdict="good", evidence=text
    )  # fmt: skip
    look = JudgeSnapshot(seconds=1.0, percent=50, judgements=(judged,))
    base = evidence(passed=False)
    gate = base.decisions[0].gates[0].model_copy(update={"name": text, "evidence": text})
    decision = base.decisions[0].model_copy(update={"gates": (gate,)})
    whole = evidence().rollout
    assert whole is not None
    steps = tuple(one.model_copy(update={"reason": text, "judgements": (judged,)}) for one in whole.steps)
    rollout = whole.model_copy(
        update={"model": text, "version": text, "champion": text, "reason": text, "steps": steps}
    )
    cohort = CohortResult(cohort=text, value=text, samples=5, accuracy=interval(0.2))
    report = evaluation().model_copy(update={"classes": (text, text + "2"), "cohorts": (cohort,)})
    found = dataclasses.replace(
        base, record=record, decisions=(decision,), rollout=rollout, evaluation=report
    )
    entry = LedgerEntry(
        at=now(), actor=text, action="promote", model=text, version=text, previous=text, reason=text,
        evidence={text: text},
    )  # fmt: skip
    tagged = version(text).model_copy(
        update={"name": text, "tags": {"run": text, "commit": text, text: text}}
    )
    data = RunPageData(found, [], text, (text,), RunRemarks(tags=(text,), note=text))
    canary = Canary(text, text, text, "waiting", True, 50, 2.0, (), (look,))
    pieces: dict[str, Any] = {
        "run page": run_page._body(data, record.stages[0].task),
        "run head": run.heading_facts(record, data.remarks),
        "log": run.log_card(text),
        "runs": overview.runs_table([record]),
        "comparison": comparison.compare([found, found]),
        "versions": models.versions_table([tagged]),
        "ledger": models.ledger_table([entry]),
        "origin": models.origin(tagged),
        "cohorts": models.cohorts([cohort], 0.9),
        "confusion": models.confusion(report, report, (text, text)),
        "canary": release.canary(canary),
        "decision": release.history([(text, rollout)]),
        "curves": curves([Line.of(text, [{"epoch": 1.0, "a": 0.5}], "a")], text, text),
        "rollout page": render(rollout, [look]),
        "report": html(found),
        "alerts": production.alerts([], text),
    }
    return {name: str(piece) for name, piece in pieces.items()}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_every_field_is_text_on_every_page(text: str) -> None:
    pieces = everything(text)
    harmless = everything("harmless")
    for name, piece in pieces.items():
        known = Dangers(harmless[name]).found  # what the page has of its own, such as its own script
        assert Dangers(piece).found == known, f"{name}: {Dangers(piece).found}"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_a_report_for_the_forge_is_no_markup(text: str) -> None:
    record = run_record(run_id="r", state="failed", error=text, request=RunRequest(cause="merge", actor=text))
    written = markdown(dataclasses.replace(evidence(passed=False), record=record))
    written = re.sub(r"\\[\[\]`|]", "", written)  # what is escaped is text
    assert not {danger for danger in ("<img", "<script", "](", "<svg", "<b", "<i>") if danger in written}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_cohort_or_address_in_the_service_levels_stays_one_value(text: str) -> None:
    levels = ServiceLevelsConfig(critical_cohorts=(f"site={text}",), runbooks=f"https://example.org/{text}")
    harmless = ServiceLevelsConfig(critical_cohorts=("site=x",), runbooks="https://example.org/x")
    files = alert_files({"shop": AlertedModel(levels, ("127.0.0.1:1",))}, "127.0.0.1:2")
    known = alert_files({"shop": AlertedModel(harmless, ("127.0.0.1:1",))}, "127.0.0.1:2")
    assert files.keys() == known.keys()
    for name, content in files.items():
        read = json.loads if name.endswith(".json") else yaml.safe_load
        assert _shape(read(content)) == _shape(read(known[name])), name
    told = [rule["expr"] for group in rule_groups("shop", levels)["groups"] for rule in group["rules"]]
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    assert any(f'cohort="site",value="{quoted}"' in expression for expression in told)


def _shape(value: Any) -> Any:
    """A document without its texts."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    return [_shape(item) for item in value] if isinstance(value, list) else type(value)


def test_markup_of_a_page_that_is_none_is_found() -> None:
    """The test's own judge: each payload, put in unescaped, is a danger or plain text."""
    found = [text for text in HOSTILE if Dangers(Html(f'<a href="{text}" title="{text}">{text}</a>')).found]
    assert len(found) >= 7
