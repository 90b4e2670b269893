"""Files in a form: `multipart/form-data` (RFC 7578), as `curl -F`, browsers and HTTP libraries send them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from linnet.errors import RequestRejected
from linnet.serving.messages import Response, is_request_id

MOST_FILES = 64
"""Images in one form: each is answered by itself, and holds its place in the queue."""
_FORM = "multipart/form-data"


@dataclass(slots=True)
class FormFile:
    """A file of a form, with the name that its sender gave it."""

    name: str = ""
    data: bytes = b""


@dataclass(slots=True)
class _Parts:
    """What a parser of parts reports, collected."""

    files: list[FormFile] = field(default_factory=list)
    header: bytes = b""
    value: bytes = b""

    def begin(self) -> None:
        if len(self.files) >= MOST_FILES:
            raise RequestRejected(400, f"a form may hold {MOST_FILES} files; send more of them")
        self.files.append(FormFile())

    def name_of_header(self, data: bytes, start: int, end: int) -> None:
        self.header += data[start:end]

    def value_of_header(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def end_of_header(self) -> None:
        if self.header.lower() == b"content-disposition":
            _, said = parse_options_header(self.value)
            self.files[-1].name = said.get(b"filename", said.get(b"name", b"")).decode(errors="replace")
        self.header = self.value = b""

    def content(self, data: bytes, start: int, end: int) -> None:
        self.files[-1].data += data[start:end]


def is_form(headers: Mapping[str, str]) -> bool:
    """Whether a body is a form with files."""
    return headers.get("content-type", "").split(";")[0].strip().lower() == _FORM


def files_of(body: bytes, headers: Mapping[str, str]) -> list[FormFile]:
    """The files of a form, in its order; what their fields are called does not matter.

    Raises:
        RequestRejected: 400, it is no whole form, holds nothing, or more than `MOST_FILES`.
    """
    boundary = parse_options_header(headers["content-type"])[1].get(b"boundary", b"")
    if not boundary:
        raise RequestRejected(400, f"Content-Type: {_FORM} must name its boundary; leave it to your library")
    parts = _Parts()
    ended: list[bool] = []
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.name_of_header,
                "on_header_value": parts.value_of_header,
                "on_header_end": parts.end_of_header,
                "on_part_data": parts.content,
                "on_end": lambda: ended.append(True),
            },
        )
        parser.write(body)
    except FormParserError as error:
        raise RequestRejected(400, f"the form cannot be read: {error}") from error
    if not ended:
        raise RequestRejected(400, f"the form breaks off: it does not end with its boundary {boundary!r:.80}")
    if not parts.files:
        raise RequestRejected(400, "the form holds no file; send at least one image")
    return parts.files


def ids_of_files(request_name: str, count: int) -> list[str]:
    """An id for each file, by which its label may come: the request's with `-1`, `-2`, ... behind it.

    Raises:
        RequestRejected: 400, the request's id is too long for that.
    """
    names = [f"{request_name}-{number}" for number in range(1, count + 1)]
    if not is_request_id(names[-1]):
        raise RequestRejected(400, "Linnet-Request-Id: is too long for a form of several files")
    return names


def answer_to_form(
    request_name: str, files: Sequence[FormFile], names: Sequence[str], answers: Sequence[Response]
) -> Response:
    """One response for a form of several files, in their order.

    An answer is as if the file had come alone, with `file`; or it is an `error` with its `status`. If none is
    answered the response has the first one's status.
    """
    listed = []
    for file, name, answer in zip(files, names, answers, strict=True):
        failed = {} if answer.status == 200 else {"request_id": name, "status": answer.status}
        listed.append({"file": file.name} | failed | json.loads(answer.body))
    well = next((answer for answer in answers if answer.status == 200), answers[0])
    response = Response.of({"request_id": request_name, "answers": listed}, well.status)
    response.version = well.version
    finished = [answer.after for answer in answers if answer.after is not None]

    def after() -> None:
        for finish in finished:
            finish()

    response.after = after
    return response
