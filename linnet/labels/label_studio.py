"""Label Studio's REST API behind the LabelServer protocol (https://api.labelstud.io).

Plain HTTP and not its SDK: nine calls, and importing the SDK costs seconds in every step.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from linnet.errors import ConfigError, LabelServerError, ProjectGone
from linnet.labels.label_studio_answers import complaint_of, json_of
from linnet.labels.server import KEY, Annotation, NewTask, Project, ServerTask
from linnet.records import utc_time
from linnet.vision.formats import format_of

TOKEN_VARIABLE = "LABEL_STUDIO_TOKEN"  # noqa: S105  a variable's name
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_PAGE = 500
_UPLOADS = 50
"""Images a request: Django refuses more than 100 files."""
_ACTIONS = [
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
    "TASKS_DELETED",
]
_IMAGES = "Linnet images"
_IMAGES_CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="none" toName="image"><Choice value="-"/>'
    "</Choices></View>"
)
_TASK = "id,meta,updated_at"
_ANSWERS = ",annotations,result,completed_by,was_cancelled,lead_time,created_at"
"""The server picks these names in a task and in its annotations alike."""


class LabelStudio:
    """A Label Studio server, 1.13 or later, with a legacy token or a personal access token."""

    def __init__(self, url: str, token: str, images: str = "data-uri", name: str = "") -> None:
        """`images`: "data-uri" puts the image into the task, "server" uploads it to the server."""
        self._url = url.rstrip("/")
        self._label = name or self._url
        self._upload = images == "server"
        self._people: dict[int, str] = {}
        self._token = token
        self._client = httpx.Client(base_url=self._url, timeout=_TIMEOUT, headers=self._authorization())

    def __repr__(self) -> str:
        return f"LabelStudio({self._url!r})"  # no token in a log or a traceback

    def __enter__(self) -> LabelStudio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Its address."""
        return self._url

    @property
    def name(self) -> str:
        """The address, or `local` for the server of this machine, whose port may change."""
        return self._label

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def check(self) -> None:
        """Asks who we are: says at once whether address and token are right."""
        self._json("GET", "/api/current-user/whoami")

    def find_project(self, title: str) -> int | None:
        """The oldest project of this very title (the server's own filter also finds parts of it)."""
        query = {"title": title, "page_size": 1000, "include": "id,title"}
        found = self._json("GET", "/api/projects/", params=query)["results"]
        return min((int(one["id"]) for one in found if one["title"] == title), default=None)

    def create_project(self, title: str, config: str, annotators: int) -> int:
        """Makes the project, with pre-annotations shown."""
        settings = {
            "title": title,
            "label_config": config,
            "maximum_annotations": annotators,
            "show_collab_predictions": True,
            "description": "Made by Linnet: answers are collected by themselves.",
        }
        return int(self._json("POST", "/api/projects", json=settings)["id"])

    def project(self, project: int) -> Project:
        """The project as it is."""
        found = self._json("GET", f"/api/projects/{project}", project=project)
        answers = (found["total_annotations_number"] or 0) + (found["skipped_annotations_number"] or 0)
        return Project(int(found["id"]), str(found["title"]), found["parsed_label_config"] or {}, answers)

    def add_tasks(self, project: int, tasks: Sequence[NewTask]) -> None:
        """Imports tasks, their images first where they go to the server's storage."""
        places = self._uploaded(tasks) if self._upload else [_data_uri(task.image) for task in tasks]
        body: list[dict[str, Any]] = [
            {
                "data": {**task.data, "image": place},
                "meta": {KEY: task.key},
                "predictions": list(task.predictions),
            }
            for task, place in zip(tasks, places, strict=True)
        ]
        self._json("POST", f"/api/projects/{project}/import", project=project, json=body)

    def tasks(
        self, project: int, since: datetime | None = None, answers: bool = True
    ) -> Iterator[ServerTask]:
        """By last change, page by page: each asks for what changed since the last task of the one before.

        Numbered pages would skip a task whenever another one changes between two pages.
        """
        seen: dict[int, datetime] = {}
        moment, size = since, _PAGE
        while True:
            query = _query(project, moment, size, answers)
            found = self._json("GET", "/api/tasks", project=project, params=query)["tasks"]
            fresh = [task for row in found if seen.get((task := self._task(row)).id) != task.updated_at]
            for task in fresh:
                seen[task.id] = task.updated_at
                yield task
            if len(found) < size:
                return
            # A whole page of tasks that changed at one moment: ask for a larger one.
            size = size if fresh else 2 * size
            moment = max([task.updated_at for task in fresh], default=moment)

    def ask_more(self, task: int, annotators: int) -> None:
        """Raises the task's overlap: it comes back to the queue of those who have not answered it."""
        self._json("PATCH", f"/api/tasks/{task}", json={"overlap": annotators})

    def delete_task(self, task: int) -> None:
        """Removes a task; one that is gone already is fine."""
        with contextlib.suppress(_NotFound):
            self._json("DELETE", f"/api/tasks/{task}")

    def ensure_webhook(self, project: int, url: str, headers: Mapping[str, str]) -> None:
        """One active hook of ours for the project: older ones, to whatever port, are removed."""
        path = url.split("://", 1)[-1].partition("/")[2]
        for hook in self._json("GET", "/api/webhooks/", params={"project": project}):
            if hook["url"].endswith("/" + path):
                self._json("DELETE", f"/api/webhooks/{hook['id']}/")
        body = {
            "url": url,
            "project": project,
            "headers": dict(headers),
            "actions": _ACTIONS,
            "send_payload": True,
            "send_for_all_actions": False,
            "is_active": True,
        }
        self._json("POST", "/api/webhooks/", json=body)

    def _uploaded(self, tasks: Sequence[NewTask]) -> list[str]:
        """Uploads the images; their addresses on the server, in order.

        Into a project of their own: Label Studio takes files only where a task shows nothing else.
        """
        project = self.find_project(_IMAGES) or self.create_project(_IMAGES, _IMAGES_CONFIG, 1)
        names = [f"{task.key.replace(':', '-')}.{_kind(task.image)}" for task in tasks]
        files = [
            (f"file{i}", (name, task.image, f"image/{_kind(task.image)}"))
            for i, (name, task) in enumerate(zip(names, tasks, strict=True))
        ]
        path, only_store = f"/api/projects/{project}/import", {"commit_to_project": "false"}
        for start in range(0, len(files), _UPLOADS):
            part = files[start : start + _UPLOADS]
            self._json("POST", path, project=project, params=only_store, files=part)
        listed = self._json("GET", f"/api/projects/{project}/file-uploads", params={"all": "true"})
        # The server puts eight characters and a dash before a file's name.
        places = {Path(one["file"]).name.partition("-")[2]: f"/data/{one['file']}" for one in listed}
        return [places[name] for name in names]

    def _task(self, row: Mapping[str, Any]) -> ServerTask:
        answers = tuple(
            Annotation(int(raw["id"]), self._name(raw.get("completed_by")), utc_time(raw["updated_at"]), raw)
            for raw in row.get("annotations") or ()
        )
        key = str((row.get("meta") or {}).get(KEY, ""))
        return ServerTask(int(row["id"]), key, utc_time(row["updated_at"]), answers)

    def _name(self, person: Any) -> str:
        """The e-mail address of whoever answered; people are asked for once, and again for a new one."""
        if isinstance(person, Mapping):
            return str(person.get("email") or person.get("id"))
        if person not in self._people:
            self._people = {int(one["id"]): str(one["email"]) for one in self._json("GET", "/api/users/")}
        return self._people.get(person, f"user {person}")

    def _authorization(self) -> dict[str, str]:
        """A personal access token is a JWT (it has dots) and is exchanged; a legacy one goes as it is."""
        return {} if "." in self._token else {"Authorization": f"Token {self._token}"}

    def _refresh(self) -> None:
        answer = self._client.post("/api/token/refresh", json={"refresh": self._token}, headers={})
        if answer.status_code == 200:
            self._client.headers["Authorization"] = f"Bearer {answer.json()['access']}"

    def _json(self, method: str, path: str, project: int | None = None, **more: Any) -> Any:
        """One request; its answer, or one error that says what to do."""
        try:
            answer = self._client.request(method, path, **more)
            if answer.status_code == 401 and "." in self._token:
                self._refresh()
                answer = self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            problem = f"does not answer ({type(error).__name__}: {error})"
            remedy = "start it (`linnet labels up`), or fix labels.server"
            raise LabelServerError(self._url, problem, remedy, transient=True) from error
        if answer.is_success:
            return json_of(answer, self._url)
        if answer.status_code in (401, 403):
            remedy = (
                f"fix labels.token_file or {TOKEN_VARIABLE}: Label Studio shows it under Account & Settings"
            )
            raise LabelServerError(self._url, f"refuses the token ({answer.status_code})", remedy)
        if answer.status_code == 404 and project is not None:
            raise ProjectGone(self._url, project)
        failed = f"{method} {path} answers {answer.status_code}: {complaint_of(answer)}"
        kind = _NotFound if answer.status_code == 404 else LabelServerError
        raise kind(self._url, failed, transient=answer.status_code >= 500)


