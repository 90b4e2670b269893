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
    """Writes the labels known now, or those of the label set that `labels.version` names."""
    from pathlib import Path

    from linnet.config import LabelsConfig
    from linnet.data.fetch import fetch
    from linnet.data.version import read_version
    from linnet.labels.collect import answers_digest, collect
    from linnet.run.step import run_step

    config = LabelsConfig.parse(labels)

    def version_now() -> str:
        return read_version(Path(config.version)).digest if config.version else ""

    def work(out: Any) -> dict[str, Any]:
        chosen = fetch(Path(config.version)) if config.version else None
        version = version_now()
        found = collect(Path(samples.path), name, config, out["batch"], None, chosen, version)
        told = {
            "quarantined": found.quarantined,
            "disputed": found.disputed,
            "by_majority": found.by_majority,
        }
        return {
            "labels": found.rows,
            "corrections": found.corrections,
            "label_set": found.version,
            **{what: count for what, count in told.items() if count},
        }

    run_step(
        "collect_labels",
        work,
        code=__file__,
        parameters={"name": name, "labels": labels},
        inputs={"samples": samples},
        outputs={"batch": batch},
        extra_inputs=lambda: {"answers": answers_digest(name, config, version_now())},
    )
