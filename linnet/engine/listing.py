"""Paging, sorting and filtering of lists, as KFP's API does them.

A filter is the JSON form of backend/api/v2beta1/filter.proto; a page token is opaque to the client and
only good for the same sorting and filter.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from linnet.engine.api_errors import ApiError
from linnet.records import utc_time

_OPERATIONS = {
    1: "EQUALS",
    2: "NOT_EQUALS",
    3: "GREATER_THAN",
    5: "GREATER_THAN_EQUALS",
    6: "LESS_THAN",
    7: "LESS_THAN_EQUALS",
    8: "IN",
    9: "IS_SUBSTRING",
}
_SIGNS = {
    "EQUALS": "IS",
    "NOT_EQUALS": "IS NOT",
    "GREATER_THAN": ">",
    "GREATER_THAN_EQUALS": ">=",
    "LESS_THAN": "<",
    "LESS_THAN_EQUALS": "<=",
}
LARGEST_PAGE = 200
_SMALL_PAGE = 20
_FIELDS = {"id": "id", "name": "display_name", "run_id": "id", "status": "state"}
"""Names that older clients use."""


@dataclass(frozen=True)
class Query:
    """What a list request asks for, as SQL over a table with `id`, `seq` and a JSON column `body`."""

    where: str
    values: tuple[Any, ...]
    column: str
    descending: bool
    size: int
    token: str
    fingerprint: str


def query(
    *, filter_text: str = "", sort_by: str = "", page_size: int = 0, page_token: str = "", **equal: str
) -> Query:
    """Reads the parameters of a list request; `equal` names fields that must have a value.

    Raises:
        ApiError: one of them cannot be read.
    """
    clauses, values = ["1"], []
    for name, wanted in equal.items():
        if wanted:
            clauses.append(f"{_column(name)} IS ?")
            values.append(wanted)
    for predicate in _predicates(filter_text):
        clause, more = _clause(predicate)
        clauses.append(clause)
        values += more
    field, _, direction = (sort_by or "created_at").strip().partition(" ")
    if direction.strip().lower() not in ("", "asc", "desc"):
        raise ApiError("INVALID_ARGUMENT", f"sort_by: {sort_by!r} is not of the form 'field' or 'field desc'")
    if page_size < 0:
        raise ApiError("INVALID_ARGUMENT", f"page_size: {page_size} is negative")
    fingerprint = json.dumps([filter_text, sort_by, equal], sort_keys=True)
    return Query(
        where=" AND ".join(clauses),
        values=tuple(values),
        column=_column(field),
        descending=direction.strip().lower() == "desc",
        size=min(page_size or _SMALL_PAGE, LARGEST_PAGE),
        token=page_token,
        fingerprint=fingerprint,
    )


def make_token(asked: Query, value: Any, seq: int) -> str:
    """The token of the page that begins after an item."""
    return base64.urlsafe_b64encode(json.dumps([value, seq, asked.fingerprint]).encode()).decode()


def read_token(asked: Query) -> tuple[Any, int] | None:
    """Where the asked page begins, or None for the first one."""
    if not asked.token:
        return None
    try:
        value, seq, fingerprint = json.loads(base64.urlsafe_b64decode(asked.token.encode()))
        begins = value, int(seq)
    except (ValueError, TypeError, binascii.Error, UnicodeError) as error:
        raise ApiError("INVALID_ARGUMENT", "page_token: not a token that this server gave") from error
    if fingerprint != asked.fingerprint:
        raise ApiError("INVALID_ARGUMENT", "page_token: it belongs to another filter or sorting")
    return begins


def _column(name: str) -> str:
    name = _FIELDS.get(name.rpartition(".")[2], name.rpartition(".")[2])
    if not re.fullmatch(r"[a-z][a-z_]{0,40}", name):
        raise ApiError("INVALID_ARGUMENT", f"{name!r} is not the name of a field")
    return "id" if name == "id" else f"json_extract(body, '$.{name}')"


def _predicates(text: str) -> list[dict[str, Any]]:
    if not text:
        return []
    for form in (text, unquote(text)):  # the reference asks for an encoded one, the SDK sends a plain one
        try:
            predicates = json.loads(form)["predicates"]
            if all(isinstance(predicate, dict) for predicate in predicates):
                return list(predicates)
        except (ValueError, KeyError, TypeError):
            continue
    raise ApiError("INVALID_ARGUMENT", 'filter: not JSON of the form {"predicates": [...]}')


def _clause(predicate: dict[str, Any]) -> tuple[str, list[Any]]:
    operation = predicate.get("operation", "")
    operation = _OPERATIONS.get(operation, operation)
    column, value = _column(str(predicate.get("key", ""))), _value(predicate)
    if operation in _SIGNS:
        return f"{column} {_SIGNS[operation]} ?", [value]
    if operation == "IN" and isinstance(value, list):
        return f"{column} IN ({', '.join('?' * len(value))})", value
    if operation == "IS_SUBSTRING":
        return f"instr(lower({column}), lower(?)) > 0", [value]
    raise ApiError("INVALID_ARGUMENT", f"filter: the operation {predicate.get('operation')!r} is not known")


def _value(predicate: dict[str, Any]) -> Any:
    try:
        return _typed(predicate)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ApiError(
            "INVALID_ARGUMENT", f"filter: the value in {json.dumps(predicate)} cannot be read"
        ) from error


def _typed(predicate: dict[str, Any]) -> Any:
    for key, value in predicate.items():
        kind = key.replace("_", "").lower()
        if kind == "stringvalue":
            return str(value)
        if kind in ("intvalue", "longvalue"):
            return int(value)
        if kind == "timestampvalue":
            return timestamp(_moment(str(value)))
        if kind in ("stringvalues", "intvalues", "longvalues"):
            return list(value["values"] if isinstance(value, dict) else value)
    raise ApiError("INVALID_ARGUMENT", f"filter: no value in {json.dumps(predicate)}")


def _moment(text: str) -> datetime:
    try:
        return utc_time(text)
    except ValueError as error:
        raise ApiError("INVALID_ARGUMENT", f"{text!r} is not a time of RFC 3339") from error


def timestamp(moment: datetime) -> str:
    """A time as the API writes it; texts sort as the times do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
