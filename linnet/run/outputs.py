"""What a step wrote in the newest run that got so far."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from linnet.errors import RunError, StorageError
from linnet.records import RunRecord
from linnet.run import runs
from linnet.storage.files import is_there

logger = logging.getLogger(__name__)


def written(task: str, output: str, name: str, of: Callable[[RunRecord], bool]) -> Iterator[Path]:
    """The folders with a file `name` that a task wrote as `output` in the runs `of` holds for, newest first.

    One that cannot be looked into is told once by each process, and passed over.
    """
    for folder, record in runs.readable(runs.recorded):
        if not of(record):
            continue
        try:
            found = runs.artifact(folder, task, output)
            if found is None or not is_there(found / name):
                continue
            (found / name).open("rb").close()
        except (OSError, StorageError) as error:
            _tell(f"what {task} of run {folder.name} wrote is passed over: {error}")
            continue
        yield found


@lru_cache(1000)
def _tell(problem: str) -> None:
    logger.warning(problem)


def latest_evaluation(model: str) -> Path:
    """The folder of the newest run's evaluation of a registered model.

    Raises:
        RunError: no run of it has evaluated a model.
    """
    for found in written("evaluate", "report", "candidates.npz", lambda record: record.model_name == model):
        return found
    raise RunError(f"no run has evaluated a model '{model}' yet: `linnet run` does")
