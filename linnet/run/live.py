"""What a step tells while it works: how far it is, and what it measured; whoever watches reads it there.

In the run's folder: `progress.json`, and `live/TASK.jsonl`, one line per measurement (of a
training: per epoch).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.run.runs import run_dir
from linnet.storage.files import write_text

LIVE = "live"
_PROGRESS = "progress.json"
_PAUSE_SECONDS = 0.1
"""Between two writes of the progress, which a loop may tell thousands of times a second."""


@dataclass
class _Work:
    """The piece of work that is told of: its end, and where and when the telling began."""

    total: int = -1
    began: int = 0
    """What was done when it was told of first: a resumed training begins in the middle."""
    since: float = 0.0
    done: int = 0
    told: float = 0.0


_work = _Work()


def progress(what: str, done: int, total: int) -> None:
    """Tells whoever follows the run how far a step is; at most ten times a second."""
    folder = run_dir()
    if folder is None:
        return
    moment = time.time()
    if total != _work.total or done < _work.done:
        _work.total, _work.began, _work.since, _work.told = total, done, moment, 0.0
    _work.done = done
    if done < total and 0 <= moment - _work.told < _PAUSE_SECONDS:
        return
    _work.told = moment
    told = {"what": what, "done": done, "total": total, "began": _work.began, "since": _work.since}
    write_text(folder / _PROGRESS, json.dumps(told | {"at": moment}))


def forget_progress(folder: Path) -> None:
    """A new step begins: what was told was of the one before."""
    (folder / _PROGRESS).unlink(missing_ok=True)


def measured(task: str, row: Mapping[str, float]) -> None:
    """Keeps a measurement of a step with its run, and says it in the step's log."""
    print(words(row), flush=True)
    if (folder := run_dir()) is not None:
        append(folder / LIVE / f"{task}.jsonl", row)


def append(file: Path, row: Mapping[str, Any]) -> None:
    """Adds a line to a file of measurements."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(row) + "\n")


def words(row: Mapping[str, float]) -> str:
    """A measurement as a line, such as `epoch 2: loss 0.5312, images per second 1,234`."""
    told = [f"{name.replace('_', ' ')} {_short(value)}" for name, value in row.items() if name != "epoch"]
    epoch = f"epoch {row['epoch']:.0f}: " if "epoch" in row else ""
    return epoch + ", ".join(told)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@dataclass(frozen=True)
class StepProgress:
    """How far a step is."""

    what: str
    done: int
    total: int
    seconds_left: float | None = None
    """By the pace so far; None where it is not known."""


def read_progress(folder: Path, clock: float | None = None) -> StepProgress | None:
    """How far the run's step under way is; None where it told nothing.

    Args:
        folder: the run's.
        clock: now, in seconds since the epoch.
    """
    try:
        told = json.loads((folder / _PROGRESS).read_text("utf-8"))
        what, done, total = str(told["what"]), int(told["done"]), int(told["total"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not total:
        return None
    try:
        began, since, at = int(told["began"]), float(told["since"]), float(told["at"])
    except (ValueError, KeyError, TypeError):  # a step of an older Linnet
        return StepProgress(what, done, total)
    if done <= began or at <= since:
        return StepProgress(what, done, total)
    left = (total - done) * (at - since) / (done - began) - ((clock or time.time()) - at)
    return StepProgress(what, done, total, max(left, 0.0))


def read_rows(folder: Path, task: str) -> list[dict[str, float]]:
    """What a step of the run measured, one row per epoch; of an epoch that was told twice the last one.

    A training that was ended and goes on tells again what it knows.
    """
    rows = {row.get("epoch", float(at)): row for at, row in enumerate(read_lines(_file(folder, task)))}
    return [rows[epoch] for epoch in sorted(rows)]


def _file(folder: Path, task: str) -> Path:
    return folder / LIVE / f"{task}.jsonl"


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file of measurements; one that a kill cut short is passed over."""
    try:
        lines = file.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row
