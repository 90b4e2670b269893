"""Puts queued requests before people: each becomes one task on the server, however often this runs.

The server is asked what it has before anything is imported and again afterwards, so that a kill at any
moment leaves nothing that the next export would do twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from linnet.config import LabelsConfig
from linnet.errors import LabelServerError, ProjectGone
from linnet.labels.queue import LabelRequest, Question
from linnet.labels.rounds import LabelTask, Rounds
from linnet.labels.select import UNBIASED
from linnet.labels.server import LabelServer, NewTask
from linnet.labels.store import database
from linnet.labels.table import LabelRow, LabelTable
from linnet.progress import Progress
from linnet.storage.locks import file_lock
from linnet.tasks.label_form import LabelForm
from linnet.vision.browser import for_browser

CHUNK = 200
"""Tasks an import."""
_WHY = {
    "suspect": "the model doubts its label",
    "margin": "the model hesitates between two answers",
    "entropy": "the model hesitates between many answers",
    "diverse": "nothing like it was labelled before",
    "production": "the model was unsure of it in production",
}
_DRAWN = "drawn at random"
"""Of random, audit and gold tasks: whoever knows that a task is a test answers it otherwise."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did."""

    project: int
    new: int
    """Tasks imported now."""
    found: int
    """Tasks that an earlier, interrupted export had imported."""
    waiting: int
    """Requests without an image to show; they stay queued."""


def export(
    name: str,
    server: LabelServer,
    config: LabelsConfig,
    question: Question,
    progress: Progress | None = None,
) -> Exported:
    """Exports every queued request of dataset `name` that has no task yet.

    Raises:
        LabelServerError: the server cannot be reached or refuses; or the project's labelling config was
            changed so that answers would not fit the dataset.
        ConfigError: a class is called as another answer of the form.
        StorageError: the label file is damaged, or the disk is full.
    """
    interface = question.form()
    rounds = Rounds(name)
    with exclusive(name):
        project = _project(name, server, config, interface, rounds)
        todo = rounds.unexported()
        if not todo:
            return Exported(project, 0, 0, 0)
        present = _present(server, project)
        found = rounds.exported(server.name, project, _wanted(present, todo), config.annotators)
        tasks = [
            task
            for request in todo
            if f"{request.batch}:{request.sample_id}" not in present
            and (task := _task(request, rounds, interface, config)) is not None
        ]
        for start in range(0, len(tasks), CHUNK):
            server.add_tasks(project, tasks[start : start + CHUNK])
            if progress:
                progress("exporting tasks", min(start + CHUNK, len(tasks)), len(tasks))
        present = _present(server, project) if tasks else present
        new = rounds.exported(server.name, project, _wanted(present, todo), config.annotators)
        if new < len(tasks):
            problem = f"took {new} of {len(tasks)} tasks"
            raise LabelServerError(server.url, problem, "export again: none is doubled", transient=True)
    return Exported(project, new, found, len(todo) - found - new)


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """One exporter or collector at a time for a dataset; a kill gives the lock back."""
    with file_lock(database(name).with_name("exchange.lock")):
        yield


def project_title(name: str, config: LabelsConfig) -> str:
    """The title of the dataset's project."""
    return config.project or f"Linnet {name}"


def unanswered(tasks: Sequence[LabelTask], rows: Sequence[LabelRow]) -> list[LabelTask]:
    """Tasks that fewer people answered than were asked; a lost one waits for nobody."""
    people: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        people[row.batch, row.sample_id].add(row.annotator)
    return [task for task in tasks if not task.gone and len(people[task.batch, task.sample_id]) < task.wanted]


def _project(
    name: str, server: LabelServer, config: LabelsConfig, interface: LabelForm, rounds: Rounds
) -> int:
    """The project to export to: the known one, one of our title, or a new one."""
    known = rounds.project(server.name)
    number = known[0] if known else None
    if number is not None:
        try:
            server.project(number)
        except ProjectGone:
            _reopen(name, server, number, rounds)
            number = None
    title = project_title(name, config)
    if number is None:
        number = server.find_project(title)
    if number is None:
        number = server.create_project(title, interface.config(), config.annotators)
    rounds.set_project(server.name, number)
    if problem := interface.fits(server.project(number).parsed_config):
        remedy = (
            f"fix the labelling config of project {number} ('{title}'), or set labels.project to a new title"
        )
        raise LabelServerError(server.url, problem, remedy)
    return number


def _reopen(name: str, server: LabelServer, project: int, rounds: Rounds) -> None:
    """A deleted project took its open tasks along: they are exported again. Answered ones are done."""
    lost = [task for task in rounds.tasks().values() if (task.server, task.project) == (server.name, project)]
    rounds.forget(unanswered(lost, LabelTable(name).history()))


def _present(server: LabelServer, project: int) -> dict[str, int]:
    """Task ids by key. A key that is there twice (a kill met a slow import) loses an unanswered copy."""
    copies: dict[str, list[int]] = defaultdict(list)
    for task in server.tasks(project, answers=False):
        if task.key:
            copies[task.key].append(task.id)
    twice = {key for key, ids in copies.items() if len(ids) > 1}
    if twice:
        answered = {task.id for task in server.tasks(project) if task.annotations}
        for key in twice:
            # The one to keep: an answered one, or else the oldest.
            ranked = sorted(copies[key], key=lambda number: (number not in answered, number))
            for number in ranked[1:]:
                if number not in answered:
                    server.delete_task(number)
            copies[key] = ranked[:1]
    return {key: ids[0] for key, ids in copies.items()}


def _wanted(present: dict[str, int], todo: Sequence[LabelRequest]) -> dict[str, int]:
    keys = (f"{request.batch}:{request.sample_id}" for request in todo)
    return {key: present[key] for key in keys if key in present}


def _task(
    request: LabelRequest, rounds: Rounds, interface: LabelForm, config: LabelsConfig
) -> NewTask | None:
    image = rounds.image(request.sample_id)
    if image is None:
        return None
    unbiased = request.reasons[0] in UNBIASED
    why = _DRAWN if unbiased else "; ".join(_WHY.get(reason, "") for reason in request.reasons).strip("; ")
    shown = [interface.prediction(request.predicted, request.confidence, request.model or "linnet")]
    return NewTask(
        key=f"{request.batch}:{request.sample_id}",
        image=for_browser(image),
        data={"why": f"Why this one: {why}.", "sample_id": request.sample_id},
        predictions=shown if config.pre_annotate and not unbiased and request.predicted else [],
    )
