"""`/runs/ID`: one run, followed while it is under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fastapi import FastAPI, Request
from nicegui import run, ui

from linnet.console import shell
from linnet.console.context import Context, role_of
from linnet.console.markup import address, card, heading, join, link, section, tag
from linnet.console.remarks_dialog import remarks_dialog
from linnet.console.views import run as view
from linnet.console.views.live import LiveStep, under_way
from linnet.launch import graph
from linnet.records import RunRecord, StageRecord
from linnet.report.evidence import RunEvidence
from linnet.run.live import read_progress, read_rows
from linnet.run.remarks import RunRemarks, read_remarks
from linnet.run.usage import read_usage

PLACE = 3

LOOK_SECONDS = 1.5
_LOG_BYTES = 60_000
"""The end of a log that is shown; the whole stands in the run's folder."""


@dataclass(frozen=True)
class RunPageData:
    """All that the page shows."""

    evidence: RunEvidence
    tasks: list[graph.PipelineTask]
    log: str
    gives: tuple[str, ...] = ()
    """Artifacts that the picked step gave."""
    remarks: RunRemarks = field(default_factory=RunRemarks)
    live: LiveStep | None = None
    """What the step under way tells; of a run that ended, what its training told."""

    @property
    def under_way(self) -> bool:
        """Whether there is something to wait for."""
        return self.evidence.record.state == "running"


def register(context: Context, app: FastAPI) -> None:
    """Adds the page. `/runs/new` and others with a name must be registered before it."""

    @ui.page("/runs/{run_id}", title="Run · Linnet")
    async def one(request: Request, run_id: str, step: str = "") -> None:
        ui.page_title(f"{run_id[:100]} · Linnet")
        with shell.frame("Runs", role_of(request)):
            await shell.shown(
                lambda: load(context, run_id, step), lambda found: _draw(context, request, found, step)
            )


def load(context: Context, run_id: str, step: str) -> RunPageData:
    """A run's evidence, its compiled steps and the log of the picked one."""
    evidence = context.sources.evidence(run_id)
    files = [evidence.folder / name for name in ("pipeline.json", "pipeline.yaml")]  # JSON is YAML
    compiled = next((file for file in files if file.exists()), files[0])
    kept = context.sources.kept
    tasks = kept.get(("tasks", compiled), 3600.0, lambda: graph.tasks(compiled)) if compiled.exists() else []
    stage = _watched(evidence.record)
    live = _live(evidence.folder, stage) if stage else None
    step = step or (stage.task.replace("_", "-") if stage and stage.state == "running" else "")
    said = read_remarks(evidence.folder)
    if step not in {begun.task.replace("_", "-") for begun in evidence.record.stages}:
        return RunPageData(evidence, tasks, "", remarks=said, live=live)  # an address names no file
    log, gives = _log(evidence.folder, step), _gives(evidence.folder, step)
    return RunPageData(evidence, tasks, log, gives, said, live)


def _watched(record: RunRecord) -> StageRecord | None:
    """The step that is under way; of a run that ended, its training."""
    running = [stage for stage in record.stages if stage.state == "running"]
    if record.state == "running" and running:
        return running[-1]
    return next((stage for stage in record.stages if stage.task == "train"), None)


def _live(folder: Path, stage: StageRecord) -> LiveStep:
    told = read_progress(folder) if stage.state == "running" else None
    return LiveStep(stage, told, read_rows(folder, stage.task), read_usage(folder, stage.task))


def _gives(folder: Path, step: str) -> tuple[str, ...]:
    """The artifacts in the step's own folder; another backend leaves none here."""
    named = folder / step
    own = named if named.exists() else next(folder.glob(f"artifacts/*/{step}"), None)
    if own is None:
        return ()
    return tuple(sorted(path.name for path in own.iterdir() if path.name != "executor_output.json"))


