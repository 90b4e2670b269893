"""What a pipeline asks for that a laptop cannot give: the run is refused, and the message names it.

Nothing is ignored in silence. What a laptop gives in its own way (resources, Python images) is noted
in the run's log; a cluster's timeouts are kept here too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from linnet.config import ContainerSetting
from linnet.runner import containers, kubernetes, mounts, remote
from linnet.runner.spec import Spec
from linnet.runner.task_io import needs_container


def unsupported_features(spec: Spec, setting: ContainerSetting = "auto") -> list[str]:
    """What cannot be honoured here, a sentence each; empty: the pipeline may run.

    `setting`: what runs container components.
    """
    found = [f"pipeline setting {name!r}" for name in _pipeline_settings(spec)]
    found += [
        f"the pipeline's input {name!r}, an artifact, which no request can give: import it in the pipeline"
        for name, about in spec.root.get("inputDefinitions", {}).get("artifacts", {}).items()
        if not about.get("isOptional")
    ]
    found += [
        f"the component {name!r}, which has neither tasks nor an executor: the SDK's compiler loses a group "
        "where a nested pipeline has one of the same name; put the nested pipeline before the group"
        for name, component in spec.pipeline.get("components", {}).items()
        if "executorLabel" not in component and not component.get("dag", {}).get("tasks")
    ]
    for label, executor in spec.pipeline["deploymentSpec"].get("executors", {}).items():
        where = label.removeprefix("exec-")
        found += [f"{where}: {problem}" for problem in _executor(executor, setting)]
        on_kubernetes = spec.on_kubernetes({"executorLabel": label})
        in_container = setting != "process" and needs_container(executor.get("container", {}))
        found += [f"{where}: {problem}" for problem in _kubernetes(on_kubernetes, in_container)]
    return found


def _pipeline_settings(spec: Spec) -> list[str]:
    platform = spec.platform.get("platforms", {})
    others = [f"platform {name}" for name in platform if name != "kubernetes"]
    settings = platform.get("kubernetes", {}).get("pipelineConfig", {})
    return others + sorted(set(settings) - {"workspace"})


def _executor(executor: dict[str, Any], setting: ContainerSetting) -> Iterator[str]:
    if "importer" in executor:
        if why := remote.refusal_of(str(executor["importer"]["artifactUri"].get("constant", "")), setting):
            yield why
        return
    if "container" not in executor:
        yield f"a {', '.join(executor)} executor; only components and importers run here"
        return
    container = executor["container"]
    image = container.get("image", "")
    if image in (kubernetes.CREATE, kubernetes.DELETE) or not needs_container(container):
        return
    if why := containers.refusal_of(image, setting):
        yield why


def _kubernetes(settings: dict[str, Any], in_container: bool) -> Iterator[str]:
    for name in sorted(settings):
        if name not in kubernetes.NOTED | kubernetes.GIVEN:
            yield f"the Kubernetes setting {name!r}"
    for field in kubernetes.unknown_fields(settings):
        yield f"the pod field {field!r} as environment"
    for name in kubernetes.MOUNTED:
        for item in settings.get(name, []):
            if in_container or (name == "pvcMount" and kubernetes.is_state(item)):
                continue
            if not mounts.can_mount():
                yield f"the mount at {item.get('mountPath')}: this machine has no mount namespaces for users"
