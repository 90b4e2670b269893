"""A small server that speaks the part of Label Studio's API that Linnet uses, for volume and for kills.

tests/labels/contract.py holds it and the real server to the same behavior.
"""

from __future__ import annotations

import itertools
import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

TOKEN = "stand-in-token"


class State:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ids = itertools.count(1)
        self.people: dict[str, int] = {}
        self.projects: dict[int, dict[str, Any]] = {}
        self.tasks: dict[int, dict[str, Any]] = {}
        self.annotations: dict[int, dict[str, Any]] = {}
        self.hooks: dict[int, dict[str, Any]] = {}
        self.last = ""

    def now(self) -> str:
        """Later than ever before, so that each change has a time of its own."""
        moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if moment <= self.last:
            whole, _, micro = self.last[:-1].partition(".")
            moment = f"{whole}.{int(micro) + 1:06d}Z"
        self.last = moment
        return moment

    def person(self, token: str) -> int:
        return self.people.setdefault(token, len(self.people) + 1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PATCH(self) -> None:
        self._handle("PATCH")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self, method: str) -> None:
        address = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = self.headers.get("Authorization", "").removeprefix("Token ")
        if not token.startswith(TOKEN):
            self._answer(401, {"detail": "Invalid token."})
            return
        parts = address.path.strip("/").split("/")[1:]
        with self.state.lock:
            status, body = self._route(method, parts, query, json.loads(data) if data else None, token)
        self._answer(status, body)

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode() if status != 204 else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _route(self, method: str, parts: list[str], query: dict[str, str], body: Any, token: str) -> Any:
        state = self.state
        number = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
        if parts[0] == "current-user":
            return 200, {"email": self._email(state.person(token))}
        if parts[0] == "users":
            return 200, [{"id": one, "email": self._email(one)} for one in state.people.values()]
        if parts[0] == "webhooks":
            return self._webhooks(method, number, query, body)
        if parts[0] == "projects" and not number:
            return self._projects(method, query, body)
        project = number if parts[0] == "projects" else int(query.get("project", 0))
        if project and project not in state.projects:
            return 404, {"detail": "No Project matches the given query."}
        if parts[0] == "projects" and len(parts) == 2:
            if method == "DELETE":
                del state.projects[number]
                return 204, None
            return 200, self._project(number)
        if parts[0] == "projects" and parts[2] == "import":
            return self._import(number, body)
        if parts[0] == "tasks" and not number:
            return self._list(project, query)
        if parts[0] == "annotations":
            return self._annotate(state.annotations[number]["task"], body, token, number)
        if number not in state.tasks:
            return 404, {"detail": "No Task matches the given query."}
        if len(parts) == 3:
            return self._annotate(number, body, token, 0)
        if method == "DELETE":
            del state.tasks[number]
            return 204, None
        if method == "PATCH":
            state.tasks[number] |= {"overlap": body["overlap"], "updated_at": state.now()}
        return 200, self._task(state.tasks[number], True)

    def _email(self, person: int) -> str:
        names = {number: token for token, number in self.state.people.items()}
        return (names[person].removeprefix(TOKEN).strip("-") or "linnet") + "@localhost.local"

    def _webhooks(self, method: str, number: int, query: dict[str, str], body: Any) -> Any:
        hooks = self.state.hooks
        if method == "DELETE":
            hooks.pop(number)
            return 204, None
        if method == "POST":
            number = next(self.state.ids)
            hooks[number] = {**body, "id": number}
            return 201, hooks[number]
        return 200, [hook for hook in hooks.values() if hook["project"] == int(query["project"])]

    def _projects(self, method: str, query: dict[str, str], body: Any) -> Any:
        if method == "POST":
            number = next(self.state.ids)
            self.state.projects[number] = {**body, "id": number}
            return 201, self._project(number)
        found = [one for one in self.state.projects.values() if query.get("title", "") in one["title"]]
        return 200, {"results": [{"id": one["id"], "title": one["title"]} for one in found]}

    def _project(self, number: int) -> dict[str, Any]:
        import xml.etree.ElementTree as ElementTree

        found = self.state.projects[number]
        answers = [one for one in self.state.annotations.values() if one["project"] == number]
        skipped = sum(one["was_cancelled"] for one in answers)
        root = ElementTree.fromstring(found["label_config"])
        control = root.find("Choices")
        assert control is not None
        labels = [choice.attrib["value"] for choice in control]
        parsed = {control.attrib["name"]: {"type": "Choices", "labels": labels}}
        return {
            **found,
            "parsed_label_config": parsed,
            "total_annotations_number": len(answers) - skipped,
            "skipped_annotations_number": skipped,
        }

    def _import(self, project: int, body: Any) -> Any:
        overlap = self.state.projects[project]["maximum_annotations"]
        for item in body:
            number = next(self.state.ids)
            fresh = {"id": number, "project": project, "updated_at": self.state.now(), "overlap": overlap}
            self.state.tasks[number] = {**item, **fresh, "annotations": []}
        return 201, {"task_count": len(body)}

    def _list(self, project: int, query: dict[str, str]) -> Any:
        view = json.loads(query.get("query", "{}"))
        found = [task for task in self.state.tasks.values() if task["project"] == project]
        for item in view.get("filters", {}).get("items", []):
            assert (item["filter"], item["operator"]) == ("filter:tasks:updated_at", "greater_or_equal")
            found = [task for task in found if task["updated_at"] >= item["value"]]
        found.sort(key=lambda task: task["updated_at"])
        page = found[: int(query["page_size"])]
        return 200, {"tasks": [self._task(task, query.get("fields") == "all") for task in page]}

    def _task(self, task: dict[str, Any], answers: bool) -> dict[str, Any]:
        found = {name: task[name] for name in ("id", "meta", "updated_at", "overlap", "data")}
        given = [self.state.annotations[one] for one in task["annotations"]] if answers else []
        return {**found, "annotations": given}

    def _annotate(self, task: int, body: Any, token: str, number: int) -> Any:
        state = self.state
        moment = state.now()
        before = state.annotations.get(number, {"was_cancelled": False})
        number = number or next(state.ids)
        state.annotations[number] = {
            **before,
            **body,
            "id": number,
            "task": task,
            "project": state.tasks[task]["project"],
            "completed_by": state.person(token),
            "updated_at": moment,
        }
        if number not in state.tasks[task]["annotations"]:
            state.tasks[task]["annotations"].append(number)
        state.tasks[task]["updated_at"] = state.now()
        return 201, state.annotations[number]


class StandIn:
    """The server in a thread of this process."""

    def __init__(self) -> None:
        handler = type("Bound", (Handler,), {"state": State()})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.state: State = handler.state  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
