"""Conditions of a compiled pipeline: the part of CEL that the KFP compiler writes.

kfp.local puts the values into the text and gives it to Python's `eval`, so that a quote in a value
breaks the condition (or is run as code), and whatever cannot be evaluated counts as false. Here the
text is parsed first and the values never become text; what cannot be evaluated is an error, as it is
on a cluster.

Grammar: https://github.com/google/cel-spec/blob/master/doc/langdef.md (the operators and literals of
`dsl.If`, `dsl.Elif` and `dsl.Condition`; no functions but the conversions int, double and string).
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from linnet.errors import RunError

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<input>inputs\.parameter_values\[(?:'[^']*'|"[^"]*")\])
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
      | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<word>[A-Za-z_]\w*)
      | (?P<sign>&&|\|\||==|!=|<=|>=|[<>!()])
    )""",
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WORDS = {"true": True, "false": False, "null": None}


def evaluate_condition(condition: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a task's `triggerPolicy.condition` holds for the values of the task's inputs.

    Raises:
        RunError: the condition cannot be evaluated; it names the condition and why.
    """
    parser = _Parser(condition, parameters)
    try:
        result = parser.either()
        if parser.rest:
            raise ValueError(f"{parser.rest[0][1]!r} is not understood here")
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise RunError(f"the condition {condition!r} cannot be evaluated: {error}") from error
    if not isinstance(result, bool):
        raise RunError(f"the condition {condition!r} is {result!r}, which is neither true nor false")
    return result


class _Parser:
    """Recursive descent over the tokens; evaluates as it goes. `||` binds loosest, then `&&`, then `!`."""

    def __init__(self, text: str, parameters: Mapping[str, Any]) -> None:
        self.parameters = parameters
        self.rest: list[tuple[str, str]] = []
        position = 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if match is None:
                raise RunError(f"the condition {text!r} cannot be read at {text[position:]!r}")
            self.rest.append((str(match.lastgroup), match.group(str(match.lastgroup))))
            position = match.end()

    def _take(self, *signs: str) -> str:
        if self.rest and self.rest[0][0] == "sign" and self.rest[0][1] in signs:
            return self.rest.pop(0)[1]
        return ""

    def either(self) -> Any:
        left = self._both()
        while self._take("||"):
            right = self._both()
            left = _truth(left) or _truth(right)
        return left

    def _both(self) -> Any:
        left = self._compared()
        while self._take("&&"):
            right = self._compared()
            left = _truth(left) and _truth(right)
        return left

    def _compared(self) -> Any:
        left = self._single()
        while sign := self._take(*_COMPARE):
            left = _compare(sign, left, self._single())
        return left

    def _single(self) -> Any:
        if self._take("!"):
            return not _truth(self._single())
        if self._take("("):
            inner = self.either()
            self._close()
            return inner
        kind, token = self.rest.pop(0)
        if kind == "input":
            return self.parameters[token[len("inputs.parameter_values['") : -2]]
        if kind == "number":
            return json.loads(token)
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        if kind == "word" and token in _WORDS:
            return _WORDS[token]
        if kind == "word" and token in ("int", "double", "string") and self._take("("):
            inner = self.either()
            self._close()
            return _converted(token, inner)
        raise ValueError(f"{token!r} is not understood here")

    def _close(self) -> None:
        if not self._take(")"):
            raise ValueError("a closing parenthesis is missing")


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _compare(sign: str, left: Any, right: Any) -> bool:
    numbers = all(isinstance(side, int | float) and not isinstance(side, bool) for side in (left, right))
    if not numbers and type(left) is not type(right) and None not in (left, right):
        raise TypeError(f"{left!r} and {right!r} are not of one type")
    return _COMPARE[sign](left, right)


def _converted(kind: str, value: Any) -> Any:
    if kind == "string":
        return json.dumps(value) if isinstance(value, bool) else f"{value}"
    if kind == "int" and isinstance(value, int):
        return int(value)  # not by way of a float, which rounds from 2^53 on
    return int(float(value)) if kind == "int" else float(value)
