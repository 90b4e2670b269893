"""How a run ends: its state from its stages, why it ended, and the short names of what it made."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from linnet.config import CostConfig
from linnet.errors import RunError
from linnet.records import RunRecord, RunRequest, StageRecord, now
from linnet.run.cost import of_run, priced
from linnet.run.runs import CLOSING, DRY_RUN, MIRRORED, TERMINATED, commit, run_dir, stages, versions
from linnet.storage.files import replacing
from linnet.storage.paths import state_dir

_LITTLE_BYTES = 1_000_000
"""With less free space than this, a full disk is the likely reason of a sudden end."""
FULL = (
    "the disk is full: free some space and run the same command again (`linnet cache gc` drops old results)"
)
NEGATIVE_VERDICTS = ("fail", "rollback", "inconclusive")
"""Verdicts of a gate or a canary that say no. A finding, such as drift, refuses nothing."""


def close(
    pipeline: str, name: str, request: dict[str, Any], worked: bool, prices: dict[str, Any] | None = None
) -> RunRecord:
    """What the exit handler of `pipeline` does: closes the record of the run that this process belongs to."""
    folder = run_dir()
    if folder is None:
        raise RunError("neither LINNET_RUN_DIR nor LINNET_RUN_ID names the run to close")
    if not (folder / "run.json").exists():  # submitted straight to a cluster: it has no record yet
        RunRecord(
            run_id=folder.name,
            pipeline=pipeline,
            config={"name": name, **({"cost": prices} if prices else {})},
            commit=str(request.get("commit") or commit()),
            request=RunRequest.model_validate(request or {"cause": "person", "actor": "cluster"}),
            state="running",
            started_at=min((stage.started_at for stage in stages(folder)), default=now()),
            versions=versions(),
        ).save(folder / "run.json")
    return finish(folder, worked)


def finish(folder: Path, worked: bool, interrupted: bool = False, error: str = "") -> RunRecord:
    """Closes a run: its state follows from its stages, or from a person's Ctrl-C.

    `error` says why a run did not work that has no stage to say it.
    """
    why = error
    done = [
        stage if stage.state != "running" else _mark_interrupted(folder, stage) for stage in stages(folder)
    ]
    failed = [stage for stage in done if stage.state == "failed"]
    refused = [stage for stage in done if stage.values.get("verdict") in NEGATIVE_VERDICTS]
    if interrupted:
        state, error = "interrupted", why or termination(folder)
    elif failed or not worked:
        state, error = (
            "failed",
            failed[0].error if failed else why or _crash_reason(folder),
        )
        if error == "interrupted":
            state = "interrupted"
    elif refused:
        state, error = "rejected", str(refused[0].values.get("reason", ""))
    else:
        state, error = "succeeded", ""
    record = RunRecord.load(folder / "run.json")
    prices = CostConfig.parse(record.config.get("cost", {}))
    done = [priced(stage, prices) for stage in done]
    ended = {"state": state, "error": error, "ended_at": now()}
    record = record.model_copy(update={**ended, "stages": tuple(done), "cost": of_run(done, prices)})
    link_results(folder)
    record.save(folder / "run.json")
    return record


def reopen(folder: Path) -> None:
    """Prepares an ended run for another life: what succeeded stays, and what did not may be tried again."""
    record = RunRecord.load(folder / "run.json")
    for name in (MIRRORED, CLOSING, TERMINATED):
        (folder / name).unlink(missing_ok=True)
    for stage in stages(folder):
        if stage.state != "succeeded":
            (folder / "stages" / f"{stage.task}.json").unlink()
    record.model_copy(
        update={"state": "running", "error": "", "ended_at": None, "stages": (), "cost": None}
    ).save(folder / "run.json")


def termination(folder: Path) -> str:
    """Why a run that is stopped is stopped: who terminated it, if anybody did."""
    with contextlib.suppress(OSError):
        return f"terminated by {(folder / TERMINATED).read_text('utf-8')}"
    return "interrupted"


def link_results(folder: Path) -> None:
    """Gives what the steps wrote short names: RUN/TASK is the task's outputs, .linnet/latest the run."""
    for outputs in (folder / "artifacts").glob("*/*"):
        _link(folder / outputs.name, outputs)
    if DRY_RUN not in os.environ:  # its folder will not stay
        _link(state_dir() / "latest", folder)


def _link(name: Path, target: Path) -> None:
    with replacing(name) as scratch:
        scratch.symlink_to(os.path.relpath(target, name.parent))


def _mark_interrupted(folder: Path, stage: StageRecord) -> StageRecord:
    """A stage whose process ended without a word, as failed."""
    ended = stage.model_copy(update={"state": "failed", "error": _crash_reason(folder), "exit_code": 1})
    ended.save(folder / "stages" / f"{stage.task}.json")
    return ended


def _crash_reason(folder: Path) -> str:
    """Why a process may have ended without a word."""
    if disk_full(folder):
        return FULL
    return "a step ended before it could say why: see log.txt"


def disk_full(folder: Path) -> bool:
    """Whether the disk below `folder` is as good as full."""
    return shutil.disk_usage(folder).free < _LITTLE_BYTES
