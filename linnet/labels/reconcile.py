"""Brings the answers that people gave into the label table; the server's word counts, not its webhooks.

A webhook is posted once and never again, so it can only say "look now". What is collected is decided
by asking the server what changed since a cursor, with an overlap, and by a look at everything whenever
the server holds more answers than the table (a clock that ran backwards hides answers from a cursor).
Answers are appended before the cursor moves, and an answer that is there is not added again: a kill at
any moment loses nothing and doubles nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice

from linnet.config import LabelsConfig
from linnet.errors import LabelServerError
from linnet.labels.consensus import consensus
from linnet.labels.export import exclusive, unanswered
from linnet.labels.queue import LabelRequest, Question
from linnet.labels.rounds import LabelTask, Rounds
from linnet.labels.server import Annotation, LabelServer, ServerTask
from linnet.labels.store import EPOCH, to_micros
from linnet.labels.table import LabelRow, LabelTable
from linnet.progress import Progress
from linnet.records import now
from linnet.tasks.label_form import BadAnswer

OVERLAP = timedelta(seconds=60)
"""How far behind the cursor a look begins: a change may be written later than it is dated."""
CHUNK = 500
"""Tasks whose answers are appended in one transaction."""
_DELETED = "its answer was deleted on the label server"


@dataclass(slots=True)
class Pulled:
    """What a look at the server brought."""

    added: int = 0
    repeated: int = 0
    quarantined: int = 0
    open: int = 0
    """Tasks that still wait for somebody."""
    more_asked: int = 0
    """Tasks that one more person was asked about."""
    lost: int = 0
    """Tasks that somebody deleted on the server."""
    closed: list[str] = field(default_factory=list)
    """Batches that are complete with these answers."""


def pull(
    name: str,
    server: LabelServer,
    config: LabelsConfig,
    question: Question,
    full: bool = False,
    progress: Progress | None = None,
) -> Pulled:
    """Collects what is new, asks for third opinions, and closes complete rounds.

    Args:
        name: The dataset's name.
        server: Where its tasks are.
        config: Annotators a sample, agreement, when a round is complete.
        question: What was asked; labels that do not answer it go to the quarantine.
        full: Look at every task, not only at those that changed.
        progress: Told ("collecting answers", tasks, of how many).

    Raises:
        LabelServerError: the server cannot be reached or refuses, or nothing was exported to it.
        ProjectGone: somebody deleted the project; every answer collected before is kept.
        StorageError: the label table is damaged, or the disk is full.
    """
    with exclusive(name):
        look = _Look(name, server, config, question)
        look.collect(full, progress)
        look.ask_more()
        if look.complete():
            look.collect(True, progress)  # once more, all of it, before a round is closed for good
        look.close()
        look.found.open = len(look.waiting())
        return look.found


class _Look:
    """One look at the server."""

    def __init__(self, name: str, server: LabelServer, config: LabelsConfig, question: Question) -> None:
        self.found = Pulled()
        self.server, self.config = server, config
        self.task, self.interface = question.task, question.form()
        self.rounds, self.table = Rounds(name), LabelTable(name)
        known = self.rounds.project(server.name)
        if known is None:
            problem = f"no task of '{name}' was exported to it"
            raise LabelServerError(server.url, problem, "`linnet labels export` does that")
        self.project, self.cursor = known
        self.requests = self.rounds.requests()
        self.prefix = f"{server.name}/{self.project}/"

    def collect(self, full: bool, progress: Progress | None) -> None:
        """Appends what is new; everything is looked at if need be."""
        project = self.server.project(self.project)
        everything = full or self.cursor == EPOCH
        if not everything:
            self._take(self.server.tasks(self.project, self.cursor - OVERLAP), None, progress)
            everything = project.answers > len(self._known_answers())
        if everything:
            seen: dict[int, set[int]] = {}
            self._take(self.server.tasks(self.project), seen, progress)
            self._lose(seen)

    def ask_more(self) -> None:
        """Lets one more person decide where those who were asked do not agree; once a sample."""
        if not self.config.tie_breaker or self.config.annotators < 2:
            return
        together = consensus(self.table.as_of(now()), self.task)
        split = {
            item.sample_id
            for item in together
            if not item.label or item.agreement < self.config.min_agreement
        }
        waiting = {task.key for task in self.waiting()}
        for task in self._tasks():
            may = task.key not in waiting and not task.gone and task.wanted <= self.config.annotators
            if may and task.sample_id in split:
                self.server.ask_more(task.id, task.wanted + 1)
                self.rounds.want(task, task.wanted + 1)
                self.found.more_asked += 1

    def waiting(self) -> list[LabelTask]:
        """Tasks that fewer people answered than were asked."""
        return unanswered(self._tasks(), self.table.history())

    def complete(self) -> list[str]:
        """Batches that are not closed and have all their answers, or enough of them."""
        closed = self.rounds.closed()
        waiting = {task.batch for task in self.waiting()}
        waiting |= {request.batch for request in self.rounds.unexported()}
        labels: dict[str, int] = defaultdict(int)
        for row in self.table.as_of(now()):
            labels[row.batch] += row.status == "label"
        enough = self.config.train_after_labels
        batches = dict.fromkeys(task.batch for task in self._tasks())
        return [
            batch
            for batch in batches
            if batch not in closed and (batch not in waiting or (enough and labels[batch] >= enough))
        ]

    def close(self) -> None:
        """Closes complete rounds as of now: later answers belong to later label sets."""
        for batch in self.complete():
            self.rounds.close(batch, self.table.freeze())
            self.found.closed.append(batch)

    def _take(
        self, tasks: Iterable[ServerTask], seen: dict[int, set[int]] | None, progress: Progress | None
    ) -> None:
        """Appends the answers of tasks, a chunk at a time; the cursor follows each chunk."""
        ours = {task.key: task for task in self.rounds.tasks().values()}
        known = self._known_versions()
        done = 0
        for chunk in _chunks(tasks, CHUNK):
            rows = [row for task in chunk for row in self._rows(task, ours, known)]
            appended = self.table.append(rows)
            self.found.added += appended.added
            self.found.repeated += appended.repeated
            self.found.quarantined += appended.quarantined
            self.rounds.advance(self.server.name, max(task.updated_at for task in chunk))
            if seen is not None:
                seen |= {task.id: {answer.id for answer in task.annotations} for task in chunk}
            done += len(chunk)
            if progress:
                progress("collecting answers", done, max(done, len(ours)))

    def _rows(self, task: ServerTask, ours: Mapping[str, LabelTask], known: set[str]) -> Iterator[LabelRow]:
        """The new answers of one task; what cannot be used goes to the quarantine."""
        request = self.requests.get(task.key)
        for answer in task.annotations:
            source = f"{self.prefix}{answer.id}@{to_micros(answer.updated_at)}"
            if source in known:
                continue
            try:
                yield self._row(task, answer, request, ours.get(task.key), source)
            except BadAnswer as problem:
                facts = {"source": source, "task": task.id, "key": task.key, "annotator": answer.annotator}
                facts |= {"result": answer.raw.get("result"), "labelled_at": answer.updated_at.isoformat()}
                self.table.quarantine_answer(facts, str(problem))
                self.found.quarantined += 1

    def _row(
        self,
        task: ServerTask,
        answer: Annotation,
        request: LabelRequest | None,
        ours: LabelTask | None,
        source: str,
    ) -> LabelRow:
        if request is None:
            raise BadAnswer(f"task {task.id} is not one that Linnet exported: its sample is unknown")
        status, label = self.interface.answer(answer.raw)
        waited = (answer.updated_at - ours.exported_at).total_seconds() if ours else None
        return LabelRow(
            sample_id=request.sample_id,
            label=label,
            annotator=answer.annotator,
            labelled_at=answer.updated_at,
            batch=request.batch,
            status=status,
            reason=request.reasons[0],
            latency=max(waited, 0.0) if waited is not None else None,
            source=source,
        )

    def _lose(self, seen: Mapping[int, set[int]]) -> None:
        """After a look at everything: what somebody deleted on the server. Answers of old stay known."""
        lost = [task for task in self._tasks() if not task.gone and task.id not in seen]
        self.rounds.lose(lost, "somebody deleted the task on the label server")
        self.found.lost += len(lost)
        ids = {(task.batch, task.sample_id): task.id for task in self._tasks() if task.id in seen}
        withdrawn = [
            LabelRow(
                sample_id=row.sample_id,
                label="",
                annotator=row.annotator,
                labelled_at=max(now(), row.labelled_at),
                batch=row.batch,
                status="skipped",
                comment=_DELETED,
                reason=row.reason,
                source=f"{row.source}#deleted",
            )
            for row in self.table.as_of(now())
            if (place := ids.get((row.batch, row.sample_id))) is not None
            and row.source.startswith(self.prefix)
            and "#" not in row.source
            and _answer_id(row.source) not in seen[place]
        ]
        self.found.added += self.table.append(withdrawn).added

    def _tasks(self) -> list[LabelTask]:
        place = (self.server.name, self.project)
        return [task for task in self.rounds.tasks().values() if (task.server, task.project) == place]

    def _known_versions(self) -> set[str]:
        """Names of the answers, each in a version, that are in the table or in quarantine."""
        rows = {row.source for row in self.table.history() if row.source.startswith(self.prefix)}
        kept = (json.loads(text).get("source", "") for text, _ in self.table.quarantined())
        return rows | {source for source in kept if source.startswith(self.prefix)}

    def _known_answers(self) -> set[int]:
        return {_answer_id(source) for source in self._known_versions()}


def _answer_id(source: str) -> int:
    return int(source.rpartition("/")[2].partition("@")[0])


def _chunks(tasks: Iterable[ServerTask], size: int) -> Iterator[list[ServerTask]]:
    stream = iter(tasks)
    while chunk := list(islice(stream, size)):
        yield chunk
