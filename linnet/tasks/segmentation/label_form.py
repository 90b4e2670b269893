"""Masks in Label Studio: a brush a class, and a button that says that nothing is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from linnet.tasks.label_form import CANNOT_TELL, BadAnswer, LabelForm, Status, refuse_classes
from linnet.tasks.segmentation.masks import of_masks, parsed
from linnet.vision import brush

NOTHING = "nothing of these"
"""Asked for by name: a form that is sent empty may be an accident."""
_BRUSH, _WHOLE, _IMAGE = "label", "whole", "image"


class Brushes:
    """`BrushLabels` of the classes, and `Choices` of what is said of the whole image."""

    def __init__(self, classes: Sequence[str]) -> None:
        """Raises ConfigError: a class is called as an answer of another meaning."""
        refuse_classes(classes, {NOTHING, CANNOT_TELL})
        self.classes = tuple(classes)

    def config(self) -> str:
        """The XML."""
        labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in self.classes)
        return (
            "<View>\n"
            '  <Header value="Paint what each class covers; later strokes lie on top."/>\n'
            f'  <Image name="{_IMAGE}" value="$image" zoom="true"/>\n'
            f'  <BrushLabels name="{_BRUSH}" toName="{_IMAGE}">\n{labels}  </BrushLabels>\n'
            f'  <Choices name="{_WHOLE}" toName="{_IMAGE}" choice="single" showInline="true">\n'
            f'    <Choice value="{NOTHING}"/>\n    <Choice value="{CANNOT_TELL}" hotkey="0"/>\n'
            "  </Choices>\n"
            '  <Text name="why" value="$why"/>\n'
            "</View>\n"
        )

    def fits(self, parsed: Mapping[str, Any]) -> str:
        """Compares both controls and their names."""
        for name, kind, wanted in (
            (_BRUSH, "BrushLabels", set(self.classes)),
            (_WHOLE, "Choices", {NOTHING, CANNOT_TELL}),
        ):
            control = parsed.get(name)
            if not isinstance(control, Mapping) or control.get("type") != kind:
                return f"its labelling config has no <{kind}> called '{name}'"
            have = set(control.get("labels", ()))
            if missing := sorted(wanted - have):
                return f"its labelling config lacks the label(s) {', '.join(missing)} of '{name}'"
            if extra := sorted(have - wanted):
                return f"its labelling config has label(s) that the dataset does not: {', '.join(extra)}"
        return ""

    def prediction(self, label: str, confidence: float, model: str) -> dict[str, Any]:
        """A brush stroke a class."""
        one = parsed(label)
        size = {"original_width": one.width, "original_height": one.height}
        results: list[dict[str, Any]] = [
            {
                "from_name": _BRUSH,
                "to_name": _IMAGE,
                "type": "brushlabels",
                **size,
                "value": {"format": "rle", "rle": brush.encode(one.mask(name)), "brushlabels": [name]},
            }
            for name in one.runs
        ]
        if not results:
            choice = {"choices": [NOTHING]}
            results = [{"from_name": _WHOLE, "to_name": _IMAGE, "type": "choices", **size, "value": choice}]
        return {"model_version": model, "score": confidence, "result": results}

    def answer(self, annotation: Mapping[str, Any]) -> tuple[Status, str]:
        """The strokes of an annotation as one segmentation; a choice beside them contradicts them."""
        if annotation.get("was_cancelled"):
            return "skipped", ""
        results = annotation.get("result") or ()
        chosen = {
            str(value)
            for one in results
            if one.get("from_name") == _WHOLE
            for value in (one.get("value") or {}).get("choices", ())
        }
        strokes = [one for one in results if one.get("from_name") == _BRUSH]
        if chosen and (strokes or len(chosen) > 1):
            raise BadAnswer(f"it says '{min(chosen)}' and something else at once")
        if CANNOT_TELL in chosen:
            return "cannot_tell", ""
        if not strokes and NOTHING not in chosen:
            raise BadAnswer("it has no label")
        return "label", self._label(results, strokes)

    def _label(self, results: Sequence[Mapping[str, Any]], strokes: Sequence[Mapping[str, Any]]) -> str:
        """Raises BadAnswer: a stroke says not one class of the dataset, is empty, or is none of the image."""
        sizes = {(one.get("original_height"), one.get("original_width")) for one in strokes or results}
        height, width = next(iter(sizes))
        if len(sizes) > 1 or type(height) is not int or type(width) is not int:
            raise BadAnswer(f"its strokes do not say one size of the image, but {sorted(map(str, sizes))}")
        masks = []
        for one in strokes:
            value = one.get("value") or {}
            names = list(value.get("brushlabels") or ())
            if len(names) != 1:
                raise BadAnswer(f"it has a stroke with {len(names)} classes, not one")
            if names[0] not in self.classes:
                known = ", ".join(self.classes)
                raise BadAnswer(f"the dataset has no class '{names[0]}'; it has {known}")
            try:
                mask = brush.decode(value.get("rle") or (), height, width)
            except ValueError as error:
                raise BadAnswer(f"it has {error}") from error
            if not mask.any():
                raise BadAnswer(f"it has an empty stroke of '{names[0]}'; delete it, or paint what it covers")
            masks.append((str(names[0]), mask))
        return of_masks(masks, height, width)[0].text


def label_form(classes: tuple[str, ...]) -> LabelForm:
    """The form for these classes."""
    return Brushes(classes)
