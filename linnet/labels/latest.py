"""Finds the newest evaluation of a model among the runs of this state folder."""

from __future__ import annotations

from pathlib import Path

from linnet.errors import RunError
from linnet.run import runs


def latest_evaluation(model: str) -> Path:
    """The folder of the newest run's evaluation of a registered model.

    Raises:
        RunError: no run of it has evaluated a model.
    """
    for folder, record in runs.readable(runs.recorded):
        found = runs.artifact(folder, "evaluate", "report")
        if found is not None and (found / "candidates.npz").exists() and record.model_name == model:
            return found
    raise RunError(f"no run has evaluated a model '{model}' yet: `linnet run` does")
