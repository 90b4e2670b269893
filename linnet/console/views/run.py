"""One run: its graph, its steps, its gates. Records in, markup out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from linnet.console import charts
from linnet.console.markup import (
    Html,
    address,
    card,
    chip,
    empty,
    facts,
    join,
    problem,
    section,
    table,
    tag,
    tile,
    tiles,
    when,
)
from linnet.console.views.live import LiveStep, history, machine
from linnet.evaluation import plots
from linnet.launch.graph import PipelineTask
from linnet.pages.numbers import duration, money, number, percent
from linnet.records import Gate, Interval, RunRecord, StageRecord, TrainingReport, now
from linnet.report.evidence import RunEvidence
from linnet.run.log import own_lines
from linnet.run.remarks import RunRemarks

NOTHING_SAID = RunRemarks()
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def heading_facts(record: RunRecord, said: RunRemarks = NOTHING_SAID) -> Html:
    """The line under the run's name, with its tags and note."""
    request = record.request
    parts: list[object] = [
        chip(record.state, mark=True),
        " ",
        f"{request.cause} · {request.actor} · ",
        when(record.started_at),
    ]
    if request.reason:
        parts.append(f" · {request.reason}")
    parts += [join([" ", chip(name)]) for name in said.tags]
    if said.note:
        parts.append(tag("div", said.note, class_="soft small"))
    return join(parts)


def graph(evidence: RunEvidence, tasks: Sequence[PipelineTask], picked: str) -> Html:
    """The run's steps with their states; a step opens its details."""
    states: dict[str, tuple[str, str]] = {}
    for stage in evidence.record.stages:
        refused = stage.values.get("verdict", "pass") not in ("pass", "promote")
        state = "refused" if stage.state == "succeeded" and refused else stage.state
        states[stage.task.replace("_", "-")] = state, _remark(stage)
    if evidence.record.ended_at is not None:
        for task in tasks:
            if task.always:
                states.setdefault(task.name, ("succeeded", "recorded"))
            states.setdefault(task.name, ("skipped", "not reached"))
    return charts.dag(tasks, states, picked, address("runs", evidence.record.run_id) + "?step=")


def _remark(stage: StageRecord) -> str:
    if stage.state == "running":
        return f"for {duration((now() - stage.started_at).total_seconds())}"
    if stage.cached:
        return f"cached, saved {duration(stage.saved_seconds)}"
    return duration(stage.seconds)


def summary(evidence: RunEvidence) -> Html:
    """What happened, in a line and four figures."""
    record = evidence.record
    end = record.ended_at or now()
    worked = sum(stage.cpu_seconds for stage in record.stages)
    saved = sum(stage.saved_seconds for stage in record.stages)
    memory = max((stage.peak_memory_mb for stage in record.stages), default=0.0)
    cost = record.cost
    accuracy = evidence.evaluation.metrics.get("accuracy") if evidence.evaluation else None
    gates = evidence.gates
    failed = len(evidence.failed_gates)
    judged = f"{len(gates) - failed} of {len(gates)}" if gates else "–"
    return join(
        [
            problem(record.error) if record.error and record.state in ("failed", "rejected") else "",
            tiles(
                tile(
                    "Took", duration((end - record.started_at).total_seconds()), f"{duration(worked)} of CPU"
                ),
                tile(
                    "Cache saved",
                    duration(saved),
                    f"{sum(s.cached for s in record.stages)} of {len(record.stages)} steps",
                ),
                tile("Test accuracy", percent(accuracy.value if accuracy else None, 2), _bounds(accuracy)),
                tile("Gates passed", judged, f"{failed} failed" if failed else "", "bad" if failed else ""),
                tile(
                    "Cost",
                    money(cost.cost, cost.currency) if cost else "–",
                    f"the cache saved {money(cost.saved_cost, cost.currency)}"
                    if cost and cost.saved_cost
                    else "",
                ),
                tile("Peak memory", f"{memory / 1000:.2f} GB" if memory else "–"),
            ),
        ]
    )


def _bounds(interval: Interval | None) -> str:
    if interval is None or not isfinite(interval.low):
        return ""
    return f"{percent(interval.low)} to {percent(interval.high)}"


def gates(found: Sequence[tuple[str, Gate]], intervals: dict[str, Interval]) -> Html:
    """The gate table with a picture of each interval and threshold."""
    if not found:
        return empty("No gate was judged", "Gates are judged after the evaluation and after packaging.")
    return table(
        ("Verdict", "Gate", ">Judged", "?Interval", "Evidence"),
        (
            (
                chip("pass" if gate.passed else "fail", mark=True),
                join([tag("b", gate.name.replace("_", " ")), tag("div", stage, class_="soft small")]),
                f"{number(gate.value)} {gate.relation} {number(gate.threshold)}",
                _picture(gate, intervals),
                tag("span", gate.evidence, class_="soft small"),
            )
            for stage, gate in found
        ),
        "Gates",
    )


def intervals_of(evidence: RunEvidence) -> dict[str, Interval]:
    """The interval behind each gate that has one."""
    report = evidence.evaluation
    if report is None:
        return {}
    compared = {"non_inferiority": report.comparison.difference} if report.comparison else {}
    return {**report.metrics, **compared}


