"""collect_labels: what people have answered so far, frozen for this run; never waits for anyone."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def collect_labels(
    name: str,
    labels: dict[str, Any],
    samples: dsl.Input[dsl.Dataset],
    batch: dsl.Output[dsl.Dataset],
) -> None:
    """Writes the labels known now."""
    from pathlib import Path

    from linnet.config import LabelsConfig
    from linnet.labels.collect import collect
    from linnet.step import run_step

    config = LabelsConfig.parse(labels)

    def work(out: Any) -> dict[str, Any]:
        found = collect(Path(samples.path), name, config, out["batch"])
        return {"labels": found.rows, "corrections": found.corrections}

    run_step(
        "collect_labels",
        work,
        code=__file__,
        parameters={"name": name, "labels": labels},
        inputs={"samples": samples},
        outputs={"batch": batch},
        cached=False,
    )
