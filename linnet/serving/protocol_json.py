"""Strict JSON of requests."""

from __future__ import annotations

import json
from typing import Any

from linnet.errors import RequestRejected


def parse_json(data: bytes) -> Any:
    """Strict JSON: UTF-8 and no other encoding, no byte order mark, no NaN or Infinity.

    Raises:
        RequestRejected: 400.
    """
    try:
        return json.loads(data.decode(), parse_constant=_no_constant)
    except RecursionError as error:
        raise RequestRejected(400, "the body is nested too deeply") from error
    except _NoNumber as error:
        raise RequestRejected(400, f"the body is not JSON: {error.name} is not JSON") from error
    except json.JSONDecodeError as error:
        raise RequestRejected(400, f"the body is not JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise RequestRejected(400, f"the body is not JSON: not UTF-8 at byte {error.start}") from error
    except ValueError as error:  # what Python's own limit says of a whole number of thousands of digits
        raise RequestRejected(400, "the body has a number that is too long") from error


class _NoNumber(ValueError):
    def __init__(self, name: str) -> None:
        self.name = name


def _no_constant(name: str) -> float:
    raise _NoNumber(name)
