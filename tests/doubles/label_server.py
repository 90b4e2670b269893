"""A label server in memory: what Linnet's own tests and a dry run talk to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from linnet.errors import ProjectGone
from linnet.labels.server import Annotation, NewTask, Project, ServerTask
from linnet.records import now


@dataclass
class _Project:
    title: str
    config: Mapping[str, Any]
    annotators: int
    tasks: dict[int, ServerTask] = field(default_factory=dict)
    overlap: dict[int, int] = field(default_factory=dict)
    asked: dict[int, NewTask] = field(default_factory=dict)


class MemoryLabelServer:
    """Tasks and answers in this process only; `answer` is what a person does."""

    url = name = "memory"

    def __init__(self, choices: Sequence[str], clock: Callable[[], datetime] = now) -> None:
        """`choices` stand in the config of every project, as Label Studio would have parsed it."""
        self.projects: dict[int, _Project] = {}
        self.hooks: dict[int, tuple[str, Mapping[str, str]]] = {}
        self.imports = 0
        self._parsed = {"label": {"type": "Choices", "labels": list(choices)}}
        self._clock = clock
        self._ids = itertools.count(1)

    def check(self) -> None:
        """Always there."""

    def find_project(self, title: str) -> int | None:
        """The oldest project with this title."""
        return min((number for number, one in self.projects.items() if one.title == title), default=None)

    def create_project(self, title: str, config: str, annotators: int) -> int:
        """Makes a project."""
        number = next(self._ids)
        self.projects[number] = _Project(title, self._parsed, annotators)
        return number

    def project(self, project: int) -> Project:
        """The project as it is."""
        found = self._project(project)
        answers = sum(len(task.annotations) for task in found.tasks.values())
        return Project(project, found.title, found.config, answers)

    def add_tasks(self, project: int, tasks: Sequence[NewTask]) -> None:
        """Imports tasks."""
        found = self._project(project)
        self.imports += 1
        for task in tasks:
            number = next(self._ids)
            found.tasks[number] = ServerTask(number, task.key, self._clock())
            found.asked[number] = task
            found.overlap[number] = found.annotators

    def tasks(
        self, project: int, since: datetime | None = None, answers: bool = True
    ) -> Iterator[ServerTask]:
        """Tasks that changed at or after `since`, the longest unchanged first."""
        found = sorted(self._project(project).tasks.values(), key=lambda task: (task.updated_at, task.id))
        for task in found:
            if since is None or task.updated_at >= since:
                yield task if answers else replace(task, annotations=())

    def ask_more(self, task: int, annotators: int) -> None:
        """Raises the overlap."""
        for project in self.projects.values():
            if task in project.tasks:
                project.overlap[task] = annotators
                project.tasks[task] = replace(project.tasks[task], updated_at=self._clock())

    def delete_task(self, task: int) -> None:
        """Removes a task."""
        for project in self.projects.values():
            project.tasks.pop(task, None)

    def ensure_webhook(self, project: int, url: str, headers: Mapping[str, str]) -> None:
        """Keeps the one.register_webhook of a project."""
        self.hooks[project] = (url, headers)

    def answer(
        self, task: int, annotator: str, choice: str | list[str] | None, annotation: int | None = None
    ) -> int:
        """A person answers (None: skips), or changes `annotation`; the annotation's id."""
        project = next(one for one in self.projects.values() if task in one.tasks)
        chosen = [choice] if isinstance(choice, str) else choice
        value = [{"from_name": "label", "type": "choices", "value": {"choices": chosen}}] if chosen else []
        moment = self._clock()
        number = annotation or next(self._ids)
        raw = {"id": number, "result": value, "was_cancelled": choice is None, "lead_time": 1.5}
        others = [one for one in project.tasks[task].annotations if one.id != number]
        given = Annotation(number, annotator, moment, raw)
        project.tasks[task] = replace(project.tasks[task], updated_at=moment, annotations=(*others, given))
        return number

    def _project(self, project: int) -> _Project:
        if project not in self.projects:
            raise ProjectGone(self.url, project)
        return self.projects[project]
