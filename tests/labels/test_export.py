"""export: one task a request whatever happens, and nothing shown that would spoil a measurement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from linnet.config import LabelsConfig
from linnet.errors import LabelServerError
from linnet.labels.export import export
from linnet.labels.reconcile import pull
from linnet.labels.rounds import Rounds
from linnet.labels.server import NewTask
from tests.doubles.label_server import MemoryLabelServer
from tests.labels.queue import CHOICES, fill, put, request
from tests.labels.sample_tables import QUESTION

CONFIG = LabelsConfig(annotators=2)


def keys(server: MemoryLabelServer) -> list[str]:
    return sorted(task.key for project in server.projects for task in server.tasks(project))


def test_export_twice_makes_each_task_once() -> None:
    server = MemoryLabelServer(CHOICES)
    requests = fill(450)
    first = export("d", server, CONFIG, QUESTION)
    assert (first.new, first.found, first.waiting) == (450, 0, 0)
    assert keys(server) == [f"b1:{one.sample_id}" for one in requests]
    again = export("d", server, CONFIG, QUESTION)
    assert (again.project, again.new, again.found) == (first.project, 0, 0) and server.imports == 3
    assert len(server.projects) == 1


def test_export_that_was_cut_short_goes_on_without_doubles() -> None:
    class Dies(MemoryLabelServer):
        def add_tasks(self, project: int, tasks: Sequence[NewTask]) -> None:
            super().add_tasks(project, tasks)
            if self.imports == 2:
                raise ConnectionError("the exporter was killed after the server had the tasks")

    server = Dies(CHOICES)
    fill(500)
    with pytest.raises(ConnectionError):
        export("d", server, CONFIG, QUESTION)
    assert Rounds("d").tasks() == {}
    done = export("d", server, CONFIG, QUESTION)
    assert (done.found, done.new) == (400, 100)
    assert max(Counter(keys(server)).values()) == 1 and len(keys(server)) == 500


def test_export_late_double_import_loses_its_unanswered_copy() -> None:
    server = MemoryLabelServer(CHOICES)
    fill(3)
    project = export("d", server, CONFIG, QUESTION).project
    twin = NewTask("b1:s00001", b"", {})
    server.add_tasks(project, [twin, twin])
    answered = max(task.id for task in server.tasks(project) if task.key == "b1:s00001")
    server.answer(answered, "ann", "bag")
    fill(1, "b2", first=9)
    export("d", server, CONFIG, QUESTION)
    assert [task.id for task in server.tasks(project) if task.key == "b1:s00001"] == [answered]


def test_export_shows_why_and_the_models_answer_but_never_before_a_measurement() -> None:
    server = MemoryLabelServer(CHOICES)
    put([request(1, reason="margin"), request(2, reason="gold", gold="bag"), request(3, reason="random")])
    export("d", server, CONFIG, QUESTION)
    (project,) = server.projects.values()
    shown = {task.key[-1]: task for task in project.asked.values()}
    assert shown["1"].data["why"] == "Why this one: the model hesitates between two answers."
    assert shown["1"].predictions[0]["result"][0]["value"] == {"choices": ["boot"]}
    assert shown["1"].predictions[0]["score"] == 0.6
    assert shown["2"].data["why"] == shown["3"].data["why"] == "Why this one: drawn at random."
    assert shown["2"].predictions == shown["3"].predictions == []
    assert "gold" not in str(shown["2"].data) and shown["2"].image.startswith(b"\x89PNG")


def test_export_without_pre_annotations_when_told_so() -> None:
    server = MemoryLabelServer(CHOICES)
    fill(1)
    export("d", server, LabelsConfig(pre_annotate=False), QUESTION)
    (project,) = server.projects.values()
    assert [task.predictions for task in project.asked.values()] == [[]]


def test_export_request_without_an_image_stays_queued() -> None:
    server = MemoryLabelServer(CHOICES)
    fill(2)
    fill(3, "b2", first=10, images=False)
    done = export("d", server, CONFIG, QUESTION)
    assert (done.new, done.waiting) == (2, 3) and len(Rounds("d").unexported()) == 3


def test_export_to_a_changed_labelling_config_is_one_clear_error() -> None:
    fill(1)
    with pytest.raises(LabelServerError) as caught:
        export("d", MemoryLabelServer(["bag", "boot", "cannot tell", "hat"]), CONFIG, QUESTION)
    assert "lacks the choice(s) coat" in str(caught.value) and "labels.project" in caught.value.remedy
    with pytest.raises(LabelServerError, match="that the dataset does not: hat"):
        export("d", MemoryLabelServer([*CHOICES, "hat"]), CONFIG, QUESTION)


def test_export_after_a_deleted_project_asks_again_what_is_open_and_keeps_the_answers() -> None:
    server = MemoryLabelServer(CHOICES)
    config = LabelsConfig(annotators=1)
    fill(4)
    old = export("d", server, config, QUESTION).project
    tasks = list(server.tasks(old))
    server.answer(tasks[0].id, "ann", "bag")
    pull("d", server, config, QUESTION)
    del server.projects[old]
    new = export("d", server, config, QUESTION)
    assert new.project != old and new.new == 3
    assert keys(server) == [f"b1:s{i:05d}" for i in (1, 2, 3)]
    for task in server.tasks(new.project):
        server.answer(task.id, "ann", "coat")
    assert pull("d", server, config, QUESTION).closed == ["b1"]
