"""evaluate: metrics with intervals, cohorts, the champion on the same samples, and the gates."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    name: str,
    evaluation: dict[str, Any],
    gates: dict[str, Any],
    registry: dict[str, Any],
    model: dsl.Input[dsl.Model],
    training_set: dsl.Input[dsl.Dataset],
    report: dsl.Output[dsl.Artifact],
) -> str:
    """Returns the verdict of the gates: pass or fail."""
    from pathlib import Path

    from linnet.config import EvaluationConfig, GatesConfig, RegistryConfig
    from linnet.config.evaluation import PACKAGE_GATES
    from linnet.registry.connect import comparison_package
    from linnet.run.step import preparing, progress, run_step

    own = {key: value for key, value in gates.items() if key not in PACKAGE_GATES}
    sections = EvaluationConfig.parse(evaluation), GatesConfig.parse(gates)
    with preparing("evaluate"):
        champion, version = comparison_package(RegistryConfig.parse(registry), name, Path(model.path))

    def work(out: Any) -> dict[str, Any]:
        from linnet.cache.store import open_cache
        from linnet.evaluation.evaluate import evaluate

        folders = Path(model.path), Path(training_set.path)
        measured, decision = evaluate(
            *folders, *sections, out["report"], champion, version, progress, open_cache()
        )
        return {
            "verdict": decision.verdict,
            "reason": "; ".join(decision.reasons),
            "test_accuracy": measured.metrics["accuracy"].value,
        }

    values = run_step(
        "evaluate",
        work,
        code=__file__,
        parameters={"evaluation": evaluation, "gates": own, "champion": version},
        inputs={"model": model, "training_set": training_set, "champion": champion},
        outputs={"report": report},
    )
    return str(values["verdict"])
