"""validate: Great Expectations on the sample table; a broken dataset stops the run here."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def validate(
    name: str,
    data: dict[str, Any],
    validation: dict[str, Any],
    samples: dsl.Input[dsl.Dataset],
    report: dsl.Output[dsl.Artifact],
) -> None:
    """Writes the validation report with its Data Docs, and fails if an expectation does not hold."""
    from pathlib import Path

    from linnet.config import DataConfig, ValidationConfig
    from linnet.data.accepted import accept, last_accepted
    from linnet.data.validate import validate
    from linnet.run.step import preparing, progress, run_step

    sections = ValidationConfig.parse(validation), DataConfig.parse(data)
    with preparing("validate"):
        previous = last_accepted(name, Path(samples.path))

    def work(out: Any) -> dict[str, Any]:
        found = validate(Path(samples.path), *sections, out["report"], previous, progress)
        return {"expectations": len(found.results)}

    run_step(
        "validate",
        work,
        code=__file__,
        parameters={"data": data, "validation": validation},
        inputs={"samples": samples, "previous": previous},
        outputs={"report": report},
    )
    accept(name, Path(report.path))
