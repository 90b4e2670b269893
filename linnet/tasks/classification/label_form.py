"""One class an image: a single choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linnet.tasks.choices import Choices
from linnet.tasks.label_form import CANNOT_TELL, BadAnswer, LabelForm, Status


class OneChoice(Choices):
    """A row of buttons, of which one is chosen."""

    def prediction(self, label: str, confidence: float, model: str) -> dict[str, Any]:
        """One chosen class."""
        return self.suggested([label], confidence, model)

    def answer(self, annotation: Mapping[str, Any]) -> tuple[Status, str]:
        """The single choice of the annotation."""
        if annotation.get("was_cancelled"):
            return "skipped", ""
        chosen = self.chosen(annotation)
        if len(chosen) != 1:
            raise BadAnswer("it has no label" if not chosen else f"it has {len(chosen)} labels, not one")
        if chosen[0] == CANNOT_TELL:
            return "cannot_tell", ""
        if chosen[0] not in self.classes:
            raise BadAnswer(f"the dataset has no class '{chosen[0]}'; it has {', '.join(self.classes)}")
        return "label", chosen[0]


def label_form(classes: tuple[str, ...]) -> LabelForm:
    """The form for these classes."""
    return OneChoice(classes, "Which class is this?", "single")