def _picture(gate: Gate, intervals: dict[str, Interval]) -> Html:
    point = Interval(value=gate.value, low=gate.value, high=gate.value)
    interval = intervals.get(gate.name, point)
    low, high = plots.axis_around([interval], gate.threshold)
    return Html(plots.whisker(interval, low, high, gate.threshold, gate.passed))


def step(stage: StageRecord | None, task: PipelineTask | None, log: str, gives: Sequence[str] = ()) -> Html:
    """The details of one step: what it was given, what it gave, and what it said."""
    if stage is None:
        hint = "It begins when the steps before it are done, and the conditions around it hold."
        return card(task.name if task else "Step", empty("It did not begin", hint))
    pairs: list[tuple[str, object]] = [
        (
            "State",
            chip("cached" if stage.cached else stage.state, "accent" if stage.cached else "", mark=True),
        ),
        ("Began", when(stage.started_at)),
        ("Time", f"{duration(stage.seconds)}, {duration(stage.cpu_seconds)} of CPU"),
        ("Peak memory", f"{stage.peak_memory_mb:,.0f} MB" if stage.peak_memory_mb else "–"),
        ("Cache", _cache(stage)),
    ]
    if task is not None:
        pairs += [
            ("Takes", ", ".join(task.takes) or "nothing"),
            ("Gives", ", ".join(gives) or "nothing yet"),
            ("Waits for", ", ".join(task.needs) or "nothing"),
            ("Only if", ", ".join(task.conditions) or "always"),
            ("Tries again", f"{task.retries} times" if task.retries else "no"),
            ("At most", duration(task.timeout_seconds) if task.timeout_seconds else "no limit"),
        ]
    pairs += [(name.replace("_", " "), _value(value)) for name, value in stage.values.items() if value != ""]
    body = tag("div", card(stage.task.replace("_", "-"), facts(pairs)), log_card(log), class_="grid two")
    return join([problem(stage.error) if stage.error else "", body])


def _cache(stage: StageRecord) -> Html | str:
    if not stage.key:
        return "never cached: it asks or changes the world"
    key = tag("code", stage.key[:20])
    if stage.cached:
        why = "taken from an earlier step with the same code, settings, environment and contents of inputs"
        return join([why, f", which saved {duration(stage.saved_seconds)}: ", key])
    return join(["no earlier step had the same code, settings, environment and contents of inputs: ", key])


def _value(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def log_card(text: str) -> Html:
    """What a step said; the end of it, where that is long."""
    said = tag("span", text or "This step wrote nothing.")  # in a box that is turned round: its end is seen
    return card("Log", tag("pre", said, class_="log", tabindex="0", aria_label="Log"))


def plain(text: str) -> str:
    """A log without the colors of a terminal, and without what KFP's executor says of itself."""
    return "".join(own_lines(_COLOUR.sub("", text).splitlines(keepends=True)))


def log_of(text: str, task: str, most: int = 200) -> str:
    """The lines of a run's log that belong to a task (kfp.local names it in quotes), the last ones."""
    name = task.replace("_", "-")
    found, inside = [], False
    for line in plain(text).splitlines():
        if "task '" in line.lower():
            inside = f"'{name}'" in line
        if inside or f"[{name}]" in line:
            found.append(line)
    return "\n".join(found[-most:])


def training(report: TrainingReport | None, told: LiveStep | None) -> Html:
    """How training went, per epoch: by its report, or, where it came to no end, by what it told until then."""
    if report is not None:
        words = (
            f"{report.parameters:,} weights, {report.device}, {report.precision}, {duration(report.seconds)}"
        )
        words += f". {report.cross_validated}" if report.cross_validated else ""
        rows: Sequence[Mapping[str, float]] = report.history
    elif told is not None and told.rows:
        words, rows = "It came to no end: these epochs were over.", told.rows
    else:
        return Html("")
    return join(
        [
            section("Training", tag("p", words, class_="soft"), history(rows)),
            machine(told.usage) if told else "",
        ]
    )


def canary(evidence: RunEvidence) -> Html:
    """The release of the run, step by step."""
    rollout = evidence.rollout
    if rollout is None:
        return Html("")
    rows = [
        (
            f"{one.percent} %",
            f"{one.candidate_requests:,}",
            duration(one.seconds),
            chip(one.verdict, mark=True),
            tag("span", one.reason, class_="soft small"),
        )
        for one in rollout.steps
    ]
    return section(
        f"Canary of version {rollout.version}",
        tag("p", chip(rollout.verdict, mark=True), " ", rollout.reason),
        table((">Traffic", ">Requests", "?>Time", "Verdict", "Reason"), rows, "Canary"),
    )


def pages(evidence: RunEvidence) -> Html:
    """Links to the pages that the run wrote."""
    run_id = evidence.record.run_id
    links = [
        tag(
            "a",
            title,
            class_="button",
            href=address("artifacts", run_id, index, file.name),
            target="_blank",
            rel="noopener",
        )
        for index, (title, file) in enumerate(evidence.pages)
    ]
    return tag("div", *links, class_="actions") if links else Html("")
