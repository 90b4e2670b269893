"""What all sections share: frozen, keyword-only, strict about types, closed to unknown keys."""

from __future__ import annotations

import ast
import difflib
import inspect
import json
import math
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from linnet.errors import ConfigError

Fraction = float  # a share in [0, 1]
_LONGEST_SHOWN = 200
"""Characters of a wrong value that its error repeats."""


class Section(BaseModel):
    """Base of all sections: frozen, keyword-only, strict about types, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    moved: ClassVar[dict[str, str]] = {}
    """Settings of older versions, with what to do instead: passed over in what they recorded, and refused
    where a person writes them (`root.load_config`)."""
    renamed: ClassVar[dict[str, str]] = {}
    """Settings that had another name in older versions, by that name: read in what those recorded, and
    refused, with the name of today, where a person writes them."""

    @classmethod
    def parse(cls, values: dict[str, Any], where: str = "") -> Self:
        """Builds the section from plain values (TOML, or a KFP struct, where 3 arrives as 3.0).

        Raises:
            ConfigError: names `section.field`, the value that was given and the remedy.
        """
        where = where or cls.__name__.removesuffix("Config").lower()
        try:
            return cls.model_validate_json(json.dumps(_integral(cls.as_named_now(values))), strict=True)
        except ValidationError as error:
            raise _explain(cls, where, error) from error
        except (TypeError, ValueError) as error:
            raise ConfigError(where, f"cannot be read: {error}") from error

    @classmethod
    def as_named_now(cls, values: dict[str, Any]) -> dict[str, Any]:
        """What an older version recorded, under today's names and without what is no setting any more."""
        kept = {cls.renamed.get(key, key): value for key, value in values.items() if key not in cls.moved}
        for key, value in kept.items():
            inner = cls.model_fields[key].annotation if key in cls.model_fields else None
            if isinstance(inner, type) and issubclass(inner, Section) and isinstance(value, dict):
                kept[key] = inner.as_named_now(value)
        return kept

    @classmethod
    def meaning(cls, field: str) -> str:
        """The text under a field, on one line; empty: it has none."""
        return _docstrings(cls).get(field, "")

    def values(self) -> dict[str, Any]:
        """The section as plain JSON values, defaults included."""
        return self.model_dump(mode="json")


def _integral(value: Any) -> Any:
    """Undoes what protobuf structs do to integers: 3.0 becomes 3 again (a float field takes both)."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _integral(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_integral(item) for item in value]
    return value


def _explain(model: type[Section], where: str, error: ValidationError) -> ConfigError:
    """Turns the first of pydantic's complaints into one sentence with the remedy."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    full = f"{where}.{field}" if field else where
    known = sorted(model.model_fields)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(field, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
        return ConfigError(full, "unknown key", remedy)
    if first["type"] == "missing":
        return ConfigError(full, "is missing", "add it to the config")
    problem = first["msg"].removeprefix("Value error, ")
    if not field:
        return ConfigError(full, problem)
    given = repr(first["input"])
    if len(given) > _LONGEST_SHOWN:
        given = f"{given[:_LONGEST_SHOWN]}... ({len(given):,} characters)"
    return ConfigError(full, f"{problem}, but it is {given}", model.meaning(field.split(".")[0]))


@cache
def _docstrings(section: type[Section]) -> dict[str, str]:
    """The texts under a section's fields, by the field.

    Read from the source when an error, a form or a page asks. pydantic would do it for every section as its
    class is made (`use_attribute_docstrings`), which costs each process that imports the config 0.2 s.
    """
    found: dict[str, str] = {}
    for kind in reversed(section.__mro__):
        if issubclass(kind, Section):
            tree = ast.parse(Path(inspect.getfile(kind)).read_text("utf-8"))
            found |= next(
                _texts_below(node.body)
                for node in tree.body
                if isinstance(node, ast.ClassDef) and node.name == kind.__name__
            )
    return found


def _texts_below(body: list[ast.stmt]) -> dict[str, str]:
    found = {}
    for field, text in pairwise(body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                found[name] = " ".join(words.split())
    return found
