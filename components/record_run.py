"""record_run: the exit handler; whatever happened, the run's record says so."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def record_run(
    pipeline: str,
    name: str,
    request: dict[str, Any],
    cost: dict[str, Any],
    registry: dict[str, Any],
    status: dsl.PipelineTaskFinalStatus,
) -> None:
    """Closes the run's record with its state and cost, which follow from the stages."""
    from linnet.registry.run_mirror import mirror_from_cluster
    from linnet.run.ending import close

    # A cluster's driver tells the state in the words of ML Metadata, earlier ones in those of the API.
    worked = status.state in ("COMPLETE", "CACHED", "SUCCEEDED")
    record = close(pipeline, name, request, worked=worked, prices=cost)
    mirror_from_cluster(record, registry)
