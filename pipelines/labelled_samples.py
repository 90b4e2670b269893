"""The head that DAGs over a dataset share: its samples, sound, and what people answered about them."""

from dataclasses import dataclass
from typing import Any

from kfp import dsl

from components.collect_labels import collect_labels as collect_labels_step
from components.ingest import ingest as ingest_step
from components.validate import validate as validate_step
from pipelines.placement import Placement


@dataclass(frozen=True)
class Answered:
    """What later steps take of it."""

    samples: Any
    """The sample table."""
    answers: dsl.PipelineTask
    """The task that froze the answers, once the samples were found sound."""


def answered_samples(
    placement: Placement, name: Any, data: Any, validation: Any, labels: Any, **judged_by: Any
) -> Answered:
    """`ingest -> validate -> collect_labels`, traced into the DAG that is being built.

    `judged_by`: the sections `gates` and `evaluation`, where a model is to be judged on these samples.
    """
    place = placement.place
    raw = place(ingest_step(name=name, data=data), minutes=60, cpu="2", memory="4G").set_retry(2, "30s")
    samples = raw.outputs["samples"]
    checked = place(
        validate_step(name=name, data=data, validation=validation, samples=samples, **judged_by),
        minutes=30,
        memory="4G",
    )
    answers = place(collect_labels_step(name=name, labels=labels, samples=samples), minutes=10)
    return Answered(samples, answers.after(checked))
