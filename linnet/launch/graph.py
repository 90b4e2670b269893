"""The steps of a compiled pipeline, read back from its KFP file: what a plan or a picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class PipelineTask:
    """One task: what it waits for, the conditions around it, and what it asks of a cluster."""

    name: str
    needs: tuple[str, ...]
    conditions: tuple[str, ...]
    retries: int
    accelerator: str
    timeout_seconds: int
    always: bool
    """Whether it runs whatever happened before it: the exit handler."""
    takes: tuple[str, ...] = ()
    """Its inputs: `model of train` for what another task gives, the name alone for a setting."""


def tasks(pipeline: Path) -> list[PipelineTask]:
    """All tasks of a compiled pipeline in an order that respects what they wait for.

    Groups (exit handler, conditions) are dissolved: a task's `needs` are tasks, never groups.
    """
    spec = next(yaml.safe_load_all(pipeline.read_text("utf-8")))
    found: dict[str, PipelineTask] = {}
    _walk(spec, spec["root"]["dag"], {}, (), found)
    return _ordered(found)


def _walk(
    spec: dict[str, Any],
    dag: dict[str, Any],
    handed: dict[str, str],
    conditions: tuple[str, ...],
    found: dict[str, PipelineTask],
) -> None:
    """Collects the tasks of a dag; `handed` maps the dag's inputs to the tasks that produce them."""
    for name, task in dag["tasks"].items():
        sources = {
            key: _producer(value, handed)
            for kind in ("artifacts", "parameters")
            for key, value in task.get("inputs", {}).get(kind, {}).items()
        }
        component = spec["components"][task["componentRef"]["name"]]
        condition = task.get("triggerPolicy", {}).get("condition")
        if "dag" in component:
            inner = (*conditions, task["taskInfo"]["name"]) if condition else conditions
            _walk(spec, component["dag"], {k: v for k, v in sources.items() if v}, inner, found)
            continue
        waits = [n for n in task.get("dependentTasks", []) if "dag" not in _component(spec, dag, n)]
        executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        environment = {item["name"]: item["value"] for item in executor.get("env", [])}
        found[name] = PipelineTask(
            name=name,
            needs=tuple(sorted({*filter(None, sources.values()), *waits})),
            conditions=conditions,
            retries=int(task.get("retryPolicy", {}).get("maxRetryCount", 0)),
            accelerator=str(executor.get("resources", {}).get("accelerator", {}).get("resourceType", "")),
            timeout_seconds=int(environment.get("LINNET_TIMEOUT", "0")),
            always=task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED",
            takes=tuple(f"{key} of {source}" if source else key for key, source in sources.items()),
        )


def _component(spec: dict[str, Any], dag: dict[str, Any], name: str) -> dict[str, Any]:
    component: dict[str, Any] = spec["components"][dag["tasks"][name]["componentRef"]["name"]]
    return component


def _producer(value: dict[str, Any], handed: dict[str, str]) -> str:
    for kind in ("taskOutputArtifact", "taskOutputParameter"):
        if kind in value:
            return str(value[kind]["producerTask"])
    return handed.get(value.get("componentInputArtifact", value.get("componentInputParameter", "")), "")


def _ordered(found: dict[str, PipelineTask]) -> list[PipelineTask]:
    ordered: list[PipelineTask] = []
    while len(ordered) < len(found):
        done = {task.name for task in ordered}
        ready = [task for task in found.values() if task.name not in done and done >= set(task.needs)]
        assert ready, "a compiled pipeline has no cycles"
        ordered.append(min(ready, key=lambda task: (task.always, len(task.conditions))))
    return ordered


def mermaid(found: list[PipelineTask]) -> str:
    """The DAG as a Mermaid flowchart, without edges that follow from others."""
    by_name = {task.name: task for task in found}

    def reaches(start: str, goal: str) -> bool:
        return any(need == goal or reaches(need, goal) for need in by_name[start].needs)

    lines = ["flowchart TD"]
    for task in found:
        direct = [n for n in task.needs if not any(reaches(other, n) for other in task.needs)]
        gate = ""
        for need in direct:
            new = [c for c in task.conditions if c not in by_name[need].conditions]
            gate = f"|{new[-1]}| " if new else ""
            lines.append(f"    {need} -->{gate or ' '}{task.name}")
    handlers = [task.name for task in found if task.always]
    last = [task.name for task in found if not task.always][-1]
    lines += [f"    {last} -.->|always| {handler}" for handler in handlers]
    return "\n".join(lines)


if __name__ == "__main__":
    import sys

    print(mermaid(tasks(Path(sys.argv[1]))))
