"""Finds a task's part by name: a task is a folder beside this file, and one word in `config.Task`.

Each part has a module here that says what it must be able to do (`answer.py`, `score.py`, ...); a task's
folder has a module of the same name that does it. A task is looked up by name, so that a server loads no
training and training no server.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import get_args

from linnet.config import Task
from linnet.errors import ConfigError

DYNAMIC_IMPORTS: tuple[str, ...] = ()
"""Each part's module names its own: who asks for answers reaches those alone."""
TASKS: tuple[str, ...] = get_args(Task)


def part(task: str, name: str) -> ModuleType:
    """The module `name` of a task.

    Raises:
        ConfigError: this version of Linnet knows no such task, or the task has no such part.
    """
    if task not in TASKS:
        raise ConfigError("data.task", f"'{task}' is unknown to this version", f"known: {', '.join(TASKS)}")
    wanted = f"linnet.tasks.{task}.{name}"
    try:
        return import_module(wanted)
    except ModuleNotFoundError as error:
        if error.name != wanted:
            raise
        raise ConfigError(
            "data.task", f"is {task}, which has no '{name}'", "ask a task that has it"
        ) from error
