"""What a run would do, found by walking it: cached steps are looked up, the first other one stops it.

The plan comes from the same code that runs the pipeline, so that it cannot promise what a run does
not keep. Nothing is worked out, registered or released.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from linnet.launch import graph
from linnet.launch.submit import LocalRun
from linnet.records import StageRecord
from linnet.run import runs
from linnet.run.runs import DRY_RUN


def show_plan(start: Callable[[], LocalRun], console: Console) -> None:
    """Prints which steps would come from the cache and which would run, with the reason."""
    os.environ[DRY_RUN] = "1"
    try:
        run = start()
    finally:
        del os.environ[DRY_RUN]
    try:
        with console.status("looking at the cache ..."):
            while run.process.poll() is None and not _stopped(run.folder):
                time.sleep(0.1)
        steps, looked_at = graph.tasks(run.folder / "pipeline.yaml"), runs.stages(run.folder)
        console.print(_plan(steps, looked_at, to_the_end=not _stopped(run.folder)))
    finally:
        run.interrupt()
        shutil.rmtree(run.folder, ignore_errors=True)


def _stopped(folder: Path) -> bool:
    """Whether a step came to its end without the outputs that others need."""
    return any(stage.exit_code for stage in runs.stages(folder))


def _plan(tasks: list[graph.PipelineTask], looked_at: list[StageRecord], to_the_end: bool) -> Table:
    """The table; `to_the_end`: what was not looked at is not left for later, a gate holds it back."""
    known = {stage.task.replace("_", "-"): stage for stage in looked_at}
    table = Table(title="what would run", title_justify="left", title_style="bold")
    for column in ("step", "plan", "why", "only if"):
        table.add_column(column)
    for task in tasks:
        held_back = to_the_end and task.name not in known and bool(task.conditions)
        plan, why = (Text("no"), "a gate said no") if held_back else _expectation(known.get(task.name))
        table.add_row(task.name, plan, why, task.conditions[-1] if task.conditions else "")
    return table


def _expectation(stage: StageRecord | None) -> tuple[Text, str]:
    if stage is None:
        return Text("run"), "after a step that runs"
    if stage.cached:
        return Text("cached", "cyan"), f"saves {stage.saved_seconds:.0f} s"
    if stage.state == "failed":
        return Text("fails", "red"), stage.error
    if stage.state == "skipped":
        return Text("run"), str(stage.values["reason"])
    return Text("run"), "always runs"
