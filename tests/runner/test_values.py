"""Values and their texts, held against what Go's formats and a cluster's converter give."""

from __future__ import annotations

from typing import Any

import pytest

from linnet.errors import RunError
from linnet.runner.placeholders import fill
from linnet.runner.values import as_text, converted, from_json, from_text, inexact, plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (3, "3"),
        (3.0, "3"),
        (2.5, "2.5"),
        (1e-7, "0.0000001"),
        (-1.25e-7, "-0.000000125"),
        (1e21, "1000000000000000000000"),
        (1.5e22, "15000000000000000000000"),
        (True, "true"),
        (None, ""),
        ([1.0, "a", None], '[1,"a",null]'),
        ({"b": False, "a": {"ü": 2.5}}, '{"a":{"ü":2.5},"b":false}'),
    ],
)
def test_value_as_text_is_that_of_a_cluster(value: Any, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ({"a": 1.0}, "STRING", '{"a":1}'),
        ('{"a":1}', "STRUCT", {"a": 1}),
        ("[1,2]", "LIST", [1, 2]),
        ("3", "NUMBER_INTEGER", 3),
        ("2.5", "NUMBER_DOUBLE", 2.5),
        ("true", "BOOLEAN", True),
        ("true", "STRING", "true"),
        (2**53 + 1, "NUMBER_INTEGER", 2**53 + 1),
        (1e300, "NUMBER_DOUBLE", 1e300),
        ({"status": 1}, "TASK_FINAL_STATUS", {"status": 1}),
    ],
)
def test_value_becomes_text_and_back(value: Any, kind: str, expected: Any) -> None:
    assert converted(value, kind, "x") == expected and type(converted(value, kind, "x")) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("a", "NUMBER_INTEGER"),
        ("1", "LIST"),
        (True, "NUMBER_DOUBLE"),
        (1, "BOOLEAN"),
        ("NaN", "NUMBER_DOUBLE"),
        (float("nan"), "NUMBER_DOUBLE"),
        (float("inf"), "NUMBER_INTEGER"),
        ([{"a": float("-inf")}], "LIST"),
        ("1e400", "NUMBER_DOUBLE"),
        (float("nan"), "STRING"),
    ],
)
def test_value_that_is_of_another_type_is_refused(value: Any, kind: str) -> None:
    with pytest.raises(RunError, match="x "):
        converted(value, kind, "x")


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("abc\n", "STRING", "abc\n"),
        (" 12\n", "NUMBER_INTEGER", 12),
        ("1e3", "NUMBER_DOUBLE", 1000.0),
        ("True", "BOOLEAN", True),
        ("0", "BOOLEAN", False),
        ("[1.0, null]", "LIST", [1, None]),
    ],
)
def test_file_of_an_output_is_read_as_on_a_cluster(text: str, kind: str, expected: Any) -> None:
    assert from_text(text, kind, "x") == expected


@pytest.mark.parametrize(
    ("text", "kind"), [("", "NUMBER_INTEGER"), ("nan", "NUMBER_DOUBLE"), ("yes", "BOOLEAN"), ("{}", "LIST")]
)
def test_file_of_an_output_that_is_of_another_type_is_refused(text: str, kind: str) -> None:
    with pytest.raises(RunError):
        from_text(text, kind, "x")


@pytest.mark.parametrize("text", ["NaN", '{"a": [Infinity]}', "1e400", "-Infinity"])
def test_json_without_words_for_it_is_refused(text: str) -> None:
    with pytest.raises(RunError, match="is not a number of JSON"):
        from_json(text, "x")


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000])
def test_what_is_not_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        from_json(text, "x")


def test_numbers_are_plain_as_go_writes_them_and_inexact_ones_are_found() -> None:
    assert plain({"a": [3.0, 1e300, 0.5, True]}) == {"a": [3, 1e300, 0.5, True]}
    assert isinstance(plain(1e300), float) and plain(True) is True
    assert inexact({"a": [2**53, 2**53 + 1, 2**54], "b": 10**400}) == [10**400, 2**53 + 1]


def test_placeholders_are_filled_once_and_values_are_not_read() -> None:
    value = "{{$.inputs.parameters['b']}}"
    names = {"{{$.pipeline_job_name}}": "job {{$}}", "{{$}}": "all"}
    assert fill("{{$.inputs.parameters['a']}} {{$}}", names, {"a": value, "b": 1}) == f"{value} all"
    assert fill(["{{$.pipeline_job_name}}", {"k": '{{$.inputs.parameters["b"]}}'}, 1], names, {"b": 2.0}) == [
        "job {{$}}",
        {"k": "2"},
        1,
    ]
    assert fill("{{$.nobody}} {{ {{$", names, {}) == "{{$.nobody}} {{ {{$"
