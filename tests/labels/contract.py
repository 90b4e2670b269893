"""What a label server must do, asked of the stand-in in every test run and of the real one end to end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from linnet.errors import LabelServerError, ProjectGone
from linnet.labels.label_studio import LabelStudio
from linnet.labels.server import NewTask
from linnet.tasks.classification.label_form import label_form

CLASSES = ("bag", "boot", "coat & hat")
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


def choice(label: str) -> dict[str, Any]:
    value = {"choices": [label]}
    return {"result": [{"from_name": "label", "to_name": "image", "type": "choices", "value": value}]}


def check_contract(url: str, token: str, images: str = "data-uri") -> None:
    interface = label_form(CLASSES)
    person = httpx.Client(base_url=url, headers={"Authorization": f"Token {token}"}, timeout=60)
    with LabelStudio(url, token, images) as server, person:
        server.check()
        title = f"contract {images}"
        assert server.find_project(title) is None
        project = server.create_project(title, interface.config(), 2)
        assert server.find_project(title) == project and server.find_project("contract") != project
        assert interface.fits(server.project(project).parsed_config) == ""
        assert label_form(("bag", "boot")).fits(server.project(project).parsed_config) != ""
        shown = [interface.prediction("boot", 0.75, "m1")]
        tasks = [NewTask(f"b:s{i}", PIXEL, {"why": "w", "sample_id": f"s{i}"}, shown) for i in range(7)]
        server.add_tasks(project, tasks)
        listed = list(server.tasks(project, answers=False))
        assert sorted(task.key for task in listed) == [task.key for task in tasks]
        ids = {task.key: task.id for task in listed}
        first = _post(person, f"/api/tasks/{ids['b:s0']}/annotations", choice("boot"))
        _post(person, f"/api/tasks/{ids['b:s1']}/annotations", {"result": [], "was_cancelled": True})
        _post(person, f"/api/tasks/{ids['b:s2']}/annotations", choice("cannot tell"))
        found = {task.key: task for task in server.tasks(project)}
        said = {key: [interface.answer(one.raw) for one in task.annotations] for key, task in found.items()}
        assert said["b:s0"] == [("label", "boot")] and said["b:s3"] == []
        assert said["b:s1"] == [("skipped", "")] and said["b:s2"] == [("cannot_tell", "")]
        assert "@" in found["b:s0"].annotations[0].annotator
        assert server.project(project).answers == 3
        # What changed since: the same moment counts, an earlier one does not.
        newest = max(task.updated_at for task in found.values())
        assert [task.key for task in server.tasks(project, newest)] == ["b:s2"]
        assert list(server.tasks(project, newest + timedelta(seconds=1))) == []
        person.patch(f"/api/annotations/{first}", json=choice("coat & hat")).raise_for_status()
        (changed,) = server.tasks(project, newest + timedelta(microseconds=1))
        assert interface.answer(changed.annotations[0].raw) == ("label", "coat & hat")
        assert changed.annotations[0].id == first
        assert changed.annotations[0].updated_at > found["b:s0"].annotations[0].updated_at
        server.ask_more(ids["b:s0"], 3)
        assert person.get(f"/api/tasks/{ids['b:s0']}").json()["overlap"] == 3
        server.delete_task(ids["b:s6"])
        server.delete_task(ids["b:s6"])
        assert "b:s6" not in {task.key for task in server.tasks(project, answers=False)}
        for port in (1, 2):
            server.ensure_webhook(project, f"http://127.0.0.1:{port}/labels/d/webhook", {"X": "1"})
        (hook,) = person.get("/api/webhooks/", params={"project": project}).json()
        assert hook["url"] == "http://127.0.0.1:2/labels/d/webhook" and hook["headers"] == {"X": "1"}
        person.delete(f"/api/projects/{project}").raise_for_status()
        with pytest.raises(ProjectGone):
            list(server.tasks(project))
        with pytest.raises(ProjectGone):
            server.project(project)
    with LabelStudio(url, "wrong") as server:
        with pytest.raises(LabelServerError, match="refuses the token") as caught:
            server.check()
        assert "wrong" not in str(caught.value) and "wrong" not in repr(server)


def _post(person: httpx.Client, path: str, body: dict[str, Any]) -> int:
    answer = person.post(path, json=body)
    answer.raise_for_status()
    return int(answer.json()["id"])
