"""The settings in words: what a field takes and within which limits, for forms and pages."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from linnet.config.section import Section

_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "pattern": "matches"}


def limits(field: FieldInfo) -> list[str]:
    """What a value must be like, such as `≥ 1`."""
    return [
        f"{sign} {limit:,}" if isinstance(limit, int) else f"{sign} {limit}"
        for part in field.metadata
        for attribute, sign in _SIGNS.items()
        if (limit := getattr(part, attribute, None)) is not None
    ]


def tables(section: type[Section]) -> dict[str, type[Section]]:
    """The tables inside a section, such as `[release.kserve]`, by their field."""
    return {
        name: field.annotation
        for name, field in section.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }
