"""Several classes an image: any number of choices, and one that says that none of them is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linnet.tasks.choices import Choices
from linnet.tasks.label_form import CANNOT_TELL, BadAnswer, LabelForm, Status
from linnet.tasks.multilabel.target import TARGET

NONE_OF_THEM = "none of these"
"""Asked for by name: a form that is sent empty may be an accident."""


class SeveralChoices(Choices):
    """A row of buttons, of which any may be chosen."""

    def prediction(self, label: str, confidence: float, model: str) -> dict[str, Any]:
        """All classes of the label."""
        return self.suggested(TARGET.classes(label) or (NONE_OF_THEM,), confidence, model)

    def answer(self, annotation: Mapping[str, Any]) -> tuple[Status, str]:
        """The choices of the annotation, which contradict each other where one says that there is none."""
        if annotation.get("was_cancelled"):
            return "skipped", ""
        chosen = set(self.chosen(annotation))
        if not chosen:
            raise BadAnswer("it has no label")
        for alone in (CANNOT_TELL, NONE_OF_THEM):
            if alone in chosen and len(chosen) > 1:
                raise BadAnswer(f"it says '{alone}' and {', '.join(sorted(chosen - {alone}))} at once")
        if CANNOT_TELL in chosen:
            return "cannot_tell", ""
        if unknown := sorted(chosen - {*self.classes, NONE_OF_THEM}):
            raise BadAnswer(f"the dataset has no class '{unknown[0]}'; it has {', '.join(self.classes)}")
        return "label", TARGET.cell(TARGET.label(sorted(chosen - {NONE_OF_THEM})))


def label_form(classes: tuple[str, ...]) -> LabelForm:
    """The form for these classes."""
    return SeveralChoices(
        classes, "What does it show? Choose all that are there.", "multiple", (NONE_OF_THEM,)
    )
