"""Tasks of a Label Studio export: where the image is, and the answers that count."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from linnet.data.marks import of_label_studio
from linnet.tasks.label_form import CANNOT_TELL, WHOLE

Choice = tuple[str, dict[str, Any] | None]
"""A class, and where it is, as COCO would tell it (`marks`); None: the whole image is called so."""


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
    for result in annotation.get("result") or ():
        value = result.get("value") if isinstance(result, dict) else None
        said = value.get("choices") if isinstance(value, dict) and result.get("from_name") == WHOLE else None
        if isinstance(said, list) and CANNOT_TELL not in said:
            continue  # in forms of places: that there is nothing
        for key in ("choices", "rectanglelabels", "polygonlabels", "brushlabels", "taxonomy"):
            if not isinstance(value, dict) or not isinstance(listed := value.get(key), list):
                continue
            for choice in listed:
                if isinstance(choice, str):
                    yield choice, None if key == "choices" else of_label_studio(key, result)
