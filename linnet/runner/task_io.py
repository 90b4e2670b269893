"""What one task needs to run here, and what it wrote."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linnet.cache.digest import tree_digest
from linnet.cache.memo import Memo
from linnet.errors import RunError
from linnet.records import TaskRecord
from linnet.records.task import ArtifactRecord, task_file
from linnet.runner import kubernetes, task_process
from linnet.runner.dag import Node
from linnet.runner.environments import Packages, packages_of
from linnet.runner.executor_io import Artifact, as_json, executor_input, is_artifact, read_outputs
from linnet.runner.mounts import Mount
from linnet.runner.placeholders import WORKSPACE, Names, fill
from linnet.runner.spec import Spec
from linnet.runner.values import inexact, plain
from linnet.storage.paths import state_dir


@dataclass
class ExecutorTask:
    """A task that runs a program or imports an artefact, with its inputs."""

    spec: Spec
    node: Node
    arguments: dict[str, Any]
    run: Path
    root: Path
    """The folder for its outputs."""
    names: Names
    notes: list[str] = field(default_factory=list)
    """What its pipeline asks for and a laptop gives in its own way."""
    mounts: list[Mount] = field(default_factory=list)
    """The folders that its program sees elsewhere; known when it is prepared."""

    @property
    def executor(self) -> dict[str, Any]:
        """The executor as the IR describes it."""
        return self.spec.executor(self.node.component)

    @property
    def is_importer(self) -> bool:
        """Whether it brings an artefact in and runs nothing."""
        return "importer" in self.executor

    @property
    def is_claim_operation(self) -> bool:
        """Whether it makes or deletes a volume claim: a cluster's driver does that, with no program."""
        return self.executor.get("container", {}).get("image") in (kubernetes.CREATE, kubernetes.DELETE)

    @property
    def packages(self) -> Packages | None:
        """What must be installed for its program; None: this environment has it all."""
        found = packages_of(self.executor["container"].get("command", []), task_process.MARK)
        return found if found.missing else None

    @property
    def timeout(self) -> float:
        """Seconds until its program is killed; 0: no limit. (A Linnet step ends itself a little earlier.)"""
        seconds = float(self.spec.on_kubernetes(self.node.component).get("activeDeadlineSeconds", 0))
        return seconds + 2.0 if seconds and self._environment().get("LINNET_TIMEOUT") else seconds

    def prepare(self) -> tuple[Path, list[str], dict[str, str]]:
        """Makes an empty folder for its outputs; its source file, arguments and environment."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        container = self.executor["container"]
        source = task_process.source_of(container.get("command", []))
        if source is None:
            raise RunError(f"task {self.node.path}: only lightweight Python components run here")
        # A folder and a module name as on a cluster: what a task is called must hide no module.
        file = self.run / "code" / task_file(self.node.path) / task_process.MODULE
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, "utf-8")
        names = self.names.of(self.node.name, self.node.path)
        names["{{$}}"] = as_json(executor_input(self.node.component, plain(self.arguments), self.root))
        words = [fill(word, names, self.arguments) for word in container.get("args", [])]
        self.notes += [_rounded(f"input {name!r}", number) for name, number in _numbers(self.arguments)]
        self._note(container)
        settings = self.spec.on_kubernetes(self.node.component)
        pod = kubernetes.pod_of(settings, self.node, file.parent / "volumes")
        self.mounts, self.notes = pod.mounts, self.notes + pod.notes
        if self.mounts:
            (file.parent / "root").mkdir(exist_ok=True)
        (self.run / WORKSPACE).mkdir(exist_ok=True)
        return file, words, {**self._environment(), **pod.environment}

    def change_claim(self) -> dict[str, Any]:
        """Makes or deletes a volume claim, and writes what a program would have written."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        creates = self.executor["container"]["image"] == kubernetes.CREATE
        found = (kubernetes.create_claim if creates else kubernetes.delete_claim)(self.arguments)
        for name, value in found.items():
            (self.root / name).write_text(value, "utf-8")
        return found

    def outputs(self) -> dict[str, Any]:
        """What the program wrote.

        Raises:
            RunError: something that it declares is missing, or is not what a cluster would take.
        """
        found = read_outputs(self.node.component, self.root)
        self.notes += [_rounded(f"output {name!r}", number) for name, number in _numbers(found)]
        return found

    def recorded(self, record: TaskRecord) -> dict[str, Any] | None:
        """The outputs of the task in an earlier life of the run; None if they are not as it left them."""
        if any(not _is_as_written(artifact) for artifact in record.artifacts):
            return None
        try:
            found = self.outputs()
        except RunError:
            return None
        now = {name: value for name, value in found.items() if not is_artifact(value)}
        return found if now == record.parameters else None

    def imported(self) -> dict[str, Any]:
        """The artefact that an importer names (backend/src/v2/component/importer_launcher.go)."""
        importer = self.executor["importer"]
        address = importer["artifactUri"]
        uri = address["constant"] if "constant" in address else self.arguments[address["runtimeParameter"]]
        names = self.names.of(self.node.name, self.node.path)
        metadata = fill(plain(importer.get("metadata", {})), names, self.arguments)
        kind = importer.get("typeSchema", {})
        title = kind.get("schemaTitle", "system.Artifact")
        version = kind.get("schemaVersion", "0.0.1")
        return {"artifact": Artifact("artifact", str(uri), title, version, metadata)}

    def _environment(self) -> dict[str, str]:
        container = self.executor.get("container", {})
        return {item["name"]: str(item.get("value", "")) for item in container.get("env", [])}

    def _note(self, container: dict[str, Any]) -> None:
        image = container.get("image", "")
        version = ".".join(platform.python_version_tuple()[:2])
        if image.startswith("python:") and not image.startswith(f"python:{version}"):
            self.notes.append(f"runs in this environment's Python {version}, not in the image {image}")
        asked = sorted(container.get("resources", {}))
        if asked:
            self.notes.append(f"may use the whole machine: {', '.join(asked)} are for a cluster's scheduler")


def digest_of(uri: str) -> str:
    """Digest of an artefact's bytes where they lie on this machine; nothing where they do not."""
    if "://" in uri:
        return ""
    return tree_digest(Path(uri), Memo(state_dir() / "cache" / "memo"))


def _is_as_written(artifact: ArtifactRecord) -> bool:
    """Whether an artefact has the bytes that its task wrote; of one that an earlier version recorded, any."""
    if not artifact.digest:
        return "://" in artifact.uri or Path(artifact.uri).exists()
    return digest_of(artifact.uri) == artifact.digest


def _numbers(values: dict[str, Any]) -> list[tuple[str, int]]:
    return [(name, number) for name, value in values.items() for number in inexact(value)]


def _rounded(what: str, number: int) -> str:
    return f"{what} holds {number}: a cluster rounds it to {_double(number)}; a text would arrive as it is"


def _double(number: int) -> str:
    try:
        return str(int(float(number)))
    except OverflowError:
        return "nothing, and fails"
