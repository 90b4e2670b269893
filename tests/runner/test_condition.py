"""Conditions as the KFP compiler writes them."""

from __future__ import annotations

from typing import Any

import pytest

from linnet.errors import RunError
from linnet.runner.condition import evaluate_condition

X = "inputs.parameter_values['x']"


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        (f"{X} == 'pass'", {"x": "pass"}, True),
        (f"{X} == 'pass'", {"x": "fail"}, False),
        (f"{X} == 'it\\'s'", {"x": "it's"}, True),
        (f"{X} == 'a' && !({X} == 'b')", {"x": "a"}, True),
        (f"!({X} == 'a') && !({X} == 'b')", {"x": "b"}, False),
        (f"{X} == 'a' || {X} == 'b'", {"x": "b"}, True),
        (f"int({X}) >= 3", {"x": 3}, True),
        (f"double({X}) < 0.5", {"x": 0.25}, True),
        (f"{X} > -1.5e0", {"x": 0}, True),
        (f"{X} == true", {"x": False}, False),
        (f"{X} != {X.replace('x', 'y', 1)}", {"x": 1, "y": 1}, False),
        (
            "inputs.parameter_values['pipelinechannel--a-b-Output'] == '5'",
            {"pipelinechannel--a-b-Output": "5"},
            True,
        ),
    ],
)
def test_condition_of_the_compiler_is_evaluated(
    condition: str, values: dict[str, Any], expected: bool
) -> None:
    condition = condition.replace("inputs.parayeter_values['x']", "inputs.parameter_values['y']")
    assert evaluate_condition(condition, values) is expected


@pytest.mark.parametrize("text", ["' == '' || 'a' == 'a", "__import__('os')", "a'b", "5) || (1 == 1"])
def test_value_is_never_read_as_a_part_of_the_condition(text: str) -> None:
    assert evaluate_condition(f"{X} == 'pass'", {"x": text}) is False


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        (f"{X} == 'pass'", {}),
        (f"{X} == 'pass'", {"x": 3}),
        (f"{X} && true", {"x": "yes"}),
        (f"{X} ==", {"x": "a"}),
        (f"({X} == 'a'", {"x": "a"}),
        (f"{X}.startsWith('a')", {"x": "a"}),
        ("has(inputs.x)", {"x": "a"}),
        (X, {"x": "a"}),
        ("", {}),
    ],
)
def test_condition_that_cannot_be_evaluated_is_an_error_and_not_false(
    condition: str, values: dict[str, Any]
) -> None:
    with pytest.raises(RunError, match="the condition"):
        evaluate_condition(condition, values)
