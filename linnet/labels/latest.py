"""Finds the newest evaluation of a dataset's model among the runs of this state folder."""

from __future__ import annotations

from pathlib import Path

from linnet.errors import RunError
from linnet.run import runs


def latest_evaluation(name: str) -> Path:
    """The folder of the newest run's evaluation for use case `name`.

    Raises:
        RunError: no run of it has evaluated a model.
    """
    for folder, record in runs.readable(runs.recorded):
        found = runs.artifact(folder, "evaluate", "report")
        if found is not None and (found / "candidates.npz").exists() and record.config.get("name") == name:
            return found
    raise RunError(f"no run of '{name}' has evaluated a model yet: `linnet run` does")
