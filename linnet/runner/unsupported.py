"""What a pipeline asks for that a laptop cannot give: the run is refused, and the message names it.

Nothing is ignored in silence. What a laptop gives in its own way (resources, Python images) is noted
in the run's log; a cluster's timeouts are kept here too.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from linnet.runner import task_process
from linnet.runner.spec import Spec

STATE_CLAIM = "linnet-state"
"""The claim that the training pipeline mounts: on a laptop it is the state folder."""
_KEPT = {"activeDeadlineSeconds", "pvcMount", "fieldPathAsEnv"}
_OPTIONS_WITH_VALUE = {"--index-url", "--extra-index-url", "--trusted-host", "-i"}


def unsupported_features(spec: Spec) -> list[str]:
    """What cannot be honoured here, a sentence each; empty: the pipeline may run."""
    found = [f"pipeline setting {name!r}" for name in _pipeline_settings(spec)]
    for label, executor in spec.pipeline["deploymentSpec"].get("executors", {}).items():
        where = label.removeprefix("exec-")
        found += [f"{where}: {problem}" for problem in _executor(executor)]
        on_kubernetes = spec.on_kubernetes({"executorLabel": label})
        found += [f"{where}: {problem}" for problem in _kubernetes(on_kubernetes)]
    return found


def _pipeline_settings(spec: Spec) -> list[str]:
    platform = spec.platform.get("platforms", {})
    others = [f"platform {name}" for name in platform if name != "kubernetes"]
    return others + sorted(platform.get("kubernetes", {}).get("pipelineConfig", {}))


def _executor(executor: dict[str, Any]) -> Iterator[str]:
    if "importer" in executor:
        if executor["importer"].get("downloadToWorkspace"):
            yield "an importer's download_to_workspace needs a workspace volume"
        return
    if "container" not in executor:
        yield f"a {', '.join(executor)} executor; only Python components and importers run here"
        return
    container = executor["container"]
    command, image = container.get("command", []), container.get("image", "")
    if task_process.source_of(command) is None:
        yield f"a container component (image {image}); only lightweight Python components run here"
        return
    if "python" not in image:
        yield f"the image {image!r}; tasks run in this environment's Python"
    for requirement in _requirements(command):
        if problem := _missing(requirement):
            yield problem


def _requirements(command: list[str]) -> Iterator[str]:
    """What a component installs before it runs (`packages_to_install`)."""
    for word in command:
        if "pip install" not in word or task_process.MARK in word:
            continue
        for part in re.findall(r"pip install ([^&|\n]*)", word):
            skip = False
            for token in shlex.split(part):
                if skip or token.startswith("-"):
                    skip = token in _OPTIONS_WITH_VALUE
                else:
                    yield token


def _missing(text: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return f"packages_to_install {text!r}, which is not a plain requirement"
    if requirement.marker is not None and not requirement.marker.evaluate():
        return ""
    try:
        there = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"packages_to_install {text!r}: install it in Linnet's environment"
    if requirement.name == "kfp" or requirement.specifier.contains(there, prereleases=True):
        return ""  # the SDK's executor of any 2.x reads what any other writes
    return f"packages_to_install {text!r}: Linnet's environment has {requirement.name} {there}"


def _kubernetes(settings: dict[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        if name not in _KEPT:
            yield f"the Kubernetes setting {name!r}"
        elif name == "pvcMount":
            for mount in value:
                claim = mount.get("constant") or mount.get("pvcNameParameter", {}).get(
                    "runtimeValue", {}
                ).get("constant")
                if claim != STATE_CLAIM:
                    yield f"the volume claim {claim!r}; only {STATE_CLAIM!r}, the state folder, is here"
        elif name == "fieldPathAsEnv":
            for item in value:
                if item.get("name") != "LINNET_RUN_ID":
                    yield f"the pod field {item.get('fieldPath')!r} as environment"
