"""One class an image: a single choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any
from xml.sax.saxutils import quoteattr

from linnet.tasks.label_form import CANNOT_TELL, BadAnswer, LabelForm, Status

_NO_HOTKEY = 9


class OneChoice:
    """A row of buttons with hot keys, and one for "cannot tell"."""

    control, source = "label", "image"

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    def config(self) -> str:
        """The XML; hot keys 1 to 9 for the first classes, 0 for "cannot tell"."""
        keys = [f" hotkey={quoteattr(str(i))}" for i in range(1, _NO_HOTKEY + 1)]
        choices = "".join(
            f"    <Choice value={quoteattr(name)}{key}/>\n"
            for name, key in zip_longest(self.classes, keys[: len(self.classes)], fillvalue="")
        )
        return (
            "<View>\n"
            '  <Header value="Which class is this?"/>\n'
            f'  <Image name="{self.source}" value="$image" zoom="true" width="320px"/>\n'
            f'  <Choices name="{self.control}" toName="{self.source}" choice="single" required="true" '
            'showInline="true">\n'
            f"{choices}"
            f'    <Choice value="{CANNOT_TELL}" hotkey="0"/>\n'
            "  </Choices>\n"
            '  <Text name="why" value="$why"/>\n'
            "</View>\n"
        )

    def fits(self, parsed: Mapping[str, Any]) -> str:
        """Compares control and choices; hot keys, headers and layout are the annotators' own affair."""
        control = parsed.get(self.control)
        if not isinstance(control, Mapping) or control.get("type") != "Choices":
            return f"its labelling config has no <Choices> called '{self.control}'"
        have, want = set(control.get("labels", ())), {*self.classes, CANNOT_TELL}
        if missing := sorted(want - have):
            return f"its labelling config lacks the choice(s) {', '.join(missing)}"
        if extra := sorted(have - want):
            return f"its labelling config has choice(s) that the dataset does not: {', '.join(extra)}"
        return ""

    def prediction(self, label: str, confidence: float, model: str) -> dict[str, Any]:
        """One chosen class with the model's confidence as score."""
        return {"model_version": model, "score": confidence, "result": [self._choice(label)]}

    def answer(self, annotation: Mapping[str, Any]) -> tuple[Status, str]:
        """The single choice of the annotation."""
        if annotation.get("was_cancelled"):
            return "skipped", ""
        chosen = [
            str(value)
            for item in annotation.get("result") or ()
            if item.get("from_name") == self.control
            for value in (item.get("value") or {}).get("choices", ())
        ]
        if len(chosen) != 1:
            raise BadAnswer("it has no label" if not chosen else f"it has {len(chosen)} labels, not one")
        if chosen[0] == CANNOT_TELL:
            return "cannot_tell", ""
        if chosen[0] not in self.classes:
            raise BadAnswer(f"the dataset has no class '{chosen[0]}'; it has {', '.join(self.classes)}")
        return "label", chosen[0]

    def _choice(self, label: str) -> dict[str, Any]:
        return {
            "from_name": self.control,
            "to_name": self.source,
            "type": "choices",
            "value": {"choices": [label]},
        }


def label_form(classes: tuple[str, ...]) -> LabelForm:
    """The form for these classes."""
    return OneChoice(classes)
