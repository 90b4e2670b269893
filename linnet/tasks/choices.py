"""A form of Label Studio that asks by buttons: what forms of one and of several choices have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any
from xml.sax.saxutils import quoteattr

from linnet.tasks.label_form import CANNOT_TELL, refuse_classes

_NO_HOTKEY = 9


class Choices:
    """Buttons with hot keys for the classes, for `extra` answers, and for "cannot tell"."""

    control, source = "label", "image"

    def __init__(self, classes: Sequence[str], question: str, kind: str, extra: Sequence[str] = ()) -> None:
        """`kind`: Label Studio's `choice`, single or multiple.

        Raises:
            ConfigError: a class is called as an answer of another meaning.
        """
        refuse_classes(classes, {*extra, CANNOT_TELL})
        self.classes, self.extra = tuple(classes), tuple(extra)
        self._question, self._kind = question, kind

    def config(self) -> str:
        """The XML; hot keys 1 to 9 for the first answers, 0 for "cannot tell"."""
        names = (*self.classes, *self.extra)
        keys = [f" hotkey={quoteattr(str(i))}" for i in range(1, _NO_HOTKEY + 1)]
        choices = "".join(
            f"    <Choice value={quoteattr(name)}{key}/>\n"
            for name, key in zip_longest(names, keys[: len(names)], fillvalue="")
        )
        return (
            "<View>\n"
            f"  <Header value={quoteattr(self._question)}/>\n"
            f'  <Image name="{self.source}" value="$image" zoom="true" width="320px"/>\n'
            f'  <Choices name="{self.control}" toName="{self.source}" choice="{self._kind}" required="true" '
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
        have, want = set(control.get("labels", ())), {*self.classes, *self.extra, CANNOT_TELL}
        if missing := sorted(want - have):
            return f"its labelling config lacks the choice(s) {', '.join(missing)}"
        if extra := sorted(have - want):
            return f"its labelling config has choice(s) that the dataset does not: {', '.join(extra)}"
        return ""

    def chosen(self, annotation: Mapping[str, Any]) -> list[str]:
        """What the person chose."""
        return [
            str(value)
            for item in annotation.get("result") or ()
            if item.get("from_name") == self.control
            for value in (item.get("value") or {}).get("choices", ())
        ]

    def suggested(self, choices: Sequence[str], confidence: float, model: str) -> dict[str, Any]:
        """A pre-annotation with the model's confidence as score."""
        result = {
            "from_name": self.control,
            "to_name": self.source,
            "type": "choices",
            "value": {"choices": list(choices)},
        }
        return {"model_version": model, "score": confidence, "result": [result]}
