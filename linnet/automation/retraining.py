"""Submits the training runs that the retraining policy asked for, whoever decided."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from linnet.automation.submission import submit_pipeline
from linnet.automation.told_once import ToldOnce
from linnet.config import parse_config
from linnet.errors import LinnetError
from linnet.launch.client import host_of, running_engine
from linnet.retraining.ledger import AskedRun, RetrainingLedger, ledger_files
from linnet.retraining.runs import RecordedRuns
from linnet.retraining.submission import submit_asked
from linnet.retraining.wiring import keep_recent

_AGAIN_SECONDS = 30.0
"""After a submission that failed."""


def submit_for_model(model: str) -> dict[str, str]:
    """Submits what was asked for of a model; by key what was wrong with what could not be submitted.

    Raises:
        RetrainingError: the ledger was changed or cannot be written.
    """
    return submit_asked(RetrainingLedger(model), RecordedRuns(), _submit)


class RetrainingSubmitter:
    """The engine's part: looks once a second whether a ledger asks for a run."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, int]] = {}
        self._waiting: dict[Path, str] = {}
        """Models of the ledgers that ask for a run."""
        self._thread: threading.Thread | None = None
        self._not_before = 0.0
        self._tell_once = ToldOnce()

    def busy(self) -> bool:
        """Whether a run was asked for that is not submitted: the engine must not end for want of work."""
        self._look()
        return bool(self._waiting)

    def tick(self) -> None:
        """Begins to submit what is asked for, in a thread: it compiles a pipeline and may read a log."""
        working = self._thread is not None and self._thread.is_alive()
        if working or time.monotonic() < self._not_before or not self.busy():
            return
        engine = running_engine()
        if engine is None or engine.pid != os.getpid():  # its address is not known yet
            return
        self._thread = threading.Thread(target=self._work, name="retraining", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        try:
            files = [(file, file.stat()) for file in ledger_files()]
        except (LinnetError, OSError) as error:
            self._tell_once(f"what retraining asks for is not looked at: {error}")
            return
        for file, state in files:
            if self._seen.get(file) == (state.st_mtime_ns, state.st_size):
                continue
            self._seen[file] = (state.st_mtime_ns, state.st_size)
            self._waiting.pop(file, None)
            model = _model_that_waits(file)
            if model:
                self._waiting[file] = model

    def _work(self) -> None:
        for file, model in list(self._waiting.items()):
            try:
                problems = submit_for_model(model)
            except LinnetError as error:
                problems = {model: str(error)}
            for problem in problems.values():
                print(f"retraining of {model}: {problem}", flush=True)
                self._not_before = time.monotonic() + _AGAIN_SECONDS
            if not problems:
                self._seen.pop(file, None)
                self._waiting.pop(file, None)


def _model_that_waits(file: Path) -> str:
    """The model whose ledger this is, if a run of it waits; a ledger that cannot be read is told."""
    try:
        ledger = RetrainingLedger("", file=file)
        ledger.refresh()
    except LinnetError as error:
        print(f"runs that retraining asked for are not submitted: {error}", flush=True)
        return ""
    return ledger.waiting[0].asked.model if ledger.waiting else ""


def _submit(run: AskedRun) -> str:
    """See linnet.retraining.submission.Submit."""
    assert run.asked.request is not None
    config = parse_config(run.asked.config)
    host = host_of(config.engine)
    if run.asked.kind == "labels-asked":
        return submit_pipeline("labeling", config, run.asked.request, host, key=run.key).run_id
    window = keep_recent(config)
    if window is not None:
        data = config.data.model_copy(update={"extra_window": str(window)})
        config = config.model_copy(update={"data": data})
    return submit_pipeline("training", config, run.asked.request, host, key=run.key).run_id
