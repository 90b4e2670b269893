"""package: the model as ONNX with its preprocessing inside, proved in the real server."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def package(
    name: str,
    gates: dict[str, Any],
    serving: dict[str, Any],
    model: dsl.Input[dsl.Model],
    report: dsl.Input[dsl.Artifact],
    training_set: dsl.Input[dsl.Dataset],
    package: dsl.Output[dsl.Model],
) -> str:
    """Returns the verdict of the package's gates: pass or fail."""
    from pathlib import Path

    from linnet.config import GatesConfig, ServingConfig
    from linnet.run.step import progress, run_step

    sections = GatesConfig.parse(gates), ServingConfig.parse(serving)
    folders = Path(model.path), Path(report.path), Path(training_set.path)

    def work(out: Any) -> dict[str, Any]:
        from linnet.packaging.package import package

        packed, decision = package(*folders, *sections, name, out["package"], progress)
        return {
            "verdict": decision.verdict,
            "reason": "; ".join(decision.reasons),
            "p95_ms": packed.latency_p95_ms,
        }

    values = run_step(
        "package",
        work,
        code=__file__,
        parameters={"name": name, "gates": gates, "serving": serving},
        inputs={"model": model, "report": report, "training_set": training_set},
        outputs={"package": package},
    )
    return str(values["verdict"])
