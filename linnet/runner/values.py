"""Values of parameters as Kubeflow Pipelines carries them, and their texts.

A value is what `google.protobuf.Value` can be: a number, a text, a truth, a list, a struct, or null
within one of the last two. NaN and the infinities are none of these: a cluster's launcher refuses an
output that holds one (protojson, backend/src/v2/component/launcher_v2.go), and so does this.
"""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

from linnet.errors import RunError

_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "BOOLEAN": (bool,),
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "LIST": (list,),
    "STRUCT": (dict,),
}
_PLAIN_BELOW = 1e21
"""From here on Go's JSON writes a number with an exponent, which Python reads as a float."""
_EXACT = 2**53
"""The largest whole number up to which a double, and so a cluster, holds every one."""


def typed(value: Any, kind: str, where: str) -> Any:
    """A parameter's value in its declared type: JSON and protobuf bring 3 as 3.0.

    Raises:
        RunError: it is of another type, or holds a number that is none.
    """
    check_finite(value, where)
    return _of_type(value, kind, where)


def _of_type(value: Any, kind: str, where: str) -> Any:
    wrong = kind in _TYPES and not isinstance(value, _TYPES[kind])
    wrong = wrong or (kind.startswith("NUMBER") and isinstance(value, bool))
    if not wrong and kind == "NUMBER_INTEGER":
        wrong = value != int(value)
        value = int(value)
    if wrong:
        raise RunError(f"{where} must be of type {kind}, not {value!r}")
    return float(value) if kind == "NUMBER_DOUBLE" and abs(value) <= _EXACT else value


def converted(value: Any, kind: str, where: str) -> Any:
    """A value that flows within a pipeline, in the type of the input that takes it.

    Whatever flows into a STRING becomes text (backend/src/v2/driver/resolve.go); a text that was made
    so on its way, as the compiler calls items STRING whose type it does not know, becomes the value again.

    Raises:
        RunError: it is of another type.
    """
    if kind == "STRING":
        check_finite(value, where)
        return as_text(value)
    if isinstance(value, str) and kind in _TYPES:
        with contextlib.suppress(ValueError):
            return _of_type(from_json(value, where), kind, where)
    return typed(value, kind, where)


def as_text(value: Any) -> str:
    """A value as text, as `PbValueToText` in backend/src/v2/metadata/converter.go writes it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float):
        return _positional(value)
    return json.dumps(plain(value), separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _positional(value: float) -> str:
    """The shortest digits that make the number, without an exponent (Go's format 'f', precision -1)."""
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    digits, _, exponent = text.partition("e")
    sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    whole, _, part = digits.partition(".")
    point = len(whole) + int(exponent)
    digits = whole + part
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits.ljust(point, '0')}"


def from_text(text: str, kind: str, where: str) -> Any:
    """The value that a component wrote to the file of an output, as `TextToPbValue` (ibid.) reads it.

    Raises:
        RunError: it is not one.
    """
    if kind in ("STRING", ""):
        return text
    try:
        if kind == "NUMBER_INTEGER":
            return int(text)
        if kind == "NUMBER_DOUBLE":
            return typed(plain(float(text)), kind, where)
        if kind == "BOOLEAN":
            return {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}[
                text.strip().lower()
            ]
        return _of_type(from_json(text, where), kind, where)
    except (ValueError, KeyError) as error:
        raise RunError(f"{where} must be of type {kind}, not {text[:100]!r}") from error


def from_json(text: str | bytes, where: str) -> Any:
    """Reads JSON; 3.0 is 3.

    Raises:
        ValueError: it is not JSON.
        RunError: it holds NaN or an infinity, which JSON has no word for and a cluster refuses.
    """

    def number(digits: str) -> float | int:
        value: float | int = _plain(float(digits))
        check_finite(value, where)
        return value

    def constant(word: str) -> float:
        check_finite(float(word), where)
        raise AssertionError(word)

    try:  # while it is read: a walk over a large value takes longer than that
        return json.loads(text, parse_float=number, parse_constant=constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def check_finite(value: Any, where: str) -> None:
    """Refuses NaN and infinities, wherever they stand within a value.

    Raises:
        RunError: it names what it is.
    """
    for number in _numbers(value):
        if isinstance(number, float) and not math.isfinite(number):
            raise RunError(
                f"{where} holds {number}, which is not a number of JSON: a cluster refuses it too; "
                "write another value, or a text"
            )


def inexact(value: Any) -> list[int]:
    """Whole numbers within a value that a cluster would round, because it holds all numbers as doubles."""
    return [
        number
        for number in _numbers(value)
        if isinstance(number, int)
        and abs(number) > _EXACT
        and (abs(number) > 1 << 1023 or int(float(number)) != number)
    ]


def _numbers(value: Any) -> list[int | float]:
    """The numbers within a value, the last ones first; truths are none."""
    found, waiting = [], [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind is dict:
            waiting += item.values()
        elif kind is list:
            waiting += item
        elif kind is int or kind is float:
            found.append(item)
    return found


def plain(value: Any) -> Any:
    """3.0 as 3: YAML, JSON and protobuf do not agree on it."""
    if isinstance(value, dict | list) and float not in map(type, _numbers(value)):
        return value  # most are: to build another takes longer than to look
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < _PLAIN_BELOW:
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
