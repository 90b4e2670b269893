"""The labelling DAG: one round alone, from a trained model's doubts to people, and back to a label set."""

from typing import Any

from kfp import dsl

from components.request_labels import request_labels as request_labels_step
from linnet.config import Config
from pipelines.labelled_samples import answered_samples
from pipelines.placement import Placement


def labeling_pipeline(config: Config) -> Any:
    """The labelling DAG with the config's values as the defaults of its parameters.

    The new questions are those that the newest evaluation's model raises. Nothing waits for a person:
    the answers that a run collects are those of earlier rounds, and the round that it opens is collected
    by the next run, or by `linnet labels serve`.
    """

    placement = Placement.of(config)
    place = placement.place

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
        with placement.recorded("labeling", name, request, cost, registry):
            head = answered_samples(placement, name, data, validation, labels)
            asked = request_labels_step(name=name, labels=labels, registry=registry, samples=head.samples)
            place(asked, minutes=10).after(head.answers)

    return linnet_labeling
