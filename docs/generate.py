"""`make docs`, or `python -m docs.generate`: writes docs/reference.md from the code."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer.main
from pydantic.fields import FieldInfo

from linnet.cli import app
from linnet.config import SECTIONS, Config, Section

REFERENCE = Path(__file__).parent / "reference.md"
_HEAD = """\
# Reference

Written by `make docs` from the code; edit the docstrings there. What a decision to promote is made of
stands in [decisions.md](decisions.md).

## Configuration

A config is a TOML file with `name` (required) and the tables below, all optional. On the command line
`--set section.field=value` wins over the file. An unknown key, a wrong type or a value out of range is
an error that names the field, the value and the remedy.
"""
_COMMANDS = """
## Commands

Exit status: 0 done, 1 an error, 2 a wrong setting or word, 3 a gate or the canary said no, 130
interrupted. `--debug` anywhere shows the traceback of an error.
"""
_LIMITS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "pattern": "matches"}


def reference() -> str:
    """The whole page."""
    name = f"\n`name`: {Config.model_fields['name'].description}\n"
    sections = "".join(_section(key, section) for key, section in SECTIONS.items())
    commands = "".join(_command(path, command) for path, command in _walk(typer.main.get_command(app)))
    return _HEAD + name + sections + _COMMANDS + commands


def _section(key: str, section: type[Section]) -> str:
    fields = section.model_fields.items()
    inner = {name: field.annotation for name, field in fields if _is_section(field.annotation)}
    rows = "".join(_row(name, field) for name, field in fields if name not in inner)
    tables = "".join(
        f"\n{' '.join((section.model_fields[name].description or '').split())}\n" for name in inner
    )
    tables += "".join(_section(f"{key}.{name}", kind) for name, kind in inner.items())
    return f"\n### [{key}]\n\n| field | type | default | meaning |\n|---|---|---|---|\n{rows}{tables}"


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _row(name: str, field: FieldInfo) -> str:
    kind = ", ".join([_kind(field.annotation), *_limits(field)])
    default = json.dumps(field.get_default())
    meaning = " ".join((field.description or "").split())
    return f"| `{name}` | {_cell(kind)} | `{_cell(default)}` | {_cell(meaning)} |\n"


def _kind(annotation: Any) -> str:
    """A type as a writer of TOML knows it."""
    if get_origin(annotation) is Literal:
        return " or ".join(json.dumps(value) for value in get_args(annotation))
    if get_origin(annotation) is tuple:
        return f"list of {_kind(get_args(annotation)[0])}"
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in get_args(annotation))
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}[annotation]


def _limits(field: FieldInfo) -> Iterator[str]:
    for part in field.metadata:
        for attribute, sign in _LIMITS.items():
            if (limit := getattr(part, attribute, None)) is not None:
                yield f"{sign} {limit:,}" if isinstance(limit, int) else f"{sign} {limit}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _walk(command: Any, path: str = "linnet") -> Iterator[tuple[str, Any]]:
    """All commands that do something, with their full names. (Typer brings its own copy of click.)"""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from _walk(inner, f"{path} {name}")


def _command(path: str, command: Any) -> str:
    about = (command.help or "").split("\n\nExample")[0].strip()
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    words = "".join(
        f" {a.name.upper()}{'...' if a.nargs == -1 else ''}" if a.required else f" [{a.name.upper()}]"
        for a in arguments
    )
    rows = "".join(f"- {_parameter(parameter)}\n" for parameter in command.params)
    return f"\n### {path}{words}\n\n{about}\n" + (f"\n{rows}" if rows else "")


def _parameter(parameter: Any) -> str:
    argument = parameter.param_type_name == "argument"
    names = ", ".join(f"`{name.upper() if argument else name}`" for name in parameter.opts)
    shown = f" Default: `{parameter.default}`." if parameter.default not in (None, "", False) else ""
    return f"{names}: {parameter.help}{shown}"


if __name__ == "__main__":
    REFERENCE.write_text(reference(), "utf-8")
    print(f"wrote {REFERENCE}")
