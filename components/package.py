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
    from linnet.packaging.smoke_test import trial_settings
    from linnet.run.step import progress, run_step

    thresholds, settings = GatesConfig.parse(gates), trial_settings(ServingConfig.parse(serving))
    folders = Path(model.path), Path(report.path), Path(training_set.path)

    def work(out: Any) -> dict[str, Any]:
        from linnet.packaging.package import build_package

        at = thresholds.min_parity
        return {"samples": build_package(*folders, at, settings, name, out["package"], progress)}

    def judge(out: Any, values: Any) -> dict[str, Any]:
        from linnet.packaging.package import judge_package

        packed, decision = judge_package(*folders, thresholds, values["samples"], out["package"])
        reason = "; ".join(decision.reasons)
        return {"verdict": decision.verdict, "reason": reason, "p95_ms": packed.latency_p95_ms}

    values = run_step(
        "package",
        work,
        code=__file__,
        # Only what the package itself depends on: another threshold judges it anew, and does not build it.
        parameters={"name": name, "serving": settings.values(), "min_parity": thresholds.min_parity},
        inputs={"model": model, "evaluation": folders[1] / "evaluation.json", "training_set": training_set},
        outputs={"package": package},
        finish=judge,
    )
    return str(values["verdict"])
