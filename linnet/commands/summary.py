"""What a person sees at the end of a run: stages, gates, the canary, and where to look next."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from shlex import quote

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from linnet.commands.terminal import fits
from linnet.config import RegistryConfig
from linnet.config.root import SECTIONS
from linnet.errors import ConfigError, LinnetError
from linnet.launch.follow import describe, under_way
from linnet.process.model_server import ServerState
from linnet.records import Gate, GateDecision, RolloutDecision, RunCost, RunRecord
from linnet.registry.connect import connect
from linnet.report import comparison
from linnet.report.evidence import RunEvidence
from linnet.run import runs
from linnet.storage.files import is_a_file, is_there
from linnet.storage.paths import server_state_file, state_dir

_COLORS = {"succeeded": "green", "rejected": "yellow", "failed": "red", "interrupted": "yellow"}
_VERDICTS = {"pass": "green", "promote": "green", "proceed": "green", "inconclusive": "yellow"}


def show_summary(folder: Path, console: Console) -> None:
    """Prints the summary of a run from what its folder holds."""
    record = runs.load(folder)
    console.print()
    console.print(_stages(record))
    if record.state == "running" and (line := under_way(folder)):
        console.print(line, soft_wrap=True)
    for task, output in (("evaluate", "report"), ("package", "package")):
        where = runs.artifact(folder, task, output)
        if where is not None and is_there(where / "gates.json"):
            console.print(_gates(GateDecision.load(where / "gates.json")))
    rollout = runs.artifact(folder, "release", "rollout")
    if rollout is not None and is_there(rollout / "rollout.json"):
        console.print(_canary(RolloutDecision.load(rollout / "rollout.json")))
    _print_closing(record, folder, console)


def show_origin(folder: Path, console: Console) -> None:
    """Prints who or what asked for a run, from what it was made, and what it took."""
    record = runs.load(folder)
    request = record.request
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row(
        "cause", f"{request.cause}, by {request.actor}" + (f": {request.reason}" if request.reason else "")
    )
    for what, value in request.evidence.items():
        table.add_row(what.replace("_", " "), Text(str(value)))
    table.add_row("commit", record.commit or "outside git")
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    table.add_row("versions", versions or "not recorded")
    if record.cost is not None:
        table.add_row("took", Text(_took(record.cost)))
        table.add_row("cost", Text(_money(record.cost)))
    console.print(table)
    changed, usual = _settings(record)
    console.print("settings that differ from the defaults" if changed else "all settings are the defaults")
    for key, value, default in changed:
        console.print(Text.assemble(f"  {key} = {value}", (f"  (default {default})", "dim")), soft_wrap=True)
    console.print("the others", style="dim")
    for section, told in usual.items():
        console.print(Text.assemble((f"  {section:<16}", "dim"), told), soft_wrap=True)


def _settings(record: RunRecord) -> tuple[list[tuple[str, str, str]], dict[str, str]]:
    """Settings that differ from their defaults (name, value, default), and the others a section.

    Both in the config's order; a number that KFP made a float of is an integer again.
    """
    changed: list[tuple[str, str, str]] = []
    usual: dict[str, str] = {}
    for section, kind in SECTIONS.items():
        recorded = record.config.get(section)
        if not isinstance(recorded, dict):
            continue
        try:
            values = kind.parse(recorded, section).values()
        except ConfigError:  # a run of another version of Linnet
            values = recorded
        defaults = kind().values()
        order = [*(key for key in defaults if key in values), *(key for key in values if key not in defaults)]
        same = [key for key in order if values[key] == defaults.get(key)]
        changed += [
            (f"{section}.{key}", repr(values[key]), repr(defaults.get(key)))
            for key in order
            if key not in same
        ]
        if same:
            usual[section] = ", ".join(f"{key} {values[key]!r}" for key in same)
    return changed, usual


def show_comparison(first: RunEvidence, second: RunEvidence, console: Console) -> None:
    """Prints two runs side by side: the settings that differ, their metrics and their gates.

    No id, commit or path is cut, however narrow the terminal is.
    """
    a, b = first.record, second.record
    console.print(Text(f"A  {a.run_id}"), soft_wrap=True)
    console.print(Text(f"B  {b.run_id}"), soft_wrap=True)
    facts = [
        (what.removesuffix("_at"), _said(getattr(a, what)), _said(getattr(b, what)))
        for what in ("state", "started_at", "commit")
    ]
    facts.append(("cause", Text(a.request.cause), Text(b.request.cause)))
    facts += [(key, _said(one), _said(other)) for key, (one, other) in comparison.settings(first, second)]
    _print_pairs(facts, console)
    scores = Table("metric", title="metrics", title_justify="left", title_style="bold")
    for column in ("A", "B", "change"):
        scores.add_column(column, justify="right")
    for metric in comparison.metrics(first, second) or []:
        color = {"better": "green", "worse": "red"}.get(metric.verdict, "")
        change = Text(f"{metric.words} {metric.verdict}".rstrip(), color)
        scores.add_row(metric.metric.title, f"{metric.first:.4f}", f"{metric.second:.4f}", change)
    console.print(scores if scores.row_count else "no metrics to compare: one of them was not evaluated")
    judged = Table(
        Column("gate", overflow="fold"), "A", "B", title="gates", title_justify="left", title_style="bold"
    )
    for name, pair in comparison.gates(first, second):
        judged.add_row(name, *(_judged(gate) for gate in pair))
    console.print(judged if judged.row_count else "neither run was judged by a gate")


def _print_pairs(rows: list[tuple[str, Text, Text]], console: Console) -> None:
    """A table of what two runs have, or lines where a table would cut them."""
    table = Table("", "A", "B")
    for what, one, other in rows:
        table.add_row(Text(what), one, other)
    if fits(table, console):
        console.print(table)
        return
    for what, one, other in rows:
        if one == other:
            console.print(Text.assemble(f"{what}  ", one), soft_wrap=True)
        else:
            console.print(Text(what), soft_wrap=True)
            console.print(Text.assemble("  A  ", one), soft_wrap=True)
            console.print(Text.assemble("  B  ", other), soft_wrap=True)


def _said(value: object) -> Text:
    if isinstance(value, datetime):
        return Text(f"{value:%Y-%m-%d %H:%M:%S} UTC")
    return Text("–" if value is None or value == "" else str(value))


def _judged(gate: Gate | None) -> Text:
    return Text("–") if gate is None else Text(f"{gate.value:.4g} ").append_text(_passed(gate))


def _took(cost: RunCost) -> str:
    gpu = f", {cost.gpu_seconds:,.0f} GPU seconds" if cost.gpu_seconds else ""
    return f"{cost.cpu_seconds:,.0f} CPU seconds{gpu}, at most {cost.peak_memory_mb:,.0f} MB of memory"


def _money(cost: RunCost) -> str:
    saved = f"; the cache saved {cost.saved_seconds:,.0f} s and {_price(cost.saved_cost, cost.currency)}"
    return f"about {_price(cost.cost, cost.currency)}{saved if cost.saved_seconds else ''}"


def _price(amount: float, currency: str) -> str:
    return f"{amount:.2f} {currency}" if amount >= 1 else f"{amount:.2g} {currency}"


def _stages(record: RunRecord) -> Table:
    total = sum(stage.seconds for stage in record.stages)
    table = Table(title=f"run {record.run_id}", title_justify="left", title_style="bold")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("CPU s", justify="right")
    table.add_column("MB", justify="right")
    table.add_column("work")
    table.add_column("result")
    for stage in record.stages:
        worked = Text("cached", "cyan") if stage.cached else Text("run")
        if stage.state == "running":
            worked = Text("running", "cyan")
        elif stage.state != "succeeded":
            worked = Text(stage.state, "red")
        took = f"{stage.seconds:.1f}", f"{stage.cpu_seconds:.1f}", f"{stage.peak_memory_mb:.0f}"
        table.add_row(stage.task, *took, worked, describe(stage, seconds=False))
    table.add_section()
    computing = sum(stage.cpu_seconds for stage in record.stages)
    told = _money(record.cost) if record.cost is not None else ""
    table.add_row("all", f"{total:.1f}", f"{computing:.1f}", "", "", Text(told, "dim"))
    return table


def _gates(decision: GateDecision) -> Table:
    table = Table(title=f"gates: {decision.stage}", title_justify="left", title_style="bold")
    table.add_column("gate")
    table.add_column("value", justify="right")
    table.add_column("threshold", justify="right")
    table.add_column("verdict")
    for gate in decision.gates:
        table.add_row(gate.name, f"{gate.value:.4g}", f"{gate.relation} {gate.threshold:.4g}", _passed(gate))
    return table


def _passed(gate: Gate) -> Text:
    return Text("pass", "green") if gate.passed else Text("FAIL", "bold red")


def _canary(decision: RolloutDecision) -> Table:
    against = (
        f"against champion {decision.champion}" if decision.champion else "no champion yet: absolute limits"
    )
    title = f"canary of version {decision.version}, {against}"
    table = Table(title=title, title_justify="left", title_style="bold")
    for column, side in (("traffic", "right"), ("seconds", "right"), ("requests", "right")):
        table.add_column(column, justify="right" if side == "right" else "left")
    table.add_column("verdict")
    table.add_column("reason")
    for step in decision.steps:
        verdict = Text(step.verdict, _VERDICTS.get(step.verdict, "red"))
        row = f"{step.percent} %", f"{step.seconds:.1f}", f"{step.candidate_requests:,}"
        table.add_row(*row, verdict, step.reason)
    return table


def _print_closing(record: RunRecord, folder: Path, console: Console) -> None:
    """The result, and where to look next; without a box, which would break long paths."""
    verdict = Text(record.state, f"bold {_COLORS.get(record.state, 'white')}")
    console.print(Text.assemble("\nresult: ", verdict), soft_wrap=True)
    if record.error:
        console.print(Text(record.error), soft_wrap=True)
    for what, where in _next(record, folder):
        console.print(Text.assemble((f"  {what:<18}", "dim"), where), soft_wrap=True)


def _commands(record: RunRecord) -> list[tuple[str, str]]:
    """What to do with the model: words that work as they stand, so with its name where there are several."""
    config = RegistryConfig.parse(record.config.get("registry") or {})
    model = config.registered_name(str(record.config.get("name") or ""))
    try:
        several = len(connect(config).store.models()) > 1
    except LinnetError:
        several = True
    named = f" --name {quote(model)}" if several else ""
    running = ServerState.read(server_state_file())
    served = running is not None and model in (running.models or [])
    return [
        *([] if served else [("serve it", f"linnet up{named if running is not None else ''}")]),
        ("ask it", f"linnet predict{named} IMAGE"),
        ("versions", f"linnet models list{named}"),
    ]


def _next(record: RunRecord, folder: Path) -> list[tuple[str, str]]:
    pages = (
        ("data validation", "validate", "report", "data_docs/index.html"),
        ("gates and metrics", "evaluate", "report", "report.html"),
        ("model card", "package", "package", "model_card.md"),
        ("canary", "release", "rollout", "rollout.html"),
    )
    latest = state_dir() / "latest"
    shown = latest if latest.resolve() == folder.resolve() else folder
    found = []
    for what, task, output, page in pages:
        where = runs.artifact(folder, task, output)
        if where is not None and is_a_file(where / page):
            found.append((what, os.path.relpath(shown / task / output / page)))
    found.append(("log", os.path.relpath(shown / "log.txt")))
    if record.state == "succeeded":
        found += _commands(record)
    elif record.state in ("interrupted", "failed"):
        found.append(("go on", "run the same command again: finished steps are kept"))
    return found
