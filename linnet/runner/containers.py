"""Container components by podman or docker, whichever works here; or, by choice, as plain processes.

A container is this run's: it is labelled with the run's folder, so that whoever ends the run (its worker,
or the engine after a kill) finds it, also when the program that started it is gone. It runs as you, in the
sense of the runtime: what it writes into the run's folder is yours, and the image's own USER is not taken.
It sees the folder of its outputs and the artifacts that it is given, at the paths that they have outside,
so that a path in a placeholder means the same on both sides.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from linnet.config import ContainerSetting
from linnet.errors import RunError
from linnet.process.cpus import available_cpus
from linnet.runner.mounts import Mount

logger = logging.getLogger(__name__)
MARKER = "containers.json"
"""In a run's folder: the runtime that it started containers with, until they are swept."""
LABEL, TASK_LABEL = "linnet.run", "linnet.task"
STOP_SECONDS = 1.5
"""How long a container may take after SIGTERM. A cluster gives none: its launcher ends, and all with it."""
_PLAIN = {
    **dict.fromkeys(("alpine", "busybox"), ("busybox", "bash")),
    **dict.fromkeys(("bash", "centos", "fedora", "rockylinux", "ubi"), ("bash",)),
    **dict.fromkeys(("debian", "python", "ubuntu"), ("dash",)),
}
"""Images that hold what any machine has, so that their commands can run as processes; and what is `sh` there:
the first of these programs that this machine has (busybox's shell and bash know `[[`, dash does not)."""
_ANSWER_SECONDS = 20.0
_OWN = ("PATH", "HOME", "TMPDIR", "XDG_", "LD_", "DOCKER_", "CONTAINER", "REGISTRY_", "STORAGE_")
"""Beginnings of variables that steer the runtime's own program."""


@dataclass(frozen=True)
class Runtime:
    """A program that runs containers."""

    name: str
    program: str

    def has(self, image: str) -> bool:
        """Whether the image is on this machine."""
        return self._ask("image", "inspect", "--format", "{{.Id}}", image).returncode == 0

    def need(self, image: str) -> None:
        """Pulls an image that is not here; the runtime says on this process's output how far it is.

        Raises:
            RunError: it cannot be had.
        """
        if self.has(image):
            return
        print(f"pulling the image {image} ...", flush=True)
        if subprocess.run([self.program, "pull", image], check=False).returncode != 0:
            raise RunError(f"{self.name} cannot pull the image {image}")

    def image_id(self, image: str) -> str:
        """What tells an image from any other; empty if it is not here."""
        return self._ask("image", "inspect", "--format", "{{.Id}}", image).stdout.strip()

    def copy_from(self, image: str, folder: str, target: Path) -> None:
        """Copies a folder of an image into a folder of this machine; nothing of the image is executed.

        Raises:
            RunError: it cannot be copied.
        """
        made = self._ask("create", image, "none")
        box = made.stdout.strip()
        try:
            done = self._ask("cp", f"{box}:{folder}", str(target)) if made.returncode == 0 else made
        finally:
            self._ask("rm", "--force", box)
        if done.returncode != 0:
            raise RunError(f"{folder} of the image {image} cannot be read: {_last_line(done.stderr)}")

    def why_missing(self, image: str) -> str:
        """Why the image is neither here nor at its registry; empty: it can be had."""
        if self.has(image):
            return ""
        found = self._ask("manifest", "inspect", image)
        said = _last_line(found.stderr)
        # podman shows lists of manifests only, and says of a single one that it is none: so it is there
        if found.returncode == 0 or "manifest list" in said or "not a list" in said:
            return ""
        return f"the image {image} is not on this machine, and {self.name} cannot get it: {said}"

    def why_silent(self) -> str:
        """Why it does not work; empty: it does."""
        words = ("version", "--format", "{{.Server.Version}}") if self.name == "docker" else ("info",)
        found = self._ask(*words)
        if found.returncode == 0:
            return ""
        who = "its daemon does not answer" if self.name == "docker" else "it does not work"
        return f"{self.name} is installed, but {who}: {_last_line(found.stderr)}"

    def remove(self, *labels: str) -> None:
        """Ends and removes the containers that have all the labels (`key=value`)."""
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        listed = self._ask("ps", "--all", "--quiet", *filters).stdout.split()
        if listed:
            self._ask("rm", "--force", *listed)

    def user(self) -> str:
        """Who is to be the user inside, so that what is written belongs to you outside."""
        if self.name == "podman" or os.getuid() == 0 or "name=rootless" in self._security():
            return "0:0"
        return f"{os.getuid()}:{os.getgid()}"

    def _security(self) -> str:
        return self._ask("info", "--format", "{{.SecurityOptions}}").stdout

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self.program, *words],
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=_ANSWER_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 1, "", f"no answer within {_ANSWER_SECONDS:g} s")
        except OSError as error:
            return subprocess.CompletedProcess(words, 1, "", str(error))


