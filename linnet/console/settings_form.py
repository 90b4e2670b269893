"""The settings of a pipeline as fields of a form: type, default, help and limits come from the config."""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from linnet.config import SECTIONS, Section, assign
from linnet.config.error_messages import limits, tables
from linnet.config.places import Reach

Kind = Literal["text", "integer", "number", "switch", "choice", "list"]
FIRST = ("train", "gates", "data", "release")
"""Sections that people change most, in the order in which the form shows them."""


@dataclass(frozen=True)
class Field:
    """One setting."""

    section: str
    name: str
    """Within the section; `table.field` for a setting of a table inside it."""
    kind: Kind
    value: Any
    help: str
    choices: tuple[str, ...] = ()
    reaches: bool = False
    """Whether it names a file, an address, a credential or code: only the config's file sets it."""

    @property
    def key(self) -> str:
        """`section.field`, or `section.table.field`."""
        return f"{self.section}.{self.name}"


def sections() -> list[str]:
    """All sections, those first that people change most."""
    return [*FIRST, *(name for name in SECTIONS if name not in FIRST)]


def fields(section: str, values: dict[str, Any]) -> list[Field]:
    """The settings of a section with the values that a config gives them; those of a table inside it too."""
    return list(_fields(section, "", SECTIONS[section], values.get(section, {})))


def _fields(section: str, above: str, model: type[Section], values: dict[str, Any]) -> Iterator[Field]:
    inner = tables(model)
    for name, info in model.model_fields.items():
        value = values.get(name, info.get_default())
        if name in inner:
            yield from _fields(section, f"{above}{name}.", inner[name], value)
            continue
        if get_origin(info.annotation) is dict:  # its keys are a user's own: the config's file sets them
            continue
        bounds = limits(info)
        yield Field(
            section=section,
            name=above + name,
            kind=_kind(info.annotation),
            value=value,
            help=model.meaning(name) + (f" ({', '.join(bounds)})" if bounds else ""),
            choices=_choices(info.annotation),
            reaches=any(isinstance(mark, Reach) for mark in info.metadata),
        )


def parse(field: Field, given: Any) -> Any:
    """What a person typed, as the config wants it; what does not fit is left for the config to refuse."""
    if field.kind == "switch":
        return bool(given)
    text = "" if given is None else str(given).strip()
    if field.kind == "list":
        return [_plain(part.strip()) for part in text.split(",") if part.strip()]
    if field.kind in ("integer", "number"):
        return _plain(text)
    return text


def changed(values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The config's values with what was given in their place, as plain nested values."""
    merged = copy.deepcopy(values)
    for key, value in given.items():
        assign(merged, key, value)
    return merged


def _plain(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _kind(annotation: Any) -> Kind:
    origin = get_origin(annotation)
    if origin is Literal:
        return "choice"
    if origin in (tuple, list):
        return "list"
    if origin in (Union, types.UnionType):
        return _kind(next(part for part in get_args(annotation) if part is not types.NoneType))
    kinds: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number"}
    return kinds.get(annotation, "text")


def _choices(annotation: Any) -> tuple[str, ...]:
    return tuple(str(choice) for choice in get_args(annotation)) if get_origin(annotation) is Literal else ()
