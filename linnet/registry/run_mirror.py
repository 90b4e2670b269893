"""The record of a run as an MLflow run, so that runs and models are found in one place.

MLflow takes seconds to import, so that a run does not wait for it: on this machine the engine starts
`python -m linnet.registry.run_mirror` after it ended, which also takes what was left over by a kill;
on a cluster the exit handler does it.
"""

from __future__ import annotations

import fcntl
import os
import sys
from typing import Any

from linnet.config import RegistryConfig
from linnet.errors import LinnetError, RegistryUnreachable
from linnet.records import RunRecord
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.registry.protocol import flattened
from linnet.run import runs
from linnet.storage.files import is_a_file, write_text

TAG = "linnet.pipeline_run"
_STATUS = {"succeeded": "FINISHED", "rejected": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


def mirror(record: RunRecord, config: RegistryConfig) -> str:
    """Writes a run's cause, settings, versions, cost and stages to MLflow; gives the MLflow run's id.

    Again, it is the same MLflow run with the same contents.

    Raises:
        RegistryError: MLflow refuses or cannot be reached.
    """
    from mlflow.entities import Metric, Param, RunTag

    registry = MlflowRegistry(config.tracking_uri)
    ended = record.ended_at or record.started_at
    start, end = (int(moment.timestamp() * 1000) for moment in (record.started_at, ended))
    with registry.client() as client:
        experiment = registry.experiment(config.registered_name(str(record.config["name"])))
        found = client.search_runs([experiment], f"tags.`{TAG}` = '{record.run_id}'", max_results=1)
        run = found[0] if found else client.create_run(
            experiment, start_time=start, tags={TAG: record.run_id}, run_name=f"run {record.run_id}"
        )  # fmt: skip
        run_id = str(run.info.run_id)
        settings = {**flattened(record.config), **{f"version.{k}": v for k, v in record.versions.items()}}
        fresh = [Param(key, value[:6000]) for key, value in settings.items() if key not in run.data.params]
        for first in range(0, len(fresh), 100):
            client.log_batch(run_id, params=fresh[first : first + 100])
        client.log_batch(
            run_id,
            metrics=[Metric(name, value, end, 0) for name, value in metrics_of(record).items()],
            tags=[RunTag(key, value[:5000]) for key, value in tags_of(record).items()],
        )
        client.log_dict(run_id, record.model_dump(mode="json"), "run.json")
        client.set_terminated(run_id, _STATUS[record.state], end)
    return run_id


def tags_of(record: RunRecord) -> dict[str, str]:
    """Who or what asked for the run and how it ended."""
    request = record.request
    facts = {
        "state": record.state, "cause": request.cause, "actor": request.actor, "reason": request.reason,
        "commit": record.commit, "pipeline": record.pipeline, "error": record.error,
        "currency": record.cost.currency if record.cost else "",
        **{f"evidence.{key}": str(value) for key, value in request.evidence.items()},
    }  # fmt: skip
    return {f"linnet.{key}": value for key, value in facts.items() if value}


def metrics_of(record: RunRecord) -> dict[str, float]:
    """What the run took in all and stage by stage."""
    found: dict[str, float] = {}
    if record.cost is not None:
        found |= record.cost.model_dump(exclude={"currency"})
    for stage in record.stages:
        told = ("seconds", "cpu_seconds", "gpu_seconds", "peak_memory_mb", "cost", "saved_seconds", "cached")
        found |= {f"{stage.task}.{name}": float(getattr(stage, name)) for name in told}
    return found


def mirror_from_cluster(record: RunRecord, registry: dict[str, Any]) -> None:
    """What the exit handler does on a cluster; on this machine nothing waits for MLflow."""
    if not os.environ.get("LINNET_RUN_DIR"):
        mirror(record, RegistryConfig.parse(registry))


def mirror_pending() -> tuple[list[str], list[str]]:
    """Mirrors all ended runs of this machine that MLflow does not have yet.

    Returns:
        Their ids, and what was wrong with each run that its MLflow did not take: it hides no other, and
        is tried again the next time. Runs whose server does not answer are one problem a server.
    """
    done, problems = [], []
    waiting: dict[str, list[str]] = {}
    pending = [folder for folder in reversed(runs.folders()) if not is_a_file(folder / runs.MIRRORED)]
    for folder, record in runs.readable(among=pending):
        if record.ended_at is None:  # under way, or its process is gone and the engine closes it yet
            continue
        try:
            run_id = mirror(record, RegistryConfig.parse(record.config.get("registry", {})))
        except RegistryUnreachable as error:  # told at once from the second run on
            waiting.setdefault(str(error), []).append(record.run_id)
            continue
        except LinnetError as error:
            problems.append(f"run {record.run_id}: {error}")
            continue
        write_text(folder / runs.MIRRORED, run_id + "\n")
        done.append(record.run_id)
    return done, problems + [
        f"run {ids[0]}{f' and {len(ids) - 1} more' if ids[1:] else ''}: {problem}"
        for problem, ids in waiting.items()
    ]


def main() -> int:
    """Mirrors what is pending, one process at a time; a second one waits, a third one need not."""
    os.nice(10)  # whatever runs now is more urgent
    folder = runs.runs_dir()
    with (folder / ".mirror-waits").open("w") as waiting, (folder / ".mirror").open("w") as working:
        try:
            fcntl.flock(waiting, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0  # the one that waits has yet to look
        fcntl.flock(working, fcntl.LOCK_EX)
        fcntl.flock(waiting, fcntl.LOCK_UN)
        _, problems = mirror_pending()
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
