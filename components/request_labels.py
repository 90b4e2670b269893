"""request_labels: sends the samples worth a person's time, and returns at once."""

from typing import Any, Optional

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def request_labels(
    name: str,
    labels: dict[str, Any],
    registry: dict[str, Any],
    samples: dsl.Input[dsl.Dataset],
    requests: dsl.Output[dsl.Dataset],
    report: Optional[dsl.Input[dsl.Artifact]] = None,  # noqa: UP045  what kfp reads
) -> None:
    """Writes the chosen samples, each with why; without a `report` by the newest evaluation there is."""
    from pathlib import Path

    from linnet.config import LabelsConfig, RegistryConfig
    from linnet.labels.candidates import log_state
    from linnet.labels.connect import find_server
    from linnet.labels.export_after_run import offer
    from linnet.labels.queue import is_queued
    from linnet.labels.request import request_labels
    from linnet.run.outputs import latest_evaluation
    from linnet.run.step import preparing, run_step

    config = LabelsConfig.parse(labels)
    model = RegistryConfig.parse(registry).registered_name(name)
    with preparing("request_labels"):
        evaluation = Path(report.path) if report else latest_evaluation(model)

    def work(out: Any) -> dict[str, Any]:
        chosen = request_labels(evaluation, Path(samples.path), config, name, out["requests"], model)
        batch = chosen[0].batch if chosen else ""
        return {"batch": batch, "requested": len(chosen), **offer(name, config)}

    def still_queued(stored: Any) -> bool:
        """And no server is at hand that would be offered what waits."""
        return find_server(config) is None and is_queued(name, stored["batch"], stored["requested"])

    run_step(
        "request_labels",
        work,
        code=__file__,
        parameters={"name": name, "labels": labels, "model": model},
        inputs={"report": evaluation, "samples": samples},
        outputs={"requests": requests},
        extra_inputs=lambda: {"production": log_state(model)},
        still_valid=still_queued,
        required=False,
    )
