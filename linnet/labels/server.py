"""What Linnet asks of a label server: a narrow protocol; Label Studio and a memory implement it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

KEY = "linnet"
"""Where a task's `meta` holds its idempotency key: {"linnet": "BATCH:SAMPLE"}."""


@dataclass(frozen=True, slots=True)
class NewTask:
    """A question as it is exported."""

    key: str
    """Idempotency key, `BATCH:SAMPLE`: the server keeps it, and a second import of it is seen."""
    image: bytes
    """In one of the formats that are read (`vision.formats`)."""
    data: dict[str, Any]
    """What the annotator may see, besides the image."""
    predictions: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Annotation:
    """One answer on the server, in its present version."""

    id: int
    annotator: str
    updated_at: datetime
    raw: Mapping[str, Any]
    """As the server gave it: the interface reads the label out of it."""


@dataclass(frozen=True, slots=True)
class ServerTask:
    """One task on the server."""

    id: int
    key: str
    """Empty where Linnet did not export it."""
    updated_at: datetime
    annotations: tuple[Annotation, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Project:
    """A project on the server."""

    id: int
    title: str
    parsed_config: Mapping[str, Any]
    answers: int
    """Annotations and skips that it holds now."""


class LabelServer(Protocol):
    """Every method raises LabelServerError: unreachable, wrong token, refused; ProjectGone: deleted."""

    @property
    def url(self) -> str:
        """Its address, for messages."""

    @property
    def name(self) -> str:
        """What the label table calls it: stays the same when the address changes."""

    def check(self) -> None:
        """Asks for the version and who we are."""

    def find_project(self, title: str) -> int | None:
        """The id of the oldest project with this title."""

    def create_project(self, title: str, config: str, annotators: int) -> int:
        """Makes a project whose tasks are done when `annotators` people answered."""

    def project(self, project: int) -> Project:
        """The project as it is."""

    def add_tasks(self, project: int, tasks: Sequence[NewTask]) -> None:
        """Imports tasks; whether they are there is seen in `tasks`, after a kill too."""

    def tasks(
        self, project: int, since: datetime | None = None, answers: bool = True
    ) -> Iterator[ServerTask]:
        """Tasks that changed at or after `since` (None: all), the longest unchanged first, each once.

        A task that changes while the tasks are read may come again. Without `answers`, `annotations`
        are empty, which is quicker.
        """

    def ask_more(self, task: int, annotators: int) -> None:
        """Lets the task be done only when so many people answered."""

    def delete_task(self, task: int) -> None:
        """Removes a task that nobody answered."""

    def ensure_webhook(self, project: int, url: str, headers: Mapping[str, str]) -> None:
        """Lets the project tell `url` of answers; a hook for that address is replaced."""
