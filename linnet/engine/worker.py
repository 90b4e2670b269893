"""One run in one process: `python -m linnet.engine.worker RUN_FOLDER` executes its pipeline.yaml."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from linnet import runs
from linnet.records import RunRecord


def execute(folder: Path) -> None:
    """Runs the compiled pipeline of a run folder with kfp.local, and closes the run's record."""
    from kfp import components, local

    # GPU and memory settings are for the cluster: here the step takes what the machine has.
    warnings.filterwarnings("ignore", message=".*have no effect in the current local runner.*")
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder / "artifacts"),
        raise_on_error=False,
    )
    try:
        components.load_component_from_file(str(folder / "pipeline.yaml"))()
    finally:
        # The exit handler closes the record; a worker that dies before it does so here.
        if RunRecord.load(folder / "run.json").state == "running":
            runs.finish(folder, worked=False)


if __name__ == "__main__":
    try:
        execute(Path(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
