"""Tasks of a Label Studio export: where the image is, and the answers that count."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from linnet.data.marks import of_label_studio
from linnet.tasks.target import Marked


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


def answers_of(task: dict[str, Any]) -> Iterator[list[tuple[Marked, bool]]]:
    """Each person's answer to a task: marks, and whether each is a box; what was skipped does not count."""
    direct = task.get("choice")
    direct = direct.get("choices", []) if isinstance(direct, dict) else direct
    listed = direct if isinstance(direct, list) else [direct]
    if whole := [(Marked(choice), False) for choice in listed if isinstance(choice, str) and choice]:
        yield whole
    annotations = task.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else ():
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        yield list(_choices(annotation))


def _choices(annotation: dict[str, Any]) -> Iterator[tuple[Marked, bool]]:
    """Each mark of an annotation, and whether it is a box."""
    for result in annotation.get("result") or ():
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict):
            continue
        for key in ("choices", "rectanglelabels", "polygonlabels", "brushlabels", "taxonomy"):
            listed = value.get(key)
            for choice in listed if isinstance(listed, list) else ():
                if not isinstance(choice, str):
                    continue
                if key == "choices":
                    yield Marked(choice), False
                else:
                    yield of_label_studio(choice, key, value), True
