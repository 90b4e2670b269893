"""What one task needs to run here, and what it wrote: kfp.local's parts, and its gaps named.

kfp.local builds the executor's input, resolves placeholders and reads outputs; a component's own
process is started by `child`.
"""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linnet.errors import RunError
from linnet.records import TaskRecord
from linnet.runner import task_process
from linnet.runner.dag import Node
from linnet.runner.spec import Spec, plain, typed

EXECUTOR_OUTPUT = "executor_output.json"


@dataclass
class ExecutorTask:
    """A task that runs a program or imports an artefact, with its inputs."""

    spec: Spec
    node: Node
    arguments: dict[str, Any]
    run: Path
    root: Path
    """The folder for its outputs."""
    notes: list[str] = field(default_factory=list)
    """What its pipeline asks for and a laptop gives in its own way."""

    @classmethod
    def of(cls, spec: Spec, node: Node, arguments: dict[str, Any], run: Path, root: Path) -> ExecutorTask:
        """The leaf of a node."""
        return cls(spec, node, arguments, run, root)

    @property
    def executor(self) -> dict[str, Any]:
        """The executor as the IR describes it."""
        return self.spec.executor(self.node.component)

    @property
    def is_importer(self) -> bool:
        """Whether it brings an artefact in and runs nothing."""
        return "importer" in self.executor

    @property
    def timeout(self) -> float:
        """Seconds until its program is killed; 0: no limit. (A Linnet step ends itself a little earlier.)"""
        seconds = float(self.spec.on_kubernetes(self.node.component).get("activeDeadlineSeconds", 0))
        return seconds + 2.0 if seconds and self._environment().get("LINNET_TIMEOUT") else seconds

    def prepare(self) -> tuple[Path, list[str], dict[str, str]]:
        """Makes an empty folder for its outputs; its source file, arguments and environment."""
        from kfp.local import placeholder_utils

        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        container = self.executor["container"]
        source = task_process.source_of(container.get("command", []))
        if source is None:
            raise RunError(f"task {self.node.path}: only lightweight Python components run here")
        file = self.run / "code" / f"{self.node.path}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(source, "utf-8")
        words = placeholder_utils.replace_placeholders(
            full_command=list(container.get("args", [])),
            executor_input_dict=self._input(),
            pipeline_resource_name=self.run.name,
            task_resource_name=self.node.label,
            pipeline_root=str(self.run / "artifacts"),
            unique_pipeline_id=self.run.name,
        )
        self._note(container)
        return file, words, self._environment()

    def outputs(self) -> dict[str, Any]:
        """What the program wrote."""
        from kfp.local import executor_output_utils

        found = executor_output_utils.get_outputs_for_task(self._input_message(), self._component())
        declared = self.node.component.get("outputDefinitions", {}).get("parameters", {})
        return {
            name: typed(plain(value), declared[name].get("parameterType", ""), f"output {name!r}")
            if name in declared
            else value
            for name, value in found.items()
        }

    def recorded(self, record: TaskRecord) -> dict[str, Any] | None:
        """The outputs of the same task in an earlier life of the run; None if they are no longer there."""
        if any(not Path(artifact.uri).exists() for artifact in record.artifacts):
            return None
        return self.outputs() if (self.root / EXECUTOR_OUTPUT).exists() or not record.parameters else None

    def imported(self) -> dict[str, Any]:
        """The artefact that an importer names."""
        from kfp.local import importer_handler, utils

        outputs, _ = importer_handler.run_importer(
            pipeline_resource_name=self.run.name,
            component_name=self.node.task["componentRef"]["name"],
            component_spec=self._component(),
            executor_spec=utils.struct_to_executor_spec(_struct(self.executor)),
            arguments=self.arguments,
            pipeline_root=str(self.run / "artifacts"),
            unique_pipeline_id=self.run.name,
        )
        return dict(outputs)

    def _environment(self) -> dict[str, str]:
        container = self.executor.get("container", {})
        return {item["name"]: str(item.get("value", "")) for item in container.get("env", [])}

    def _component(self) -> Any:
        from google.protobuf import json_format
        from kfp.pipeline_spec import pipeline_spec_pb2

        return json_format.ParseDict(self.node.component, pipeline_spec_pb2.ComponentSpec())

    def _input_message(self) -> Any:
        from kfp.local import executor_input_utils

        return executor_input_utils.construct_executor_input(
            component_spec=self._component(),
            arguments=self.arguments,
            task_root=str(self.root),
            block_input_artifact=False,
        )

    def _input(self) -> dict[str, Any]:
        """The executor's input, with 3.0 as 3: protobuf makes the one of the other, a cluster does not."""
        from google.protobuf import json_format

        message: dict[str, Any] = plain(json_format.MessageToDict(self._input_message()))
        return message

    def _note(self, container: dict[str, Any]) -> None:
        image = container.get("image", "")
        version = ".".join(platform.python_version_tuple()[:2])
        if image.startswith("python:") and not image.startswith(f"python:{version}"):
            self.notes.append(f"runs in this environment's Python {version}, not in the image {image}")
        resources = container.get("resources", {})
        asked = [
            name for name in ("cpuLimit", "memoryLimit", "cpuRequest", "memoryRequest") if name in resources
        ]
        asked += ["accelerator"] if "accelerator" in resources else []
        if asked:
            self.notes.append(f"may use the whole machine: {', '.join(asked)} are for a cluster's scheduler")


def _struct(values: dict[str, Any]) -> Any:
    from google.protobuf import json_format, struct_pb2

    return json_format.ParseDict(values, struct_pb2.Struct())
