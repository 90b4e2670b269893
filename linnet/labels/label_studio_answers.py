"""What Label Studio answers: its JSON, or its complaint."""

from __future__ import annotations

import json
from typing import Any

import httpx

from linnet.errors import LabelServerError


def json_of(answer: httpx.Response, url: str) -> Any:
    """The JSON of an answer; None: it is empty.

    Raises:
        LabelServerError: it is no JSON.
    """
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError as error:
        problem = "answers something that is not JSON: is it a Label Studio server?"
        raise LabelServerError(url, problem, "fix labels.server") from error


def complaint_of(answer: httpx.Response) -> str:
    """The server's complaint, as one line."""
    try:
        told = answer.json()
        text = json.dumps(told.get("validation_errors") or told.get("detail") or told)
    except (ValueError, AttributeError):
        text = answer.text
    return " ".join(text.split())[:300]
