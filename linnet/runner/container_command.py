"""The words that a container component executes: its templates with paths, values and choices filled in.

A template is a text with placeholders, or one of two structures that the compiler writes as JSON text:
`{"IfPresent": {"InputName": ..., "Then": ..., "Else": ...}}` and `{"Concat": [...]}`, which may hold one
another. Structures are read before anything is filled in: a value that looks like one stays a value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from linnet.errors import RunError
from linnet.runner.placeholders import fill
from linnet.runner.values import as_text

_STRUCTURES = ('{"IfPresent":', '{"Concat":')


def names_of(message: Mapping[str, Any], path_of: Callable[[str], str]) -> dict[str, str]:
    """What stands for each placeholder of a task's inputs and outputs.

    Args:
        message: its ExecutorInput.
        path_of: where its program finds an artifact with a URI.
    """
    found: dict[str, str] = {"{{$.outputs.output_file}}": message["outputs"]["outputFile"]}
    for side in ("inputs", "outputs"):
        for name, about in message[side].get("artifacts", {}).items():
            if about["artifacts"]:
                found |= _artifact(f"$.{side}.artifacts['{name}']", about["artifacts"], path_of)
    for name, about in message["outputs"].get("parameters", {}).items():
        found[f"{{{{$.outputs.parameters['{name}'].output_file}}}}"] = about["outputFile"]
    return found


def words_of(
    templates: Sequence[str], present: frozenset[str], names: Mapping[str, str], arguments: Mapping[str, Any]
) -> list[str]:
    """The words of a command.

    Args:
        templates: as the pipeline has them.
        present: names of the inputs that have a value.
        names: what stands for placeholders.
        arguments: values of input parameters.

    Raises:
        RunError: a structure is not one that the compiler writes.
    """
    filled = []
    for template in templates:
        chosen = _chosen(_read(template), present)
        filled += [str(fill(word, names, arguments)) for word in chosen]
    return filled


def _artifact(key: str, messages: list[dict[str, Any]], path_of: Callable[[str], str]) -> dict[str, str]:
    first = messages[0]
    uri, metadata = first["uri"], first.get("metadata", {})
    texts = {
        "": json.dumps(messages),
        ".uri": uri,
        ".path": path_of(uri),
        ".metadata": json.dumps(metadata),
        **{f".metadata['{name}']": as_text(value) for name, value in metadata.items()},
    }
    return {f"{{{{{key}{end}}}}}": text for end, text in texts.items()}


def _read(template: str) -> Any:
    if not template.strip().startswith(_STRUCTURES):
        return template
    try:
        return json.loads(template)
    except ValueError as error:
        raise RunError(f"its command holds {template[:200]!r}, which is not JSON: {error}") from error


def _chosen(part: Any, present: frozenset[str]) -> list[str]:
    """The templates that a structure comes to: none, one or several words."""
    if isinstance(part, str):
        return [part]
    if isinstance(part, list):
        return [word for item in part for word in _chosen(item, present)]
    if isinstance(part, dict) and "Concat" in part:
        return ["".join(_chosen(part["Concat"], present))]
    if isinstance(part, dict) and isinstance(choice := part.get("IfPresent"), dict):
        branch = "Then" if choice.get("InputName") in present else "Else"
        return _chosen(choice.get(branch, []), present)
    raise RunError(f"its command holds {part!r:.200}, which is neither text, IfPresent nor Concat")
