"""Boxes in Label Studio: rectangles with a class each, and a button that says that there is no object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from linnet.tasks.detection.boxes import Box, boxes_of, inside, text_of
from linnet.tasks.detection.target import MOST
from linnet.tasks.label_form import CANNOT_TELL, WHOLE, BadAnswer, LabelForm, Status, refuse_classes

NO_OBJECT = "no object"
"""Asked for by name: a form that is sent empty may be an accident."""
_BOXES, _IMAGE = "label", "image"
_TURNED = 1e-6


class Rectangles:
    """A `RectangleLabels` of the classes, and `Choices` of what is said of the whole image."""

    def __init__(self, classes: Sequence[str]) -> None:
        """Raises ConfigError: a class is called as an answer of another meaning."""
        refuse_classes(classes, {NO_OBJECT, CANNOT_TELL})
        self.classes = tuple(classes)

    def config(self) -> str:
        """The XML."""
        labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in self.classes)
        return (
            "<View>\n"
            '  <Header value="Draw a box around each object."/>\n'
            f'  <Image name="{_IMAGE}" value="$image" zoom="true"/>\n'
            f'  <RectangleLabels name="{_BOXES}" toName="{_IMAGE}">\n{labels}  </RectangleLabels>\n'
            f'  <Choices name="{WHOLE}" toName="{_IMAGE}" choice="single" showInline="true">\n'
            f'    <Choice value="{NO_OBJECT}"/>\n    <Choice value="{CANNOT_TELL}" hotkey="0"/>\n'
            "  </Choices>\n"
            '  <Text name="why" value="$why"/>\n'
            "</View>\n"
        )

    def fits(self, parsed: Mapping[str, Any]) -> str:
        """Compares both controls and their names."""
        wanted = {
            _BOXES: ("RectangleLabels", set(self.classes)),
            WHOLE: ("Choices", {NO_OBJECT, CANNOT_TELL}),
        }
        for name, (kind, values) in wanted.items():
            control = parsed.get(name)
            if not isinstance(control, Mapping) or control.get("type") != kind:
                return f"its labelling config has no <{kind}> called '{name}'"
            have = set(control.get("labels", ()))
            if missing := sorted(values - have):
                return f"its labelling config lacks the label(s) {', '.join(missing)} of '{name}'"
            if extra := sorted(have - values):
                return f"its labelling config has label(s) that the dataset does not: {', '.join(extra)}"
        return ""

    def prediction(self, label: str, confidence: float, model: str) -> dict[str, Any]:
        """A rectangle a box, in percent of the image; none are `no object`."""
        results = [
            {
                "from_name": _BOXES,
                "to_name": _IMAGE,
                "type": "rectanglelabels",
                "value": {
                    "x": 100 * box.left,
                    "y": 100 * box.top,
                    "width": 100 * (box.right - box.left),
                    "height": 100 * (box.bottom - box.top),
                    "rotation": 0,
                    "rectanglelabels": [box.name],
                },
            }
            for box in boxes_of(label)
        ]
        nothing = {
            "from_name": WHOLE, "to_name": _IMAGE, "type": "choices", "value": {"choices": [NO_OBJECT]},
        }  # fmt: skip
        return {"model_version": model, "score": confidence, "result": results or [nothing]}

    def answer(self, annotation: Mapping[str, Any]) -> tuple[Status, str]:
        """The boxes of the annotation, which contradict a word about the whole image."""
        if annotation.get("was_cancelled"):
            return "skipped", ""
        results = annotation.get("result") or ()
        boxes = [self._box(item) for item in results if item.get("from_name") == _BOXES]
        said = {
            str(choice)
            for item in results
            if item.get("from_name") == WHOLE
            for choice in (item.get("value") or {}).get("choices", ())
        }
        if said and (boxes or len(said) > 1):
            raise BadAnswer(f"it says '{sorted(said)[0]}', and has {len(boxes)} box(es)")
        if CANNOT_TELL in said:
            return "cannot_tell", ""
        if not boxes and NO_OBJECT not in said:
            raise BadAnswer("it has no box, and does not say that there is no object")
        if len(boxes) > MOST:
            raise BadAnswer(f"it has {len(boxes)} boxes; at most {MOST} are learned from")
        return "label", text_of(boxes)

    def _box(self, item: Mapping[str, Any]) -> Box:
        try:
            return box_of(item.get("value") or {}, self.classes)
        except ValueError as error:
            raise BadAnswer(f"it has {error}") from error


def box_of(value: Mapping[str, Any], classes: Sequence[str] = ()) -> Box:
    """The box of a rectangle of Label Studio; `classes`: those that it may name, or any.

    Raises:
        ValueError: it is turned, has no or several names, or is outside the image.
    """
    names: list[str] = list(value.get("rectanglelabels") or ())
    if len(names) != 1:
        raise ValueError(f"a box with {len(names)} classes, not one")
    if classes and names[0] not in classes:
        raise ValueError(f"a box of '{names[0]}'; the dataset has {', '.join(classes)}")
    if abs(float(value.get("rotation") or 0)) > _TURNED:
        raise ValueError(f"a turned box of '{names[0]}'; draw it upright")
    try:
        left, top, width, height = (float(value[key]) / 100 for key in ("x", "y", "width", "height"))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a box of '{names[0]}' without x, y, width and height") from error
    return inside(Box(str(names[0]), left, top, left + width, top + height))


def label_form(classes: tuple[str, ...]) -> LabelForm:
    """The form for these classes."""
    return Rectangles(classes)
