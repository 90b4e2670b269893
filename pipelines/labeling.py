"""The labelling DAG: one round alone, from a trained model's doubts to people, and back to a label set."""

from typing import Any

from kfp import dsl

from components.collect_labels import collect_labels as collect_labels_step
from components.ingest import ingest as ingest_step
from components.record_run import record_run as record_run_step
from components.request_latest import request_latest as request_latest_step
from components.validate import validate as validate_step
from linnet.config import Config
from pipelines.placement import place


def labeling_pipeline(config: Config) -> Any:
    """The labelling DAG with the config's values as the defaults of its parameters.

    The new questions are those that the newest evaluation's model raises. Nothing waits for a person:
    the answers that a run collects are those of earlier rounds, and the round that it opens is collected
    by the next run, or by `linnet labels serve`.
    """

    @dsl.pipeline(name="linnet-labeling", description="One labelling round: collect answers, ask anew")
    def linnet_labeling(
        name: str = config.name,
        data: dict[str, Any] = config.data.values(),
        validation: dict[str, Any] = config.validation.values(),
        labels: dict[str, Any] = config.labels.values(),
        registry: dict[str, Any] = config.registry.values(),
        cost: dict[str, Any] = config.cost.values(),
        request: dict[str, Any] = {},  # noqa: B006  who asked for the run, and why
    ) -> None:
        with dsl.ExitHandler(
            place(record_run_step(name=name, request=request, cost=cost, registry=registry), minutes=5)
        ):
            raw = place(ingest_step(name=name, data=data), minutes=60, cpu="2", memory="4G")
            samples = raw.outputs["samples"]
            checked = place(
                validate_step(name=name, data=data, validation=validation, samples=samples),
                minutes=30,
                memory="4G",
            )
            answers = place(collect_labels_step(name=name, labels=labels, samples=samples), minutes=10)
            answers.after(checked)
            asked = place(request_latest_step(name=name, labels=labels, samples=samples), minutes=10)
            asked.after(answers)

    return linnet_labeling
