"""The retraining ledger: every decision, also "no", with its reasons, and what came of each run.

Each line is on the disk before anything acts on it, so that a kill at any moment loses no cool-down, no
budget and no run that was asked for. A plain "no", on which nothing acts, is not waited for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from linnet.errors import RetrainingError
from linnet.records import RetrainingDecision, RetrainingEntry
from linnet.records.ledger import ChainedLog
from linnet.retraining.history import History, PastRun
from linnet.storage.files import file_name, listed, writing
from linnet.storage.locks import file_lock
from linnet.storage.paths import state_dir

_FAILURES = ("failed", "rejected")


@dataclass(slots=True)
class AskedRun:
    """All that the ledger knows of one run that the policy asked for."""

    asked: RetrainingEntry
    refused: RetrainingEntry | None = None
    """The first submission that failed."""
    submitted: RetrainingEntry | None = None
    ended: RetrainingEntry | None = None
    outcome: RetrainingEntry | None = None

    @property
    def key(self) -> str:
        """What names it."""
        return self.asked.key


def ledger_files(folder: Path | None = None) -> list[Path]:
    """The ledgers' files of all models, in `folder` or in the state folder."""
    return listed(folder or state_dir() / "ledger", "retraining-*.jsonl")


class RetrainingLedger:
    """The ledger of one model. One object may be asked often: it reads only what is new."""

    def __init__(self, model: str, folder: Path | None = None, file: Path | None = None) -> None:
        """`folder`: where ledgers lie; None: in the state folder. `file`: one that `ledger_files` named."""
        base = file or (folder or state_dir() / "ledger") / f"retraining-{file_name(model)}.jsonl"
        self.model = model
        self._log = ChainedLog(base, RetrainingEntry, RetrainingError)
        self._lock = base.with_suffix(".lock")
        self._runs: dict[str, AskedRun] = {}
        self._rounds: dict[str, AskedRun] = {}
        self._failures = 0
        self.decisions = {"yes": 0, "no": 0}
        self.newest: RetrainingDecision | None = None
        """The newest decision."""

    @property
    def path(self) -> Path:
        """The file."""
        return self._log.path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps every other process from deciding; the ledger is up to date inside."""
        with writing(self._lock.parent), file_lock(self._lock):
            self.refresh()
            yield

    def refresh(self) -> None:
        """Takes in what others wrote.

        Raises:
            RetrainingError: the ledger was changed, or cannot be read.
        """
        for entry in self._log.follow():
            self._take(entry)

    def append(self, entry: RetrainingEntry) -> None:
        """Adds a line, on the disk when this returns unless it is a decision; only inside `held`."""
        self._log.append(entry, durable=entry.kind != "decision")
        self._take(entry)

    def entries(self) -> list[RetrainingEntry]:
        """Every line, the whole chain verified."""
        return self._log.read()

    @property
    def waiting(self) -> list[AskedRun]:
        """Runs and labelling rounds that were asked for, and that nobody submitted yet."""
        known = [*self._runs.values(), *self._rounds.values()]
        return [run for run in known if not run.submitted and not run.ended and run.asked.request]

    @property
    def runs(self) -> list[AskedRun]:
        """Runs that were asked for, oldest first."""
        return list(self._runs.values())

    def history(self) -> History:
        """What the policy needs to know of the past."""
        past = []
        for run in self._runs.values():
            state = run.ended.state if run.ended else ""
            cost = run.ended.cost if run.ended else None
            past.append(PastRun(run.asked.at, run.ended is not None, state, cost))
        rounds = [asked.asked.at for asked in self._rounds.values()]
        return History(tuple(past), self._failures, max(rounds, default=None))

    def _take(self, entry: RetrainingEntry) -> None:
        if entry.kind == "decision":
            assert entry.decision is not None
            self.decisions["yes" if entry.decision.request else "no"] += 1
            self.newest = entry.decision
        elif entry.kind == "breaker-reset":
            self._failures = 0
        elif entry.kind == "asked":
            self._runs[entry.key] = AskedRun(entry)
        elif entry.kind == "labels-asked":
            self._rounds[entry.key] = AskedRun(entry)
        elif entry.key in self._rounds:
            self._follow_round(self._rounds[entry.key], entry)
        elif entry.key in self._runs:
            run = self._runs[entry.key]
            if entry.kind == "submitted":
                run.submitted = entry
            elif entry.kind == "not-submitted":
                run.refused = entry
            elif entry.kind == "outcome":
                run.outcome = entry
            else:
                run.ended = entry
                if entry.state in _FAILURES:
                    self._failures += 1
                elif entry.state == "succeeded":
                    self._failures = 0

    def _follow_round(self, asked: AskedRun, entry: RetrainingEntry) -> None:
        """What became of a labelling round: it is over once it was submitted."""
        if entry.kind == "submitted":
            asked.submitted = entry
        elif entry.kind == "not-submitted":
            asked.refused = entry
        else:
            asked.ended = entry
