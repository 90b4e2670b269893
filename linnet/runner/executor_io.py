"""What passes between a task and its executor: the ExecutorInput, and what the program wrote.

The truth is a cluster's launcher (backend/src/v2/component/launcher_v2.go): an output parameter that
is declared and not written fails the task, an artifact that is not written is passed on without
bytes, and whatever is not plain JSON is refused. kfp.local has these parts too, but it fills
placeholders in data, takes no null, rounds whole numbers and loses the paths that a component sets.
Messages are those of ExecutorInput and ExecutorOutput in api/v2alpha1/pipeline_spec.proto.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linnet.errors import RunError
from linnet.runner.values import check_finite, from_json, from_text

EXECUTOR_OUTPUT = "executor_output.json"


@dataclass(frozen=True)
class Artifact:
    """An artifact as it flows between tasks."""

    name: str
    uri: str
    schema_title: str = "system.Artifact"
    schema_version: str = "0.0.1"
    metadata: dict[str, Any] = field(default_factory=dict)
    local: str = ""
    """Where the bytes of one that was imported from elsewhere lie on this machine."""

    def message(self) -> dict[str, Any]:
        """A `RuntimeArtifact`."""
        return {
            "name": self.name,
            "type": {"schemaTitle": self.schema_title, "schemaVersion": self.schema_version},
            "uri": self.uri,
            "metadata": self.metadata,
        }


def executor_input(component: Mapping[str, Any], arguments: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The `ExecutorInput` of a task.

    Args:
        component: the task's component as the IR has it.
        arguments: values by input; artifacts as `Artifact` or lists of them.
        root: the folder of its outputs.
    """
    inputs = component.get("inputDefinitions", {}).get("artifacts", {})
    outputs = component.get("outputDefinitions", {})
    artifacts = {name: value for name, value in arguments.items() if is_artifact(value) or name in inputs}
    return {
        "inputs": {
            "parameterValues": {name: value for name, value in arguments.items() if name not in artifacts},
            "artifacts": {
                name: {"artifacts": [one.message() for one in _listed(value)]}
                for name, value in artifacts.items()
                if value is not None
            },
        },
        "outputs": {
            "parameters": {name: {"outputFile": str(root / name)} for name in outputs.get("parameters", {})},
            "artifacts": {
                name: {"artifacts": [_expected(name, about, root).message()]}
                for name, about in outputs.get("artifacts", {}).items()
            },
            "outputFile": str(root / EXECUTOR_OUTPUT),
        },
    }


def is_artifact(value: Any) -> bool:
    """Whether a value is an artifact, or a list of them."""
    several = _listed(value)
    return bool(several) and all(isinstance(one, Artifact) for one in several)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _expected(name: str, about: Mapping[str, Any], root: Path) -> Artifact:
    kind = about.get("artifactType", {})
    return Artifact(
        name,
        str(root / name),
        kind.get("schemaTitle", "system.Artifact"),
        kind.get("schemaVersion", "0.0.1"),
    )


def read_outputs(component: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """What a program wrote: values of output parameters, and `Artifact`s or lists of them.

    Raises:
        RunError: a declared parameter is missing, or something is not what a cluster would take.
    """
    told = _executor_output(root / EXECUTOR_OUTPUT)
    values = dict(_mapping(told, "parameterValues", "parameter_values"))
    declared = component.get("outputDefinitions", {})
    for name, about in declared.get("parameters", {}).items():
        if name not in values:
            values[name] = _from_file(root / name, about.get("parameterType", ""), name)
    written = _mapping(told, "artifacts")
    for name, about in declared.get("artifacts", {}).items():
        expected = _expected(name, about, root)
        messages = _mapping(written, name).get("artifacts") or [{}]
        found = [_written(expected, message) for message in messages]
        values[name] = found if about.get("isArtifactList") else found[0]
    return values


def _executor_output(file: Path) -> dict[str, Any]:
    try:
        told = from_json(file.read_bytes(), "what it wrote")
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise RunError(f"{file.name} is not JSON: {error}") from error
    if not isinstance(told, dict):
        raise RunError(f"{file.name} is not an ExecutorOutput: {told!r:.100}")
    return told


def _mapping(message: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A message within a message, under the first of its names that is there."""
    found: Any = next((message[name] for name in names if message.get(name) is not None), {})
    if not isinstance(found, dict):
        raise RunError(f"{EXECUTOR_OUTPUT}: {names[0]} must be an object, not {found!r:.100}")
    return found


def _from_file(file: Path, kind: str, name: str) -> Any:
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError as error:
        raise RunError(f"it ended without writing its output {name!r}: a cluster fails it too") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"output {name!r}: {error}") from error
    return from_text(text, kind, f"output {name!r}")


def _written(expected: Artifact, message: Any) -> Artifact:
    """An artifact as its component left it."""
    if not isinstance(message, dict):
        raise RunError(f"{EXECUTOR_OUTPUT}: {expected.name} must be an artifact, not {message!r:.100}")
    uri, metadata = message.get("uri") or expected.uri, _mapping(message, "metadata")
    check_finite(metadata, f"metadata of {expected.name!r}")
    custom = message.get("customPath") or message.get("custom_path")
    if custom:
        _bring(Path(custom), uri)
    return Artifact(expected.name, uri, expected.schema_title, expected.schema_version, metadata)


def _bring(custom: Path, uri: str) -> None:
    """Puts what a component wrote to a path of its own where those that read it look, as an upload does.

    A copy: the path may be outside the run, and belongs to whoever chose it.
    """
    target = Path(uri)
    if "://" in uri or not custom.exists() or (target.exists() and custom.samefile(target)):
        return
    if custom.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(custom, target)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(custom, target)


def as_json(message: Any) -> str:
    """A message as the text that the SDK's executor reads."""
    return json.dumps(message, allow_nan=False)
