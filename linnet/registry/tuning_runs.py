"""The trials of a search in MLflow: a run each, in the model's experiment, tagged with their search."""

from __future__ import annotations

import time
from typing import Any

from linnet.config import RegistryConfig
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.registry.reachable import PATIENCE_SECONDS

SEARCH, TRIAL = "linnet.tune", "linnet.tune.trial"
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


def log_trial(
    config: RegistryConfig,
    model: str,
    search: str,
    number: int,
    settings: dict[str, Any],
    state: str,
    metrics: dict[str, float],
    seconds: float,
) -> str:
    """Writes one trial that ended; gives the MLflow run's id. Again, it is the same run.

    Raises:
        RegistryError: MLflow refuses or cannot be reached.
    """
    from mlflow.entities import Metric, Param, RunTag

    registry = MlflowRegistry(config.tracking_uri, PATIENCE_SECONDS)
    end = int(time.time() * 1000)
    with registry.client() as client:
        experiment = registry.experiment(model)
        mine = f"tags.`{SEARCH}` = '{search}' and tags.`{TRIAL}` = '{number}'"
        found = client.search_runs([experiment], mine, max_results=1)
        run = found[0] if found else client.create_run(
            experiment, start_time=end - round(seconds * 1000), run_name=f"trial {number} of {search}",
            tags={SEARCH: search, TRIAL: str(number)},
        )  # fmt: skip
        run_id = str(run.info.run_id)
        fresh = {f"train.{key}": str(value) for key, value in settings.items()}
        client.log_batch(
            run_id,
            params=[Param(key, value) for key, value in fresh.items() if key not in run.data.params],
            metrics=[Metric(key, value, end, 0) for key, value in {**metrics, "seconds": seconds}.items()],
            tags=[RunTag("linnet.state", state)],
        )
        client.set_terminated(run_id, _STATUS[state], end)
    return run_id
