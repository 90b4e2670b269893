"""What one task needs to run here, and what it wrote."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from linnet.config import ContainerSetting
from linnet.errors import RunError
from linnet.records import TaskRecord
from linnet.records.task import task_file
from linnet.runner import containers, kubernetes, mounts, remote, task_process
from linnet.runner.container_command import names_of, words_of
from linnet.runner.containers import Container
from linnet.runner.dag import Node
from linnet.runner.environments import Packages, packages_of
from linnet.runner.executor_io import Artifact, as_json, executor_input, is_artifact, read_outputs
from linnet.runner.input_artifacts import State, artifacts_of, changed, is_as_written, states_of
from linnet.runner.mounts import Mount
from linnet.runner.placeholders import WORKSPACE, Names, fill
from linnet.runner.spec import Spec
from linnet.runner.task_process import Import, Program
from linnet.runner.values import inexact, plain

_CHANGED = (
    "WARNING: its input {} was changed while it ran: other tasks of this run see that, where a cluster gives "
    "each a copy of its own; write to an output instead"
)
_FETCHED = "fetched"
"""In an importer's folder: where what it brought lies."""


@dataclass
class ExecutorTask:
    """A task that runs a program or imports an artifact, with its inputs."""

    spec: Spec
    node: Node
    arguments: dict[str, Any]
    run: Path
    root: Path
    """The folder for its outputs."""
    names: Names
    _given: dict[str, State] = field(default_factory=dict)
    """How the artifacts stood that this run made and it is given, when it began."""
    notes: list[str] = field(default_factory=list)
    """What its pipeline asks for and a laptop gives in its own way."""

    @property
    def executor(self) -> dict[str, Any]:
        """The executor as the IR describes it."""
        return self.spec.executor(self.node.component)

    @property
    def is_importer(self) -> bool:
        """Whether it brings an artifact in and runs nothing."""
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

    def prepare(self, log: Path, containers: ContainerSetting = "auto") -> Program:
        """Makes an empty folder for its outputs; what is to be executed.

        Args:
            log: where its output goes.
            containers: what runs a component that is not Python of this environment.

        Raises:
            RunError: it cannot be prepared.
        """
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        # A folder and a module name as on a cluster: what a task is called must hide no module.
        file = self.run / "code" / task_file(self.node.path) / task_process.MODULE
        file.parent.mkdir(parents=True, exist_ok=True)
        self.notes += [_rounded(f"input {name!r}", number) for name, number in _numbers(self.arguments)]
        self._given = states_of(self.arguments, self.run)
        settings = self.spec.on_kubernetes(self.node.component)
        pod = kubernetes.pod_of(settings, self.node, file.parent / "volumes")
        self.notes += pod.notes
        (self.run / WORKSPACE).mkdir(exist_ok=True)
        container = self.executor["container"]
        environment = {**self._environment(), **pod.environment}
        foreign = needs_container(container)
        arguments, brought = _placed(self.arguments, containers if foreign else "process")
        program = Program(file, (), environment, log, mounts=[*pod.mounts, *brought])
        if program.mounts:
            (file.parent / "root").mkdir(exist_ok=True)
        if foreign:
            return self._foreign(program, arguments, containers)
        file.write_text(task_process.source_of(container["command"]) or "", "utf-8")
        names = self.names.of(self.node.name, self.node.path)
        names["{{$}}"] = as_json(executor_input(self.node.component, plain(arguments), self.root))
        words = [fill(word, names, arguments) for word in container.get("args", [])]
        self._note(container)
        return replace(program, words=words, packages=self.packages)

    def _foreign(self, program: Program, arguments: dict[str, Any], setting: ContainerSetting) -> Program:
        """The program of a component that this environment's Python cannot run."""
        container = self.executor["container"]
        image, command = container.get("image", ""), container.get("command", [])
        message = executor_input(self.node.component, plain(arguments), self.root)
        names = {
            **self.names.of(self.node.name, self.node.path),
            **names_of(message, remote.path_in_container),
            "{{$}}": as_json(message),
        }
        present = frozenset(name for name, value in arguments.items() if value is not None)
        head = words_of(command, present, names, arguments)
        words = head + words_of(container.get("args", []), present, names, arguments)
        if setting == "process":
            if why := containers.refusal_of(image, setting):
                raise RunError(f"task {self.node.path}: {why}")
            if not words:
                raise RunError(f"task {self.node.path}: it has no command, and the image {image} is not run")
            self.notes.append(
                f"WARNING: no container: runs as a process of this machine, with your rights, "
                f"in the place of the image {image}"
            )
            return replace(program, command=words, executable=containers.program_of(image, words[0]))
        runtime = containers.find(setting)
        limits, notes = containers.limits_of(container.get("resources", {}), runtime)
        shared = self.spec.on_kubernetes(self.node.component).get("enabledSharedMemory")
        if shared is not None:
            limits.append(containers.shared_memory(shared.get("size")))
        self.notes += [*notes, f"runs in the image {image} by {runtime.name}"]
        containers.mark(self.run, runtime)
        labels = {containers.LABEL: str(self.run.absolute()), containers.TASK_LABEL: self.node.path}
        mounts = [*self._own_mounts(arguments), *program.mounts]
        box = Container(runtime, image, words, bool(head), program.environment, mounts, limits, labels)
        return replace(program, environment={}, mounts=(), container=box)

    def _own_mounts(self, arguments: dict[str, Any]) -> list[Mount]:
        """What a container sees of this machine: the folder of its outputs, and the artifacts it is given."""
        mounts = [Mount(self.root.absolute(), str(self.root))]
        for uri in dict.fromkeys(artifact.uri for artifact in artifacts_of(arguments)):
            if not remote.is_remote(uri) and Path(uri).is_absolute() and Path(uri).exists():
                mounts.append(Mount(Path(uri), uri, read_only=True))
        if self.spec.has_workspace:
            workspace = self.run.absolute() / WORKSPACE
            mounts.append(Mount(workspace, str(workspace)))
        return mounts

    def change_claim(self) -> dict[str, Any]:
        """Makes or deletes a volume claim, and writes what a program would have written."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        creates = self.executor["container"]["image"] == kubernetes.CREATE
        found = (kubernetes.create_claim if creates else kubernetes.delete_claim)(self.arguments)
        for name, value in found.items():
            (self.root / name).write_text(value, "utf-8")
        return found

    def note_changed_inputs(self) -> None:
        """Notes which artifacts it was given and did not leave as they were."""
        self.notes += [_CHANGED.format(uri) for uri in changed(self._given)]

    def outputs(self) -> dict[str, Any]:
        """What the program wrote.

        Raises:
            RunError: something that it declares is missing, or is not what a cluster would take.
        """
        if self.is_importer:
            return self.imported((self.root / _FETCHED).read_text("utf-8"))
        found = read_outputs(self.node.component, self.root)
        self.notes += [_rounded(f"output {name!r}", number) for name, number in _numbers(found)]
        return found

    def recorded(self, record: TaskRecord) -> dict[str, Any] | None:
        """The outputs of the task in an earlier life of the run; None if they are not as it left them."""
        if any(not is_as_written(artifact) for artifact in record.artifacts):
            return None
        try:
            found = self.outputs()
        except RunError:
            return None
        now = {name: value for name, value in found.items() if not is_artifact(value)}
        return found if now == record.parameters else None

    @property
    def address(self) -> str:
        """What an importer names."""
        address = self.executor["importer"]["artifactUri"]
        return str(
            address["constant"] if "constant" in address else self.arguments[address["runtimeParameter"]]
        )

    def fetched(self, log: Path, setting: ContainerSetting) -> Program:
        """The program of an importer of what is not on this machine."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        file = self.run / "code" / task_file(self.node.path) / task_process.MODULE
        return Program(file, (), {}, log, imports=Import(self.address, setting, self.root / _FETCHED))

    def imported(self, local: str = "") -> dict[str, Any]:
        """The artifact that an importer names (backend/src/v2/component/importer_launcher.go).

        `local`: where it lies on this machine, if it was fetched.

        Raises:
            RunError: it is a path of this machine at which nothing is, or no address at all.
        """
        uri = self.address
        if not uri:
            raise RunError("the importer's address is empty")
        if not remote.is_remote(uri):
            uri = str(remote.local_path(uri))
            if not Path(uri).exists():
                raise RunError(f"the importer's address is {uri!r}, and there is no such file here")
        importer = self.executor["importer"]
        names = self.names.of(self.node.name, self.node.path)
        metadata = fill(plain(importer.get("metadata", {})), names, self.arguments)
        kind = importer.get("typeSchema", {})
        title = kind.get("schemaTitle", "system.Artifact")
        version = kind.get("schemaVersion", "0.0.1")
        return {"artifact": Artifact("artifact", uri, title, version, metadata, local)}

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


