"""Tasks of a Label Studio export: where the image is, and the answers that count."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from linnet.data.marks import of_label_studio
from linnet.tasks.label_form import CANNOT_TELL, WHOLE

Choice = tuple[str, dict[str, Any] | None]
"""A class, and where it is, as COCO would tell it (`marks`); None: the whole image is called so.

The class is empty where a region has none, and the place where its kind is not read: neither is dropped.
"""
_GEOMETRY = {"x", "points", "rle", "vertices"}
"""One of these a region of an image has."""


def image_of(task: Any) -> str | None:
    """Where a task's image is; None: it is no task of Label Studio over images."""
    if not isinstance(task, dict):
        return None
    known = "annotations" in task or "choice" in task or "annotation_id" in task
    data = task.get("data", task)
    if not known or not isinstance(data, dict):
        return None
    value = data.get("image") or data.get("img") or data.get("image_url")
    if not isinstance(value, str):
        return None
    reference = value.partition("?d=")[2] or value
    # An upload is stored as `<8 hex digits>-<name>`.
    return re.sub(r"(^|/)[0-9a-f]{8}-([^/]+)$", r"\1\2", reference)


def answers_of(task: dict[str, Any]) -> Iterator[Sequence[Choice]]:
    """Each person's answer to a task; what was skipped, or could not be told, does not count."""
    direct = task.get("choice")
    direct = direct.get("choices", []) if isinstance(direct, dict) else direct
    listed = direct if isinstance(direct, list) else [direct]
    if whole := [(choice, None) for choice in listed if isinstance(choice, str) and choice]:
        yield whole
    annotations = task.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else ():
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        found = list(_choices(annotation))
        if (CANNOT_TELL, None) not in found:
            yield found


def _choices(annotation: dict[str, Any]) -> Iterator[Choice]:
    listed = annotation.get("result")
    listed = listed if isinstance(listed, list) else ()
    results = [one for one in listed if isinstance(one, dict) and isinstance(one.get("value"), dict)]
    named = {str(one["id"]) for one in results if "id" in one and any(_classes(one["value"]))}
    for result in results:
        value = result["value"]
        said = value.get("choices") if result.get("from_name") == WHOLE else None
        if isinstance(said, list) and CANNOT_TELL not in said:
            continue  # in forms of places: that there is nothing
        found = list(_classes(value))
        for key, choice in found:
            yield choice, None if key == "choices" else of_label_studio(key, result)
        if not found and value.keys() & _GEOMETRY and str(result.get("id")) not in named:
            yield "", {}


def _classes(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a result calls its region, or the image, each with the key that it stands under."""
    for key, listed in value.items():
        if (key in ("choices", "taxonomy") or key.endswith("labels")) and isinstance(listed, list):
            yield from ((key, choice) for choice in listed if isinstance(choice, str))
