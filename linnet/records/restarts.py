"""What was started again because it had ended though nobody stopped it: `keeper/restarts.jsonl`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from linnet.records.record import Record
from linnet.storage.files import write_text
from linnet.storage.paths import state_dir

PARTS = ("engine", "server", "console")
"""What is kept alive; the label service waits for people and is started by the next `linnet up`."""
_MOST_LINES = 500


class Restart(Record):
    """One attempt to start a part again."""

    at: datetime
    part: str
    attempt: int
    """From 1; counted since the part last lived for a while."""
    total: int
    """Attempts since this state folder was made: it only grows, as a Prometheus counter does."""
    problem: str = ""
    """Why it did not start; empty: it did."""


def restarts_file() -> Path:
    """Where restarts are written down."""
    return state_dir() / "keeper" / "restarts.jsonl"


def restarts() -> list[Restart]:
    """The newest restarts, the oldest first; a line that is damaged, such as cut short, is left out."""
    found = []
    try:
        lines = restarts_file().read_bytes().splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            found.append(Restart.model_validate_json(line))
        except ValidationError:
            continue
    return found


def totals() -> dict[str, int]:
    """Restarts of each part since this state folder was made."""
    return dict.fromkeys(PARTS, 0) | {one.part: one.total for one in restarts()}


def write_restart(part: str, attempt: int, problem: str) -> None:
    """Appends one line; the file keeps its newest 500.

    Raises:
        OSError: the disk refuses.
    """
    known = restarts()
    total = max((one.total for one in known if one.part == part), default=0) + 1
    new = Restart(at=datetime.now(UTC), part=part, attempt=attempt, total=total, problem=problem[:500])
    path = restarts_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(known) < _MOST_LINES:
        with path.open("a", encoding="utf-8") as file:
            file.write(new.model_dump_json() + "\n")
        return
    last = {one.part: one for one in known}  # a part that was quiet since keeps its total
    kept = [*last.values(), *known[-_MOST_LINES // 2 :], new]
    write_text(path, "".join(one.model_dump_json() + "\n" for one in sorted(kept, key=lambda one: one.at)))