def needs_container(container: dict[str, Any]) -> bool:
    """Whether this Python cannot run it: it has a command of its own, or an image that is not Python's."""
    own = task_process.source_of(container.get("command", [])) is None
    return own or "python" not in container.get("image", "")


def _placed(arguments: dict[str, Any], setting: ContainerSetting) -> tuple[dict[str, Any], list[Mount]]:
    """A task's inputs, and what it must see where the SDK looks for what was brought from elsewhere.

    Where nothing can be mounted, or the SDK looks nowhere, such an artifact's address is its place here.
    """
    mounted: dict[str, Mount] = {}

    def placed(value: Any) -> Any:
        if isinstance(value, list):
            return [placed(one) for one in value]
        if not isinstance(value, Artifact) or not value.local:
            return value
        target = remote.path_in_task(value.uri)
        if not target or (setting == "process" and not mounts.can_mount()):
            return replace(value, uri=value.local)
        mounted[target] = Mount(Path(value.local), target, read_only=True)
        return value

    return {name: placed(value) for name, value in arguments.items()}, list(mounted.values())


def _numbers(values: dict[str, Any]) -> list[tuple[str, int]]:
    return [(name, number) for name, value in values.items() for number in inexact(value)]


def _rounded(what: str, number: int) -> str:
    return f"{what} holds {number}: a cluster rounds it to {_double(number)}; a text would arrive as it is"


def _double(number: int) -> str:
    try:
        return str(int(float(number)))
    except OverflowError:
        return "nothing, and fails"
