"""release: the canary under the judge; the alias `champion` moves only on its word."""

from typing import Any

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def release(
    name: str,
    release: dict[str, Any],
    serving: dict[str, Any],
    registry: dict[str, Any],
    evaluation: dict[str, Any],
    gates: dict[str, Any],
    version: str,
    report: dsl.Input[dsl.Artifact],
    training_set: dsl.Input[dsl.Dataset],
    rollout: dsl.Output[dsl.Artifact],
) -> str:
    """Returns the verdict: promote, rollback or inconclusive."""
    from pathlib import Path

    from linnet.config import EvaluationConfig, GatesConfig, RegistryConfig, ReleaseConfig, ServingConfig
    from linnet.deployment.release import release as roll_out
    from linnet.deployment.turn import release_turn
    from linnet.evaluation.champion_gates import judge_by_new_champion
    from linnet.registry.connect import promote_if_accepted, release_candidates, rolled_back_before
    from linnet.run.step import progress, run_step
    from linnet.serving.champion_traffic import ServerTraffic
    from linnet.storage.paths import server_state_file

    canary, server = ReleaseConfig.parse(release), ServingConfig.parse(serving)
    where, data = RegistryConfig.parse(registry), Path(training_set.path)
    judged_by = EvaluationConfig.parse(evaluation), GatesConfig.parse(gates)

    def work(out: Any) -> dict[str, Any]:
        traffic, model = ServerTraffic(), where.registered_name(name)
        with release_turn(model, progress):
            candidates = release_candidates(where, name, version, traffic)
            judged = judge_by_new_champion(Path(report.path), data, *candidates, *judged_by, progress)
            decision = roll_out(
                *candidates,
                data,
                canary,
                server,
                model,
                out["rollout"],
                server_state_file(),
                progress,
                lambda decided, give: promote_if_accepted(where, decided, traffic, give),
                rolled_back_before(where, name, version),
                judged,
            )
            promote_if_accepted(where, decision, traffic)  # writes the lines of one that is not promoted
        return {"verdict": decision.verdict, "reason": decision.reason}

    values = run_step(
        "release",
        work,
        code=__file__,
        parameters={"release": release, "serving": serving, "version": version},
        inputs={},
        outputs={"rollout": rollout},
        side_effects=True,
    )
    return str(values["verdict"])