@dataclass(frozen=True)
class Container:
    """One container to be."""

    runtime: Runtime
    image: str
    words: Sequence[str]
    """What it executes; the first is the program."""
    has_command: bool
    """Whether the first word is the component's own; else the image's entry point takes them all."""
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    limits: Sequence[str]
    """See `limits_of`."""
    labels: Mapping[str, str]

    def become(self) -> NoReturn:
        """Turns this process into the runtime's program, which ends as the container ends.

        An image that is not here is pulled first; the log shows how far it is.
        """
        runtime = self.runtime
        runtime.need(self.image)
        environment = {name: value for name, value in self.environment.items() if not name.startswith(_OWN)}
        os.execve(runtime.program, self.command(), {**os.environ, **environment})  # noqa: S606

    def remove(self) -> None:
        """Ends and removes it, if it is still there."""
        self.runtime.remove(*(f"{name}={value}" for name, value in self.labels.items()))

    def command(self) -> list[str]:
        """The runtime's command line."""
        words = [self.runtime.program, "run", "--rm", "--pull=never", "--log-driver=none", "--stop-timeout=0"]
        words += ["--security-opt", "label=disable", "--user", self.runtime.user(), *self.limits]
        for name, value in self.labels.items():
            words += ["--label", f"{name}={value}"]
        for name, value in self.environment.items():
            # by name, so that no secret stands in the list of processes
            words += ["--env", f"{name}={value}" if name.startswith(_OWN) else name]
        for mount in self.mounts:
            words += ["--mount", _mount(mount)]
        if self.has_command:
            return [*words, "--entrypoint", self.words[0], self.image, *self.words[1:]]
        return [*words, self.image, *self.words]


def find(setting: ContainerSetting) -> Runtime:
    """The runtime to use.

    Raises:
        RunError: there is none that works, or none is wanted; it says what to do.
    """
    if setting in ("off", "process"):
        raise RunError(f'engine.containers is "{setting}"')
    reasons = []
    for name in ("podman", "docker") if setting == "auto" else (setting,):
        program = shutil.which(name)
        if program is None:
            continue
        if not (why := _why_silent(Runtime(name, program))):
            return Runtime(name, program)
        reasons.append(why)
    wanted = "podman or docker" if setting == "auto" else setting
    raise RunError("; ".join(reasons) or f"there is no {wanted} on this machine")


def refusal_of(image: str, setting: ContainerSetting) -> str:
    """Why a component with this image cannot run here, and what to do; empty: it can."""
    if setting == "process":
        if is_plain(image):
            return ""
        return f'the image {image} is more than a plain Linux or Python, and engine.containers is "process"'
    try:
        return find(setting).why_missing(image)
    except RunError as error:
        hint = ""
        if is_plain(image) and setting != "off":
            hint = '; engine.containers = "process" runs it as a process of this machine'
        return f"the image {image} needs a container, and {error}{hint}"


def is_plain(image: str) -> bool:
    """Whether an image is a plain Linux or Python: what its commands name, this machine has."""
    return bool(_shells_of(image))


