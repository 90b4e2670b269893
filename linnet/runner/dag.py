"""Tasks and groups of a run, and how values flow between them: the intermediate representation's meaning.

Pure: nothing runs here. A `Scope` is one execution of a DAG (the pipeline, a group, a nested pipeline,
an iteration of a loop) and holds a `Node` a task. Parameters are plain values; artifacts are the SDK's
objects, or lists of them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from linnet.errors import RunError
from linnet.runner.placeholders import Names, fill, inputs_named
from linnet.runner.spec import Spec, with_defaults
from linnet.runner.values import converted

State = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"]
"""As KFP's API names them (RuntimeState)."""
ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
_SELECTOR = re.compile(r"parseJson\(string_value\)((?:\[\"[^\"]*\"\])*)")


@dataclass(eq=False)
class Node:
    """A task within one execution of its DAG."""

    path: str
    """Names from the pipeline down to the task, joined by dots; unique in the run."""
    name: str
    task: dict[str, Any]
    component: dict[str, Any]
    scope: Scope
    state: State = "PENDING"
    inputs: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] | None = None
    """What `argument_values` made of the inputs."""
    outputs: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    attempts: int = 0
    inner: list[Scope] = field(default_factory=list)
    """What it runs, if it is a group: one scope, or one for each iteration of a loop."""

    @property
    def is_group(self) -> bool:
        """Whether it runs a DAG and not a program."""
        return "dag" in self.component

    @property
    def is_loop(self) -> bool:
        """Whether it runs its DAG once for each of several items."""
        return "parameterIterator" in self.task or "artifactIterator" in self.task

    @property
    def is_exit_task(self) -> bool:
        """Whether it is the exit task of a group: it runs however things went, and is never taken as done.

        (`ignore_upstream_failure` has the same strategy, and waits for any task.)
        """
        waits_for = [self.scope.nodes[name] for name in self.task.get("dependentTasks", [])]
        return self.runs_anyway and any(
            other.is_group and other.name.startswith("exit-handler-") for other in waits_for
        )

    @property
    def runs_anyway(self) -> bool:
        """Whether it runs however the tasks before it ended."""
        return bool(self.task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED")

    @property
    def upstream(self) -> list[Node]:
        """The tasks that it waits for: those it names, and those whose outputs it takes.

        (`addImplicitDependencies` in backend/src/v2/compiler/argocompiler/dag.go)
        """
        inputs = self.task.get("inputs", {})
        sources = [*inputs.get("parameters", {}).values(), *inputs.get("artifacts", {}).values()]
        producers = [
            source[kind]["producerTask"]
            for source in sources
            for kind in ("taskOutputParameter", "taskOutputArtifact")
            if kind in source
        ]
        names = dict.fromkeys([*self.task.get("dependentTasks", []), *producers])
        return [self.scope.nodes[name] for name in names]

    @property
    def label(self) -> str:
        """The name that a person gave it."""
        return str(self.task.get("taskInfo", {}).get("name", self.name))


@dataclass(eq=False)
class Scope:
    """One execution of a DAG."""

    path: str
    component: dict[str, Any]
    inputs: dict[str, Any]
    nodes: dict[str, Node] = field(default_factory=dict)

    @classmethod
    def open(cls, spec: Spec, path: str, component: dict[str, Any], inputs: dict[str, Any]) -> Scope:
        """The scope with all its tasks pending."""
        scope = cls(path, component, inputs)
        for name, task in component["dag"]["tasks"].items():
            full = f"{path}.{name}" if path else name
            scope.nodes[name] = Node(full, name, task, spec.component(task), scope)
        return scope

    @property
    def ended(self) -> bool:
        """Whether all its tasks came to an end."""
        return all(node.state in ENDED for node in self.nodes.values())

    @property
    def failed(self) -> list[Node]:
        """The tasks that failed."""
        return [node for node in self.nodes.values() if node.state == "FAILED"]

    @property
    def canceled(self) -> list[Node]:
        """The tasks that were stopped, or not begun any more."""
        return [node for node in self.nodes.values() if node.state == "CANCELED"]


def readiness(node: Node) -> Literal["wait", "skip", "start"]:
    """Whether a pending task waits for others, may start, or never will.

    A task that needs others' success and does not get it (they failed, or a condition held them back)
    is left out, and what needs it in turn.
    """
    upstream = node.upstream
    if not all(other.state in ENDED for other in upstream):
        return "wait"
    return "start" if node.runs_anyway or all(other.state == "SUCCEEDED" for other in upstream) else "skip"


def inputs_of(node: Node, names: Names) -> dict[str, Any]:
    """The values of a task's inputs; what an upstream task or the caller did not give is left out.

    `names`: the placeholders of the run, which its constants may hold.
    """
    declared = node.task.get("inputs", {})
    values: dict[str, Any] = {}
    for name, source in declared.get("parameters", {}).items():
        value = _parameter(node, name, source, names)
        if value is not None:
            values[name] = value
    for name, source in declared.get("parameters", {}).items():
        # What was built from other inputs, such as f"model-{task.output}", alone or within a list or struct.
        constant = source.get("runtimeValue", {}).get("constant")
        missing = sorted(inputs_named(constant) & set(declared["parameters"]) - set(values))
        if missing:
            raise RunError(f"task {node.path}: nobody gave {missing[0]!r}, which input {name!r} is built of")
        if constant is not None:
            values[name] = fill(constant, names.of(node.name, node.path), values)
    for name, source in declared.get("artifacts", {}).items():
        if "taskOutputArtifact" in source:
            producer = source["taskOutputArtifact"]
            found = node.scope.nodes[producer["producerTask"]].outputs.get(producer["outputArtifactKey"])
        else:
            found = node.scope.inputs.get(source["componentInputArtifact"])
        if found is not None:
            values[name] = found
    return values


def _parameter(node: Node, name: str, source: dict[str, Any], names: Names) -> Any:
    if "runtimeValue" in source:
        if "constant" not in source["runtimeValue"]:
            raise RunError(f"task {node.path}: input {name!r} is a runtime parameter of an older IR")
        return source["runtimeValue"]["constant"]
    if "taskOutputParameter" in source:
        producer = source["taskOutputParameter"]
        value = node.scope.nodes[producer["producerTask"]].outputs.get(producer["outputParameterKey"])
    elif "componentInputParameter" in source:
        value = node.scope.inputs.get(source["componentInputParameter"])
        if value is None:
            _check_declared(node, source["componentInputParameter"])
    elif "taskFinalStatus" in source:
        return final_status(node.scope.nodes[source["taskFinalStatus"]["producerTask"]], names.job.run_id)
    else:
        raise RunError(f"task {node.path}: the source of input {name!r} is not known here: {source}")
    selector = source.get("parameterExpressionSelector", "")
    return _selected(value, selector, node.path) if selector and value is not None else value


def _check_declared(node: Node, name: str) -> None:
    """Refuses an input that the DAG around the task does not have, as a cluster's driver does."""
    if name not in node.scope.component.get("inputDefinitions", {}).get("parameters", {}):
        raise RunError(
            f"task {node.path}: what is around it has no input {name!r}, and a cluster fails it too: the SDK "
            "forgets a loop's item that is a part of a text within a condition or another loop; let a task "
            "take the item itself"
        )


def _selected(value: Any, selector: str, where: str) -> Any:
    """A part of a value: `parseJson(string_value)["key"]`, which loops over structs write."""
    match = _SELECTOR.fullmatch(selector)
    if match is None:
        raise RunError(f"task {where}: the selector {selector!r} is not known here")
    value = json.loads(value) if isinstance(value, str) else value
    for key in re.findall(r'\["([^"]*)"\]', match[1]):
        if not isinstance(value, dict) or key not in value:
            raise RunError(f"task {where}: the item has no {key!r}: {value!r}")
        value = value[key]
    return value


_FINAL_STATES = {"SUCCEEDED": "COMPLETE"}
"""States in the words of ML Metadata, which a cluster's driver tells an exit task."""


def final_status(node: Node, run_id: str) -> dict[str, Any]:
    """What a `PipelineTaskFinalStatus` is made of (backend/src/v2/driver/resolve.go).

    The error is more than a cluster tells, whose driver leaves it empty.
    """
    error = {"code": 9, "message": first_error(node)} if node.state in ("FAILED", "CANCELED") else {}
    return {
        "state": _FINAL_STATES.get(node.state, node.state),
        "pipelineJobResourceName": run_id,
        "pipelineTaskName": node.name,
        "error": error,
    }


def first_error(node: Node) -> str:
    """Why a task failed: its own words, or those of the first one within it that failed."""
    inner = [first_error(failed) for scope in node.inner for failed in scope.failed or scope.canceled]
    return inner[0] if inner else node.error


def argument_values(node: Node) -> dict[str, Any]:
    """A task's inputs in their declared types, defaults and artifacts included; worked out once."""
    if node.arguments is None:
        node.arguments = _argument_values(node)
    return node.arguments


def _argument_values(node: Node) -> dict[str, Any]:
    where = f"task {node.path}"
    artifacts = node.component.get("inputDefinitions", {}).get("artifacts", {})
    parameters = {name: value for name, value in node.inputs.items() if name not in artifacts}
    declared = node.component.get("inputDefinitions", {}).get("parameters", {})
    for name, about in artifacts.items():
        if name not in node.inputs and not about.get("isOptional"):
            raise RunError(f"{where} needs the artifact {name!r}, which no task before it wrote")
    extra = {name: value for name, value in node.inputs.items() if name not in declared}
    return {**extra, **with_defaults(node.component, parameters, where, converted)}


def parameter_values(node: Node) -> dict[str, Any]:
    """The parameters that a group was given, in their declared types: what its condition is about."""
    declared = node.component.get("inputDefinitions", {}).get("parameters", {})
    where = f"task {node.path}: parameter"
    return {
        name: converted(value, declared.get(name, {}).get("parameterType", ""), f"{where} {name!r}")
        if name in declared
        else value
        for name, value in node.inputs.items()
    }


def items_of(node: Node) -> tuple[str, list[Any]]:
    """What a loop goes over: the name under which an iteration gets its item, and the items."""
    iterator = node.task.get("parameterIterator") or node.task["artifactIterator"]
    source = iterator["items"]
    if "raw" in source:
        items = json.loads(source["raw"])
    else:
        items = node.inputs.get(source.get("inputParameter") or source.get("inputArtifact"))
        items = json.loads(items) if isinstance(items, str) else items
    if not isinstance(items, list):
        raise RunError(f"task {node.path}: a loop needs a list, not {items!r}")
    return str(iterator["itemInput"]), items


def iterations(spec: Spec, node: Node) -> list[Scope]:
    """The scopes of a loop, one an item."""
    key, items = items_of(node)
    kind = (
        node.component.get("inputDefinitions", {}).get("parameters", {}).get(key, {}).get("parameterType", "")
    )
    scopes = []
    for number, item in enumerate(items):
        value = converted(item, kind, f"task {node.path}: item {number}")
        scopes.append(Scope.open(spec, f"{node.path}.{number}", node.component, {**node.inputs, key: value}))
    return scopes


def outputs_of(scope: Scope) -> dict[str, Any]:
    """The outputs of a DAG that came to a good end; those of branches that were not taken are left out."""
    declared = scope.component["dag"].get("outputs", {})
    values: dict[str, Any] = {}
    for name, source in declared.get("parameters", {}).items():
        if "valueFromParameter" in source:
            selectors = [source["valueFromParameter"]]
        else:
            selectors = source["valueFromOneof"]["parameterSelectors"]
        _first(scope, values, name, [(s["producerSubtask"], s["outputParameterKey"]) for s in selectors])
    for name, source in declared.get("artifacts", {}).items():
        selectors = source["artifactSelectors"]
        _first(scope, values, name, [(s["producerSubtask"], s["outputArtifactKey"]) for s in selectors])
    return values


def _first(scope: Scope, values: dict[str, Any], name: str, producers: list[tuple[str, str]]) -> None:
    for task, key in producers:
        if key in scope.nodes[task].outputs:
            values[name] = scope.nodes[task].outputs[key]
            return


def collected(node: Node) -> dict[str, Any]:
    """The outputs of a loop: a list for each, in the order of the items; lists of artifacts become one."""
    declared = node.component["dag"].get("outputs", {})
    each = [outputs_of(scope) for scope in node.inner]
    values: dict[str, Any] = {
        name: [one[name] for one in each if name in one] for name in declared.get("parameters", {})
    }
    for name in declared.get("artifacts", {}):
        found = [one[name] for one in each if name in one]
        values[name] = [item for one in found for item in (one if isinstance(one, list) else [one])]
    return values
