"""validate: Great Expectations on the sample table; a broken dataset stops the run here.

So does a config that no model could pass on the test images that there are.
"""

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
    gates: dict[str, Any] = {},  # noqa: B006  empty: nothing is judged by this dataset
    evaluation: dict[str, Any] = {},  # noqa: B006
) -> None:
    """Writes the validation report with its Data Docs, and fails if an expectation does not hold."""
    from pathlib import Path

    from linnet.config import DataConfig, EvaluationConfig, GatesConfig, ValidationConfig
    from linnet.data.accepted import accept, last_accepted
    from linnet.data.validate import check_gates, validate
    from linnet.run.step import preparing, progress, run_step

    sections = ValidationConfig.parse(validation), DataConfig.parse(data)
    judged_by = GatesConfig.parse(gates)
    with preparing("validate"):
        previous = last_accepted(name, Path(samples.path))
        if gates:
            check_gates(Path(samples.path), judged_by, EvaluationConfig.parse(evaluation))

    def work(out: Any) -> dict[str, Any]:
        unjudged = judged_by.unjudged_classes
        found = validate(Path(samples.path), *sections, out["report"], previous, progress, unjudged)
        return {"expectations": len(found.results)}

    run_step(
        "validate",
        work,
        code=__file__,
        parameters={"data": data, "validation": validation, "unjudged": list(judged_by.unjudged_classes)},
        inputs={"samples": samples, "previous": previous},
        outputs={"report": report},
    )
    accept(name, Path(report.path))
