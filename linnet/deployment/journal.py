"""What a rollout leaves on disk while it runs: its state, what the judge saw, and what people ordered.

Three files beside each other: NAME.json (the state, replaced whole at every look), NAME.looks.jsonl (for
the plot) and NAME.orders.jsonl (approve, pause, resume, abort; people append, the rollout reads). A state
holds the evidence and the cursor it was read up to, so that after a kill nothing is counted twice.

State and lines each carry a digest: one that was edited is told, and counts as none. They are no chain, as
an edited line must not keep an order to abort from being heard.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from pydantic import ValidationError

from linnet.errors import RolloutError
from linnet.records import JudgeSnapshot, Record, now
from linnet.records.ledger import digest_of_line
from linnet.storage.files import write_text

logger = logging.getLogger(__name__)
T = TypeVar("T", bound=Record)
Command = Literal["approve", "pause", "resume", "abort"]
UNDER_WAY = ("running", "paused", "waiting", "promoting", "returning")
"""Phases of a rollout that is not over; `waiting` is for an approval."""
_PATIENCE_SECONDS = 0.25
"""Who asks whether a rollout is held holds it for a moment; who wants it waits so long for that."""


class Order(Record):
    """What a person wants of a running rollout."""

    command: Command
    rollout: str
    """The rollout's identity: when it started."""
    by: str
    reason: str = ""
    at: str = ""


class Journal:
    """The files of one model's rollout; `path` is the state file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._looks = path.with_suffix(".looks.jsonl")
        self._orders = path.with_suffix(".orders.jsonl")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the rollout, as one process at a time does; the system lets go if the process dies.

        Raises:
            RolloutError: another process holds it.
        """
        until = time.monotonic() + _PATIENCE_SECONDS
        with self._lock() as lock:
            while not _locked(lock):
                if time.monotonic() > until:
                    raise RolloutError(
                        f"another rollout is under way ({self.path}): wait for its end, or end it with "
                        "`linnet rollout abort`"
                    )
                time.sleep(0.01)
            yield

    def is_held(self) -> bool:
        """Whether a process carries the rollout out at this moment."""
        with self._lock() as lock:
            return not _locked(lock)

    def _lock(self) -> IO[str]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.path.with_suffix(".lock").open("w")

    def read(self) -> dict[str, Any]:
        """The state; empty if there is none, or none that can be read, which is logged."""
        try:
            state = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            _tell(f"{self.path}: the state of a rollout cannot be read: {error}")
            return {}
        if isinstance(state, dict) and {"candidate", "percent", "phase"} <= set(state):
            if _is_as_written(state):
                return state
            _tell(f"{self.path}: the state of a rollout was changed by hand: it counts as none")
            return {}
        _tell(f"{self.path}: this is not the state of a rollout")
        return {}

    def write(self, state: dict[str, Any]) -> None:
        """Replaces the state."""
        write_text(self.path, json.dumps(_sealed(state), separators=(",", ":")) + "\n")

    def begin(self) -> None:
        """Forgets looks and orders of an earlier rollout."""
        self._looks.unlink(missing_ok=True)
        self._orders.unlink(missing_ok=True)

    def note(self, look: JudgeSnapshot) -> None:
        """Keeps a look for the plot."""
        with self._looks.open("a", encoding="utf-8") as file:
            file.write(_line(look))

    def looks(self) -> list[JudgeSnapshot]:
        """The looks that were kept, without lines that were changed, or that a kill left half."""
        return _lines(self._looks, JudgeSnapshot)

    def give(self, command: Command, by: str, reason: str = "") -> None:
        """Appends an order for the rollout under way.

        Raises:
            RolloutError: no rollout is under way.
        """
        state = self.read()
        if state.get("phase") not in UNDER_WAY:
            raise RolloutError(
                "no rollout is under way: `linnet rollout status` shows how the last one ended"
            )
        order = Order(
            command=command, rollout=state["started_at"], by=by, reason=reason, at=now().isoformat()
        )
        line = _line(order).encode()
        descriptor = os.open(self._orders, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def settle(self, phase: str) -> None:
        """Writes the end of a rollout whose process is gone; the caller has given traffic back."""
        self.write({**self.read(), "phase": phase, "ending": None, "at": now().isoformat()})

    def orders(self, rollout: str, after: int) -> list[Order]:
        """Orders for the rollout `rollout` beyond the first `after`."""
        found = _lines(self._orders, Order)
        return [order for order in found if order.rollout == rollout][after:]

    def unread_orders(self) -> int:
        """Whole lines among the orders that are none, another Linnet's or changed: nobody obeys them.

        1 where the orders as a whole cannot be read.
        """
        try:
            whole = self._orders.read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0
        except OSError:
            return 1
        return whole - len(_lines(self._orders, Order))


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@lru_cache(1000)
def _tell(problem: str) -> None:
    """Once a process: the engine and the console look every few seconds."""
    logger.warning(problem)


def _lines(path: Path, kind: type[T]) -> list[T]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        _tell(f"{path}: its lines count as none, as it cannot be read: {error.strerror}")
        return []
    found = []
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        try:
            values = json.loads(line)
            if not isinstance(values, dict) or not _is_as_written(values):
                _tell(f"{path}: the line {line[:80]!r} was changed by hand: it counts as none")
                continue
            found.append(kind.model_validate(values))
        except (ValidationError, ValueError):
            continue
    return found


def _line(record: Record) -> str:
    return json.dumps(_sealed(record.model_dump(mode="json")), separators=(",", ":")) + "\n"


def _sealed(values: dict[str, Any]) -> dict[str, Any]:
    """The values with a digest over them."""
    plain = json.loads(json.dumps({name: value for name, value in values.items() if name != "digest"}))
    return {**plain, "digest": digest_of_line(plain)}


def _is_as_written(values: dict[str, Any]) -> bool:
    """Whether the digest fits, which is taken off; an older Linnet's has none."""
    digest = values.pop("digest", None)
    return digest is None or digest == digest_of_line(values)
