"""Strict JSON of requests."""

from __future__ import annotations

import json
from typing import Any

from linnet.errors import RequestRejected


def parse_json(data: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN or Infinity.

    Raises:
        RequestRejected: 400.
    """
    try:
        return json.loads(data, parse_constant=_no_constant)
    except RecursionError as error:
        raise RequestRejected(400, "the body is nested too deeply") from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are both
        raise RequestRejected(400, f"the body is not JSON: {error}") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