def _log(folder: Path, step: str) -> str:
    """The log of a step: its own file, or its part of the run's."""
    own = [file for file in (folder / "logs").glob("*.txt") if file.stem.rsplit("/", 1)[-1].endswith(step)]
    file = own[0] if own else folder / "log.txt"
    if not file.exists():
        return ""
    with file.open("rb") as opened:
        opened.seek(0, 2)
        opened.seek(max(0, opened.tell() - (_LOG_BYTES if own else 50 * _LOG_BYTES)))
        text = opened.read().decode("utf-8", "replace")
    return view.plain(text) if own else view.log_of(text, step)


def _draw(context: Context, request: Request, found: RunPageData, step: str) -> None:
    record = found.evidence.record
    page = address("runs", record.run_id)
    with ui.element("div").classes("top"):
        top = shell.html("")
        with ui.element("div").classes("actions"):
            shell.html(tag("a", "Compare", href=address("compare", run=record.run_id), class_="button"))
            if context.operator(request).may_act:
                again = address("runs", "new", config=f"run {record.run_id}")
                shell.html(tag("a", "Run again", href=again, class_="button"))
                ask = remarks_dialog(found.remarks, partial(_remark, context, request, record.run_id), page)
                shell.Button("Tags and note", ask)
                _actions(context, request, found)
    body = shell.html("")

    def draw(now: RunPageData) -> None:
        top.set_content(
            heading(
                record.run_id, view.heading_facts(now.evidence.record, now.remarks), link("Runs", "/runs")
            )
        )
        body.set_content(_body(now, step))

    draw(found)
    if not found.under_way:
        return

    async def look() -> None:
        fresh = await run.io_bound(load, context, record.run_id, step)
        if fresh is None:
            return
        if fresh.under_way:
            draw(fresh)
        else:  # other actions are at hand now
            timer.deactivate()
            ui.navigate.reload()

    timer = ui.timer(LOOK_SECONDS, look, immediate=False)


def _remark(context: Context, request: Request, run_id: str, tags: str, note: str) -> str:
    return context.operator(request).remark(run_id, tags, note)


def _actions(context: Context, request: Request, found: RunPageData) -> None:
    record = found.evidence.record

    def terminate(reason: str) -> str:
        context.operator(request).terminate(record.run_id, reason)
        return address("runs", record.run_id)

    def retry(reason: str) -> str:
        context.operator(request).retry(record.run_id, reason)
        return address("runs", record.run_id)

    if found.under_way:
        text = "The step that is under way is stopped; a release gives the traffic back first. Finished steps are kept."
        ask = shell.confirm("Terminate this run?", text, "Terminate", terminate, danger=True)
        shell.Button("Terminate", ask, "danger")
    elif record.state in ("failed", "interrupted"):
        text = "It goes on from the steps that did not come to their end."
        shell.Button("Resume", shell.confirm("Resume this run?", text, "Resume", retry), "primary")


def _body(found: RunPageData, step: str) -> str:
    evidence, live = found.evidence, found.live
    watched = live if live and found.under_way and live.stage.state == "running" else None
    parts: list[object] = [tag("section", view.summary(evidence))]
    if watched is not None:
        epochs = evidence.record.config.get("train", {}).get("epochs")
        parts.append(under_way(watched, int(epochs) if epochs and watched.stage.task == "train" else None))
        if not step:
            parts.append(section("", view.log_card(found.log)))
    if found.tasks:
        parts.append(section("Steps", card("", view.graph(evidence, found.tasks, step))))
    if step:
        stage = next((s for s in evidence.record.stages if s.task.replace("_", "-") == step), None)
        task = next((t for t in found.tasks if t.name == step), None)
        parts.append(tag("section", view.step(stage, task, found.log, found.gives)))
    parts.append(section("Gates", view.gates(evidence.gates, view.intervals_of(evidence))))
    parts += [view.canary(evidence), view.training(evidence.training, None if watched else live)]
    if evidence.pages:
        parts.append(section("Reports", view.pages(evidence)))
    return join(parts)
