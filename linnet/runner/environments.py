"""Environments for `packages_to_install`: made once a set of packages, below `.linnet/environments`.

A folder is named by what makes it: the requirements, the index settings and this Python. The task that
needs it first makes it, under a lock, and shows in its log what the installer says; a failed installation
is that task's failure. A finished environment needs no network.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from linnet.cache.digest import value_digest
from linnet.runner.sweep import ENVIRONMENTS, keep, lock_file
from linnet.storage.locks import file_lock
from linnet.storage.paths import state_dir

_WITH_VALUE = {"--index-url", "--extra-index-url", "--trusted-host", "-i", "--find-links", "-f"}
_FOR_UV = {"--trusted-host": "--allow-insecure-host", "-i": "--index-url", "-f": "--find-links"}
_DONE = "installed"


@dataclass(frozen=True)
class Packages:
    """What a component installs before it runs."""

    requirements: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Of pip, each as one word or two: where the packages come from."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The requirements that this Python's environment does not meet."""
        return tuple(text for text in self.requirements if not _is_met(text))


def packages_of(command: Sequence[str], mark: str) -> Packages:
    """What a component's command installs; `mark`: a word with it runs the component and installs nothing."""
    requirements: dict[str, None] = {}
    options: list[str] = []
    for word in command:
        if "pip install" not in word or mark in word:
            continue
        for part in re.findall(r"pip install ([^&|\n]*)", word):
            tokens = iter(shlex.split(part))
            for token in tokens:
                if token in _WITH_VALUE:
                    _add_option(options, token, next(tokens, ""))
                elif not token.startswith("-"):
                    requirements[token] = None
    return Packages(tuple(requirements), tuple(options))


def _add_option(options: list[str], name: str, value: str) -> None:
    """A component installs in several calls, each with all options; of two indexes one is the main one."""
    pairs = list(zip(options[::2], options[1::2], strict=True))
    indexes = {known for option, known in pairs if "index" in option or option == "-i"}
    is_index = "index" in name or name == "-i"
    if (value in indexes) if is_index else ((name, value) in pairs):
        return
    if is_index and indexes:
        name = "--extra-index-url"
    options += [name, value]


def make(packages: Packages) -> str:
    """The Python of an environment with the packages, which is made if need be.

    Nobody sweeps it while this process, or the program that it becomes, lives.

    Raises:
        SystemExit: they cannot be installed; it says what the installer said.
    """
    wanted = [f"kfp=={metadata.version('kfp')}", *(r for r in packages.requirements if _name(r) != "kfp")]
    about = [sorted(wanted), list(packages.options), sys.version, sys.prefix]
    folder = state_dir().absolute() / ENVIRONMENTS / value_digest(about)[:24]
    python = folder / "bin" / "python"
    while True:
        with file_lock(lock_file(folder)):
            if not (folder / _DONE).exists():
                shutil.rmtree(folder, ignore_errors=True)
                print(f"installing {' '.join(packages.requirements)} ...", flush=True)
                for words in _commands(folder, python, wanted, packages.options):
                    _run(words, packages)
                (folder / _DONE).write_text("\n".join(wanted), "utf-8")
        keep(folder)
        if (folder / _DONE).exists():  # else it was swept between the two locks
            return str(python)


def _commands(folder: Path, python: Path, wanted: Sequence[str], options: Sequence[str]) -> list[list[str]]:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        return [[sys.executable, "-m", "venv", str(folder)], [*install, *options, *wanted]]
    translated = [_FOR_UV.get(word, word) for word in options]
    return [
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--python", str(python), *translated, *wanted],
    ]


def _run(words: Sequence[str], packages: Packages) -> None:
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line.strip())
    if process.returncode != 0:
        why = " ".join(line for line in said[-6:] if line)[-400:]
        raise SystemExit(f"packages_to_install {' '.join(packages.requirements)} cannot be installed: {why}")


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def _is_met(text: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return False  # an address or a path: the installer knows
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        there = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    # The SDK's executor of any 2.x reads what any other writes.
    return requirement.name == "kfp" or requirement.specifier.contains(there, prereleases=True)
