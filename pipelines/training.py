"""The training DAG: raw images to a champion that came through its canary."""

from typing import Any

from kfp import dsl

from components.build_features import build_features as build_features_step
from components.evaluate import evaluate as evaluate_step
from components.package import package as package_step
from components.register import register as register_step
from components.release import release as release_step
from components.request_labels import request_labels as request_labels_step
from components.train import train as train_step
from linnet.config import Config
from pipelines.labelled_samples import answered_samples
from pipelines.placement import Placement


def training_pipeline(config: Config) -> Any:
    """The training DAG with the config's values as the defaults of its parameters, a section each."""

    placement = Placement.of(config)
    place = placement.place

    @dsl.pipeline(name="linnet-training", description="Raw images to a champion that came through its canary")
    def linnet_training(
        name: str = config.name,
        data: dict[str, Any] = config.data.values(),
        validation: dict[str, Any] = config.validation.values(),
        labels: dict[str, Any] = config.labels.values(),
        features: dict[str, Any] = config.features.values(),
        train: dict[str, Any] = config.train.values(),
        evaluation: dict[str, Any] = config.evaluation.values(),
        gates: dict[str, Any] = config.gates.values(),
        release: dict[str, Any] = config.release.values(),
        serving: dict[str, Any] = config.serving.values(),
        registry: dict[str, Any] = config.registry.values(),
        cost: dict[str, Any] = config.cost.values(),
        request: dict[str, Any] = {},  # noqa: B006  who asked for the run, and why
    ) -> None:
        with placement.recorded("training", name, request, cost, registry):
            head = answered_samples(
                placement, name, data, validation, labels, gates=gates, evaluation=evaluation
            )
            samples, batch = head.samples, head.answers.outputs["batch"]
            joined = place(
                build_features_step(name=name, data=data, features=features, samples=samples, batch=batch),
                minutes=60,
                cpu="2",
                memory="8G",
            )
            training_set = joined.outputs["training_set"]
            fitted = place(
                train_step(train=train, training_set=training_set), minutes=24 * 60, cpu="4", memory="16G"
            )
            placement.place_on_gpus(fitted)
            fitted.set_retry(2, "60s")
            # Threads that wait spin for some 20 microseconds only (libgomp's default is milliseconds):
            # on two cores the first epoch took 27 s instead of 33, and a busy machine hurts less.
            _declare(fitted, {"GOMP_SPINCOUNT": "20000"})
            model = fitted.outputs["model"]
            measured = place(
                evaluate_step(
                    name=name,
                    evaluation=evaluation,
                    gates=gates,
                    registry=registry,
                    model=model,
                    training_set=training_set,
                ),
                minutes=60,
                memory="8G",
            )
            report = measured.outputs["report"]
            asked = request_labels_step(
                name=name, labels=labels, registry=registry, samples=samples, report=report
            )
            place(asked, minutes=10)
            with dsl.If(measured.outputs["Output"] == "pass", name="evaluation-passed"):
                packed = place(
                    package_step(
                        name=name,
                        gates=gates,
                        serving=serving,
                        model=model,
                        report=report,
                        training_set=training_set,
                    ),
                    minutes=30,
                    cpu="2",
                    memory="8G",
                )
                with dsl.If(packed.outputs["Output"] == "pass", name="package-passed"):
                    registered = place(
                        register_step(
                            name=name,
                            registry=registry,
                            data=data,
                            features=features,
                            train=train,
                            evaluation=evaluation,
                            gates=gates,
                            model=model,
                            report=report,
                            package=packed.outputs["package"],
                        ),
                        minutes=10,
                    ).set_retry(2, "10s")
                    place(
                        release_step(
                            name=name,
                            release=release,
                            serving=serving,
                            registry=registry,
                            evaluation=evaluation,
                            gates=gates,
                            version=registered.outputs["Output"],
                            report=report,
                            training_set=training_set,
                        ),
                        minutes=24 * 60,
                        cpu="2",
                    )

    return linnet_training


def _declare(task: dsl.PipelineTask, variables: dict[str, str]) -> None:
    """Sets environment variables of a task; with their values they are part of its cache key."""
    for name, value in variables.items():
        task.set_env_variable(name, value)
    task.set_env_variable("LINNET_DECLARED", ",".join(variables))
