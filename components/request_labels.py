"""request_labels: sends the samples worth a person's time, and returns at once."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def request_labels(
    name: str,
    labels: dict[str, Any],
    samples: dsl.Input[dsl.Dataset],
    report: dsl.Input[dsl.Artifact],
    requests: dsl.Output[dsl.Dataset],
) -> None:
    """Writes the chosen samples, each with the reason why it was chosen."""
    from pathlib import Path

    from linnet.config import LabelsConfig
    from linnet.labels.connect import find_server
    from linnet.labels.offer import offer
    from linnet.labels.pool import log_state
    from linnet.labels.request import is_queued, request_labels
    from linnet.step import run_step

    config = LabelsConfig.parse(labels)

    def work(out: Any) -> dict[str, Any]:
        chosen = request_labels(Path(report.path), Path(samples.path), config, name, out["requests"])
        batch = chosen[0].batch if chosen else ""
        return {"batch": batch, "requested": len(chosen), **offer(name, config)}

    def still_queued(stored: Any) -> bool:
        """And no server is at hand that would be offered what waits."""
        return find_server(config) is None and is_queued(name, stored["batch"], stored["requested"])

    run_step(
        "request_labels",
        work,
        code=__file__,
        parameters={"name": name, "labels": labels},
        inputs={"report": report, "samples": samples},
        outputs={"requests": requests},
        world=lambda: {"production": log_state()},
        still_valid=still_queued,
        needed=False,
    )
