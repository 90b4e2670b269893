"""A submitted pipeline: the KFP intermediate representation as plain values, checked before it runs.

Field names are those of the IR's JSON form:
https://github.com/kubeflow/pipelines/blob/master/api/v2alpha1/pipeline_spec.proto
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from linnet.errors import RunError
from linnet.runner.values import plain, typed

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 100


@dataclass(frozen=True)
class Spec:
    """One pipeline: the `pipeline` document and the `platform` document of its file."""

    pipeline: dict[str, Any]
    platform: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_text(cls, text: str | bytes) -> Spec:
        """Reads a compiled file (YAML or JSON; safe loading only).

        Raises:
            RunError: it is not one.
        """
        try:
            documents = [document for document in _documents(text) if document]
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise RunError(f"the pipeline is not YAML: {' '.join(str(error).split())[:300]}") from error
        if not documents or not all(isinstance(document, dict) for document in documents):
            raise RunError("the pipeline is not a compiled KFP file: `linnet compile` writes one")
        platform: dict[str, Any] = {}
        for document in documents[1:]:
            platform.update(document)
        return cls.from_values({**documents[0], **({"platforms": platform["platforms"]} if platform else {})})

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Spec:
        """Takes the `pipeline_spec` of an API request: the pipeline alone, or with its platform document.

        Raises:
            RunError: it is not a compiled pipeline.
        """
        if "pipeline_spec" in values:
            pipeline, platform = values["pipeline_spec"], values.get("platform_spec") or {}
        else:
            pipeline = {key: value for key, value in values.items() if key != "platforms"}
            platform = {"platforms": values["platforms"]} if "platforms" in values else {}
        missing = [key for key in ("pipelineInfo", "root", "deploymentSpec") if key not in pipeline]
        if missing or "dag" not in pipeline["root"]:
            raise RunError(
                f"the pipeline is not a compiled KFP file (no {', '.join(missing) or 'root.dag'}): "
                "compile it with the KFP SDK 2 or `linnet compile`"
            )
        return cls(pipeline, platform)

    def values(self) -> dict[str, Any]:
        """Both documents, as the API shows them."""
        return (
            {"pipeline_spec": self.pipeline, "platform_spec": self.platform}
            if self.platform
            else self.pipeline
        )

    def text(self) -> str:
        """Both documents as a file that `from_text` reads."""
        return "\n---\n".join(json.dumps(document) for document in (self.pipeline, self.platform) if document)

    def yaml(self) -> str:
        """Both documents as a file for people."""
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        documents = [document for document in (self.pipeline, self.platform) if document]
        return str(yaml.dump_all(documents, Dumper=dumper, allow_unicode=True))

    @property
    def name(self) -> str:
        """The pipeline's own name."""
        return str(self.pipeline["pipelineInfo"]["name"])

    @property
    def root(self) -> dict[str, Any]:
        """The component that is the whole pipeline."""
        root: dict[str, Any] = self.pipeline["root"]
        return root

    def component(self, task: dict[str, Any]) -> dict[str, Any]:
        """The component that a task runs."""
        found: dict[str, Any] = self.pipeline["components"][task["componentRef"]["name"]]
        return found

    def executor(self, component: dict[str, Any]) -> dict[str, Any]:
        """What a component executes: `container`, `importer` or another kind."""
        found: dict[str, Any] = self.pipeline["deploymentSpec"]["executors"][component["executorLabel"]]
        return found

    def on_kubernetes(self, component: dict[str, Any]) -> dict[str, Any]:
        """What the platform document says about a component's executor."""
        deployment = self.platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {})
        found: dict[str, Any] = deployment.get("executors", {}).get(component.get("executorLabel", ""), {})
        return found

    @property
    def has_workspace(self) -> bool:
        """Whether its tasks share a folder."""
        settings = self.platform.get("platforms", {}).get("kubernetes", {}).get("pipelineConfig", {})
        return "workspace" in settings

    @property
    def has_exit_tasks(self) -> bool:
        """Whether a task of it runs however others ended."""
        return any(
            task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"
            for component in [self.root, *self.pipeline.get("components", {}).values()]
            for task in component.get("dag", {}).get("tasks", {}).values()
        )

    @cached_property
    def code(self) -> str:
        """Digest of what the pipeline would execute.

        Left out are defaults of parameters, KFP's caching, and how much of a machine a task asks for: two
        files compiled from one pipeline for two configs have one and the same.
        """
        pipeline = copy.deepcopy(self.pipeline)
        for parameter in pipeline["root"].get("inputDefinitions", {}).get("parameters", {}).values():
            parameter.pop("defaultValue", None)
        for component in [pipeline["root"], *pipeline.get("components", {}).values()]:
            for task in component.get("dag", {}).get("tasks", {}).values():
                task.pop("cachingOptions", None)  # the SDK's `enable_caching` sets it at submission
        for executor in pipeline["deploymentSpec"].get("executors", {}).values():
            executor.get("container", {}).pop("resources", None)
        text = json.dumps([plain(pipeline), plain(self.platform)], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()

    def arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """The pipeline's parameters: what was given, or else their defaults.

        Raises:
            RunError: a parameter is unknown, missing or of another type.
        """
        known = self.root.get("inputDefinitions", {}).get("parameters", {})
        unknown = sorted(set(given) - set(known))
        if unknown:
            named = ", ".join(sorted(known)) or "none"
            raise RunError(f"the pipeline {self.name} has no parameter {unknown[0]!r} (it has: {named})")
        return with_defaults(self.root, given, f"the pipeline {self.name}")


def _documents(text: str | bytes) -> list[Any]:
    """The documents of a file; JSON is YAML too, and read fifty times as fast."""
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    if text.startswith("{"):
        try:
            return [json.loads(part) for part in text.split("\n---\n")]
        except ValueError:
            pass
    _refuse_traps(text)
    return list(yaml.load_all(text, _LOADER))


def _refuse_traps(text: str) -> None:
    """Refuses what would blow up when it is built.

    libyaml's builder recurses on the C stack without a bound (a hundred thousand brackets end the
    process), and an alias may stand for ever more of itself.
    """
    depth = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise RunError("the pipeline has YAML aliases, which the KFP compiler never writes")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise RunError(f"the pipeline is nested more than {_DEEPEST} levels deep")


Convert = Callable[[Any, str, str], Any]


def with_defaults(
    component: dict[str, Any], given: dict[str, Any], where: str, convert: Convert = typed
) -> dict[str, Any]:
    """The values of a component's input parameters; one that is optional and has no value is left out.

    Args:
        component: as the IR describes it.
        given: values by name.
        where: what a message names.
        convert: what brings a value into its declared type (value, type, where).

    Raises:
        RunError: a value is missing, or of another type.
    """
    result = {}
    for name, about in component.get("inputDefinitions", {}).get("parameters", {}).items():
        kind = about.get("parameterType", "")
        if given.get(name) is not None:
            result[name] = convert(given[name], kind, f"{where}: parameter {name!r}")
        elif "defaultValue" in about:
            result[name] = typed(about["defaultValue"], kind, where)
        elif not about.get("isOptional"):
            raise RunError(f"{where} needs a value for its parameter {name!r}")
    return result
