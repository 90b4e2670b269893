"""One task's program in a process of its own: forked from the run's worker, which has the SDK loaded.

Starting Python and importing the SDK takes longer than a cached step; a fork takes milliseconds, and
the child shares nothing that it writes with anybody.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

from linnet.config import ContainerSetting
from linnet.errors import LinnetError
from linnet.process import tree
from linnet.runner import forked, remote
from linnet.runner.containers import Container
from linnet.runner.environments import Packages, make
from linnet.runner.mounts import Mount, enter

MARK = "kfp.dsl.executor_main"
MODULE = "ephemeral_component.py"
"""The file of a component's code, as its own command calls it on a cluster."""
_READ_ONCE = (
    *("PYTHON", "LD_", "MALLOC_", "LC_", "LANG", "TZ", "TMP", "HOME", "XDG_"),
    *("OMP_", "OPENBLAS_", "GOTO_", "MKL_", "KMP_", "NUMEXPR_", "NPY_", "ARROW_", "CUDA_", "PYTORCH_", "MPL"),
)
"""Beginnings of variables that an interpreter, its loader or a library reads once, when it is loaded."""
_LONGEST_LOGGED = 1 << 16
"""Characters of an executor's input up to which its log shows it, indented: more takes seconds a value."""
_FROM_FILE = (
    "import json, runpy, sys; sys.argv[1:] = json.load(open(sys.argv[1])); "
    f"runpy.run_module({MARK!r}, run_name='__main__', alter_sys=True)"
)
"""A program with its arguments in a file: the kernel takes no argument of more than 128 KiB."""


def source_of(command: Sequence[str]) -> str | None:
    """The Python source within a lightweight component's command; None for any other component."""
    for position, word in enumerate(command[:-1]):
        if MARK in word and "ephemeral_component.py" in word:
            return command[position + 1]
    return None


@dataclass(frozen=True)
class Import:
    """What an importer does: it brings what an address names to this machine."""

    uri: str
    setting: ContainerSetting
    told: Path
    """Where it writes the path at which that lies now."""

    def run(self) -> None:
        """Fetches it.

        Raises:
            RunError: it cannot be had.
        """
        self.told.write_text(str(remote.fetch(self.uri, self.setting)), "utf-8")


@dataclass(frozen=True)
class Program:
    """What a child executes."""

    source: Path
    """The component's Python file."""
    words: Sequence[str]
    """Its arguments."""
    environment: Mapping[str, str]
    log: Path
    """Where its output goes."""
    fresh: bool = False
    """Whether it needs an interpreter of its own: the library's files changed since this one loaded them."""
    packages: Packages | None = None
    """What must be installed for it: it gets an environment of its own then."""
    mounts: Sequence[Mount] = ()
    """Folders that it sees elsewhere."""
    command: Sequence[str] = ()
    """A command of its own: its words are executed, and no Python file."""
    executable: str = ""
    """The program that such a command becomes, which is told the command's words; its first word if empty."""
    container: Container | None = None
    """A container that it is to be: no Python file is executed."""
    imports: Import | None = None
    """What it is to bring here: no Python file is executed."""


def start(program: Program, close: Sequence[int]) -> int:
    """Forks a process that executes a program, in a process group of its own; its id.

    It lacks the descriptors `close`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _become(program, close)
    return pid


def _become(program: Program, close: Sequence[int]) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)
        tree.adopt_orphans()  # as a container's first process does: what it leaves ends with it
        forked.renew()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL if number != signal.SIGPIPE else signal.SIG_IGN)
        for descriptor in close:
            os.close(descriptor)
        output = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.update(program.environment)
        os.environ["_KFP_RUNTIME"] = "true"
        if program.mounts:
            enter(program.mounts, program.source.parent / "root")
        _execute(program)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except KeyboardInterrupt:
        code = 130
    except BaseException:  # noqa: BLE001  whatever a component raises ends here, as in a process of its own
        traceback.print_exc()
    finally:
        _leave(code)


def _execute(program: Program) -> None:
    try:
        if program.imports is not None:
            program.imports.run()
            return
        if program.container is not None:
            program.container.become()
    except LinnetError as error:
        raise SystemExit(str(error)) from None
    if program.command:
        _execute_command(program)
    words = ["--component_module_path", str(program.source), *program.words]
    python = make(program.packages) if program.packages is not None else sys.executable
    own = program.fresh or any(name.startswith(_READ_ONCE) for name in program.environment)
    if own or program.packages is not None:
        file = program.source.with_name("arguments.json")
        file.write_text(json.dumps(words), "utf-8")
        os.execve(python, [python, "-c", _FROM_FILE, str(file)], dict(os.environ))  # noqa: S606
    from kfp.dsl import executor_main

    if sum(map(len, words)) > _LONGEST_LOGGED:
        executor_main.json = SimpleNamespace(loads=json.loads, dumps=_elided)
    sys.argv = [str(executor_main.__file__), *words]
    # What a component starts with multiprocessing's `spawn` must not run the worker's main module again.
    sys.modules["__main__"] = executor_main
    executor_main.executor_main()


def _execute_command(program: Program) -> NoReturn:
    """Becomes a command of this machine, in the folder of the task; `python` is this interpreter.

    What Linnet's own steps are told (where its state is, its tokens) is not told to it.
    """
    os.chdir(program.source.parent)
    for name in [name for name in os.environ if name.startswith("LINNET_")]:
        del os.environ[name]
    path = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    try:
        os.execvp(program.executable or program.command[0], list(program.command))  # noqa: S606
    except FileNotFoundError:
        raise SystemExit(f"there is no program {program.command[0]!r} on this machine") from None


def _elided(_message: object, indent: int = 0) -> str:
    """What a log says in the place of a long executor input."""
    return f"{{\n{' ' * indent}...: too long to be shown\n}}"


def _leave(code: int) -> NoReturn:
    """What the interpreter does at its end; the worker's own clean-up was cleared."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001  nobody is left to be told
        code = code or 1
    finally:
        os._exit(code)
