"""What people see in Label Studio, and both conversions: pure, no network. https://labelstud.io/tags"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

from linnet.errors import ConfigError
from linnet.tasks.parts import part

DYNAMIC_IMPORTS = ("linnet.tasks.*.label_form",)
Status = Literal["label", "skipped", "cannot_tell"]
"""What a person's answer is."""
CANNOT_TELL = "cannot tell"
"""The choice of a person who sees the image and does not know; no class may be called so."""

WHOLE = "whole"
"""The control of forms of places in which people say something of the whole image: that nothing is there."""


class BadAnswer(Exception):
    """An annotation that says nothing that Linnet can use; the text says why."""


def refuse_classes(classes: Sequence[str], answers: Collection[str]) -> None:
    """Refuses a class that is called as an answer of another meaning: what came back could be either.

    Raises:
        ConfigError: names the class.
    """
    if taken := sorted(set(answers).intersection(classes)):
        problem = f"a class is called {taken[0]!r}, which is an answer of its own in the labelling form"
        raise ConfigError("data.classes", problem, "rename the class")


class LabelForm(Protocol):
    """The labelling form of a task for some classes."""

    def config(self) -> str:
        """Label Studio's labelling config, XML."""

    def fits(self, parsed: Mapping[str, Any]) -> str:
        """Why a project with this `parsed_label_config` cannot take the tasks; empty: it can."""

    def prediction(self, label: str, confidence: float, model: str) -> dict[str, Any]:
        """A pre-annotation as Label Studio takes it."""

    def answer(self, annotation: Mapping[str, Any]) -> tuple[Status, str]:
        """Status and label of an annotation, the label as `Target.cell` writes it; empty for other statuses.

        Raises:
            BadAnswer: it has no label, one that cannot be, or one that the dataset does not have.
        """


def label_form_of(task: str, classes: Sequence[str]) -> LabelForm:
    """The form for these classes.

    Raises:
        ConfigError: the task is unknown.
    """
    found: LabelForm = part(task, "label_form").label_form(tuple(classes))
    return found
