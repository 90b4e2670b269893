"""Forms with files: what HTTP libraries write is read back; what is no form is one clear refusal."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.errors import RequestRejected
from linnet.serving.form import MOST_FILES, FormFile, answer_to_form, files_of, ids_of_files, is_form
from linnet.serving.messages import Response

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C",), exclude_characters='\\/"'), min_size=1
)


def written(files: list[tuple[str, bytes]]) -> tuple[bytes, dict[str, str]]:
    sent = httpx.Request("POST", "http://a/predict", files=[("file", named) for named in files])
    return sent.read(), dict(sent.headers)


@given(st.lists(st.tuples(NAMES, st.binary()), min_size=1, max_size=MOST_FILES))
def test_files_are_those_that_a_library_wrote(files: list[tuple[str, bytes]]) -> None:
    body, headers = written(files)
    assert is_form(headers)
    assert [(file.name, file.data) for file in files_of(body, headers)] == files


@given(st.binary(max_size=300), st.integers(0, 400))
def test_form_that_breaks_off_or_is_none_is_refused_and_never_a_traceback(data: bytes, end: int) -> None:
    body, headers = written([("a.png", data)])
    for broken in (body[: min(end, len(body) - 5)], data):
        with pytest.raises(RequestRejected) as refused:
            files_of(broken, headers)
        assert refused.value.status == 400 and "form" in refused.value.problem


@pytest.mark.parametrize(
    ("headers", "body", "problem"),
    [
        ({"content-type": "multipart/form-data"}, b"", "must name its boundary"),
        ({"content-type": "multipart/form-data; boundary=" + "b" * 300}, b"", "cannot be read"),
        ({"content-type": "multipart/form-data; boundary=b"}, b"--b--\r\n", "holds no file"),
    ],
)
def test_mistake_in_a_form_is_named(headers: dict[str, str], body: bytes, problem: str) -> None:
    with pytest.raises(RequestRejected, match=problem):
        files_of(body, headers)


def test_form_of_too_many_files_is_refused_before_the_rest_is_read() -> None:
    body, headers = written([("a", b"x")] * (MOST_FILES + 1))
    with pytest.raises(RequestRejected, match=f"a form may hold {MOST_FILES} files"):
        files_of(body, headers)
    with pytest.raises(RequestRejected, match="too long for a form"):
        ids_of_files("x" * 127, 2)


def test_status_is_that_of_the_first_where_no_file_is_answered() -> None:
    files = [FormFile("a"), FormFile("b")]
    none = [Response.failure(415, "no image"), Response.failure(413, "too large")]
    answer = answer_to_form("r", files, ["r-1", "r-2"], none)
    assert answer.status == 415
    assert json.loads(answer.body)["answers"] == [
        {"file": "a", "request_id": "r-1", "status": 415, "error": "no image"},
        {"file": "b", "request_id": "r-2", "status": 413, "error": "too large"},
    ]