def program_of(image: str, word: str) -> str:
    """The program of this machine for the first word of a command that a plain image was to execute."""
    if word not in ("sh", "/bin/sh"):
        return word
    found = (shutil.which(shell) for shell in _shells_of(image))
    return next((program for program in found if program), word)


def _shells_of(image: str) -> Sequence[str]:
    name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    if name == "python" and "alpine" in tag:
        return _PLAIN["alpine"]
    return _PLAIN.get("python" if name.startswith("python-3") else name, ())


def limits_of(resources: Mapping[str, Any], runtime: Runtime) -> tuple[list[str], list[str]]:
    """The flags for a container's limits, none beyond what the machine has, and notes of what has no flag."""
    flags, notes = [], []
    cpus = _amount(resources.get("resourceCpuLimit") or resources.get("cpuLimit"))
    if cpus and cpus < available_cpus():
        flags.append(f"--cpus={cpus:g}")
    memory = resources.get("resourceMemoryLimit")
    size = _amount(memory) if memory else float(resources.get("memoryLimit") or 0) * 1e9
    if size and size < _memory():
        flags.append(f"--memory={int(size)}b")
    accelerator = resources.get("accelerator", {})
    count = accelerator.get("resourceCount") or accelerator.get("count")
    if count and not Path("/dev/nvidiactl").exists():
        notes.append(f"has no accelerator: {count} asked for, none on this machine")
    elif count:
        flags += ["--device", "nvidia.com/gpu=all"] if runtime.name == "podman" else ["--gpus", str(count)]
    return flags, notes


def shared_memory(size: Any) -> str:
    """The flag for /dev/shm of a size such as 1Gi; without one half of the memory, as a cluster gives."""
    return f"--shm-size={int(_amount(size) or _memory() / 2)}b"


def mark(folder: Path, runtime: Runtime) -> None:
    """Notes that a run starts containers, before it starts the first."""
    if not (folder / MARKER).exists():
        (folder / MARKER).write_text(json.dumps([runtime.name, runtime.program]), "utf-8")


def sweep(folder: Path) -> None:
    """Ends and removes the containers of a run that has ended, or whose worker is gone."""
    try:
        name, program = json.loads((folder / MARKER).read_text("utf-8"))
    except FileNotFoundError:
        return  # it started none
    except (OSError, ValueError, TypeError) as error:
        logger.warning("%s: whether containers of the run are left is not known: %s", folder / MARKER, error)
        return
    Runtime(name, program).remove(f"{LABEL}={folder.absolute()}")
    with contextlib.suppress(OSError):
        (folder / MARKER).unlink(missing_ok=True)


_WORKS: set[Runtime] = set()


def _why_silent(runtime: Runtime) -> str:
    """As its `why_silent`; that it works is remembered, that it does not is not: a daemon may be started."""
    if runtime in _WORKS:
        return ""
    why = runtime.why_silent()
    if not why:
        _WORKS.add(runtime)
    return why


@cache
def _memory() -> float:
    """Bytes of this machine."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if sys.platform != "win32" else 0.0


_UNITS = {
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def _amount(text: Any) -> float:
    """A quantity as Kubernetes writes it, such as 500m or 2Gi; 0 where there is none."""
    words = str(text or "0").strip()
    digits = words.rstrip("mkMGTKi")
    try:
        return float(digits) * _UNITS.get(words[len(digits) :], 1.0)
    except ValueError as error:
        raise RunError(f"{words!r} is not a quantity as Kubernetes writes it (500m, 2Gi)") from error


def _mount(mount: Mount) -> str:
    for path in (str(mount.source), mount.target):
        if "," in path or '"' in path:
            raise RunError(f"no container can be given {path!r}: its name has a comma or a quote")
    read_only = ",readonly" if mount.read_only else ""
    return f"type=bind,source={mount.source},target={mount.target}{read_only}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "it exited without output")[:300]