class _NotFound(LabelServerError):
    """A task or hook that is not there."""


def read_token(token_file: str) -> str:
    """The access token of a configured server.

    Raises:
        ConfigError: there is none.
    """
    if not token_file:
        if token := os.environ.get(TOKEN_VARIABLE, "").strip():
            return token
        raise ConfigError("labels.token_file", "no token is given", f"name a file, or set {TOKEN_VARIABLE}")
    try:
        token = Path(token_file).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("labels.token_file", f"{token_file} cannot be read: {error}") from error
    if not token:
        raise ConfigError("labels.token_file", f"{token_file} is empty", "put the access token there")
    return token


def _query(project: int, since: datetime | None, size: int, answers: bool) -> dict[str, Any]:
    items = []
    if since is not None:
        value = since.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        items = [
            {
                "filter": "filter:tasks:updated_at",
                "operator": "greater_or_equal",
                "type": "Datetime",
                "value": value,
            }
        ]
    view = {"filters": {"conjunction": "and", "items": items}, "ordering": ["tasks:updated_at"]}
    fields = ("all", _TASK + _ANSWERS) if answers else ("task_only", _TASK)
    wanted = dict(zip(("fields", "include"), fields, strict=True))
    return {"project": project, "page": 1, "page_size": size, "query": json.dumps(view), **wanted}


def _kind(image: bytes) -> str:
    known = format_of(image)
    return known.media_types[0].removeprefix("image/") if known is not None else "png"


def _data_uri(image: bytes) -> str:
    return f"data:image/{_kind(image)};base64,{base64.b64encode(image).decode()}"
