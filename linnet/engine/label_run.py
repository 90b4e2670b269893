"""The training run that a finished labelling round causes, started once whatever is killed meanwhile."""

from __future__ import annotations

import fcntl
import os

from linnet import runs
from linnet.config import Config
from linnet.engine.submit import start
from linnet.files import writing
from linnet.records import RunRecord, RunRequest


class LocalTrigger:
    """Starts runs on this machine: linnet.labels.trigger.RunTrigger."""

    def __init__(self, config: Config) -> None:
        """`config`: what to train with, besides the labels."""
        self._config = config

    def request_run(self, request: RunRequest, version: str, key: str) -> str:
        """The run whose evidence has this key; a new one if none has begun under it."""
        with writing(runs.runs_dir()):
            runs.runs_dir().mkdir(parents=True, exist_ok=True)
            descriptor = os.open(runs.runs_dir() / ".label-runs.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if (found := _begun(key)) is not None:
                return found
            labels = self._config.labels.model_copy(update={"version": version})
            config = self._config.model_copy(update={"labels": labels})
            return start("training", config, request).folder.name
        finally:
            os.close(descriptor)


def _begun(key: str) -> str | None:
    """The run that was asked for under this key; one that was killed before its first step does not count."""
    for folder in runs.folders():
        if RunRecord.load(folder / "run.json").request.evidence.get("key") != key:
            continue
        record = runs.load(folder)
        if record.stages or record.state != "interrupted":
            return record.run_id
    return None
