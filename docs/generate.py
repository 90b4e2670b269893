"""`make docs`, or `python -m docs.generate`: writes docs/reference.md from the code."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer.main
from pydantic.fields import FieldInfo

from linnet import records
from linnet.cli import app
from linnet.config import SECTIONS, Config, Section
from linnet.config.error_messages import limits, tables

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
_COMPONENTS = """
## Pipeline steps

The components of the training pipeline, each one file in `components/`. Sections of the configuration
arrive as structs of the same name.

| step | takes | gives | what it does |
|---|---|---|---|
"""
_RECORDS = """
## Records

What steps exchange: one JSON file each, closed to unknown fields (`linnet/records/`).
"""
_ROUTES = """
## REST

The API of the engine (`linnet up`) is Kubeflow Pipelines' own, v2beta1, with these routes. The server of
a model speaks the Open Inference Protocol v2 (see the README).

| method | path | what it does |
|---|---|---|
"""


def reference() -> str:
    """The whole page."""
    name = f"\n`name`: {Config.meaning('name')}\n"
    sections = "".join(_section(key, section) for key, section in SECTIONS.items())
    commands = "".join(_command(path, command) for path, command in walk(typer.main.get_command(app)))
    parts = (_HEAD + name, sections, _COMMANDS + commands, _components(), _records(), _routes())
    return "".join(parts)


def _components() -> str:
    """The steps, from their compiled interfaces."""
    rows = []
    for file in sorted((Path(__file__).parent.parent / "components").glob("*.py")):
        if file.stem in ("__init__", "image"):
            continue
        step = getattr(importlib.import_module(f"components.{file.stem}"), file.stem)
        spec = step.component_spec
        takes = ", ".join(f"`{name}`" for name in spec.inputs or {})
        gives = ", ".join(f"`{name}`" for name in spec.outputs or {}) or "nothing"
        about = (step.python_func.__doc__ or "").strip().splitlines()[0]
        rows.append(f"| `{file.stem}` | {takes} | {gives} | {_cell(about)} |\n")
    return _COMPONENTS + "".join(rows)


def _records() -> str:
    """The records with their fields, types and meanings."""
    parts = [_RECORDS]
    for name in sorted(records.__all__):
        kind = getattr(records, name)
        if not (isinstance(kind, type) and issubclass(kind, records.Record)) or kind is records.Record:
            continue
        about = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        fields = ", ".join(f"`{field}`" for field in kind.model_fields)
        parts.append(f"\n**{name}**" + (f": {about}" if about else "") + f"\n\n{fields}\n")
    return "".join(parts)


def _routes() -> str:
    """The engine's routes, from its routers."""
    from linnet.engine.api import experiments, pipelines, recurring, runs

    rows = []
    for part in (pipelines, experiments, runs, recurring):
        for route in part.router.routes:
            about = (getattr(route, "endpoint", None).__doc__ or "").strip().splitlines()
            for method in sorted(getattr(route, "methods", ())):
                rows.append(f"| {method} | `{_cell(route.path)}` | {_cell(about[0] if about else '')} |\n")
    return _ROUTES + "".join(rows)


def _section(key: str, section: type[Section]) -> str:
    inner = tables(section)
    rows = "".join(
        _row(section, name, field) for name, field in section.model_fields.items() if name not in inner
    )
    below = "".join(f"\n{section.meaning(name)}\n" for name in inner)
    below += "".join(_section(f"{key}.{name}", kind) for name, kind in inner.items())
    return f"\n### [{key}]\n\n| field | type | default | meaning |\n|---|---|---|---|\n{rows}{below}"


def _limits(field: FieldInfo) -> list[str]:
    """The limits of a field, patterns as code: they may look like links."""
    return [re.sub("^matches (.+)$", r"matches `\1`", words) for words in limits(field)]


def _row(section: type[Section], name: str, field: FieldInfo) -> str:
    kind = ", ".join([_kind(field.annotation), *_limits(field)])
    default = json.dumps(field.get_default())
    return f"| `{name}` | {_cell(kind)} | `{_cell(default)}` | {_cell(section.meaning(name))} |\n"


def _kind(annotation: Any) -> str:
    """A type as a writer of TOML knows it."""
    if get_origin(annotation) is Literal:
        return " or ".join(json.dumps(value) for value in get_args(annotation))
    if get_origin(annotation) is tuple:
        return f"list of {_kind(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        return f"table of {_kind(get_args(annotation)[1])}"
    if get_origin(annotation) is Annotated:
        kind, field = get_args(annotation)
        return ", ".join([_kind(kind), *_limits(field)])
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return f"tables with {', '.join(f'`{name}`' for name in annotation.model_fields)}"
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in get_args(annotation))
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}[annotation]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def walk(command: Any, path: str = "linnet") -> Iterator[tuple[str, Any]]:
    """All commands that do something and are shown, with full names. (Typer has its own copy of click.)"""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in command.commands.items():
        if not inner.hidden:
            yield from walk(inner, f"{path} {name}")


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
