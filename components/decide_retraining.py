"""decide_retraining: asks the policy after a window; a yes asks for a run, which the engine submits."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def decide_retraining(name: str, registry: dict[str, Any], retraining: dict[str, Any]) -> str:
    """Returns yes or no; on yes a training run was asked for."""
    from linnet.retraining.wiring import decide_for_model
    from linnet.run.step import run_step

    def work(_: Any) -> dict[str, Any]:
        decision = decide_for_model(name, registry, retraining)
        return {"request": "yes" if decision.request else "no", "reason": decision.reason}

    values = run_step(
        "decide_retraining",
        work,
        code=__file__,
        parameters={"name": name, "registry": registry, "retraining": retraining},
        inputs={},
        outputs={},
        side_effects=True,
    )
    return str(values["request"])
