"""request_latest: as request_labels, from the newest evaluation that a run left here."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def request_latest(
    name: str,
    labels: dict[str, Any],
    samples: dsl.Input[dsl.Dataset],
    requests: dsl.Output[dsl.Dataset],
) -> None:
    """Writes the chosen samples, each with the reason why it was chosen."""
    from pathlib import Path

    from linnet.config import LabelsConfig
    from linnet.labels.latest import latest_evaluation
    from linnet.labels.offer import offer
    from linnet.labels.request import request_labels
    from linnet.step import preparing, run_step

    config = LabelsConfig.parse(labels)
    with preparing("request_latest"):
        report = latest_evaluation(name)

    def work(out: Any) -> dict[str, Any]:
        chosen = request_labels(report, Path(samples.path), config, name, out["requests"])
        return {"requested": len(chosen), **offer(name, config)}

    run_step(
        "request_latest",
        work,
        code=__file__,
        parameters={"name": name, "labels": labels},
        inputs={"report": report, "samples": samples},
        outputs={"requests": requests},
        acts=True,
        needed=False,
    )
