"""The form of boxes in a real Label Studio: it takes it, and what people draw comes back exactly."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from linnet.data.layout import understand
from linnet.errors import LabelServerError
from linnet.labels import local_label_studio
from linnet.tasks.detection.boxes import Box, text_of
from linnet.tasks.label_form import label_form_of
from tests.e2e.label_lab import ENVIRONMENT, People, keep_empty, take_empty

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CLASSES = ("bag", "shoe")
WIDE, HIGH = 64, 48
LABELS = [
    text_of([Box("bag", 3 / WIDE, 5 / HIGH, 20 / WIDE, 31 / HIGH), Box("shoe", 0, 0, 1, 1 / 3)]),
    text_of([Box("shoe", 1 / 3, 0.1, 0.7, 0.654321)]),
    text_of([]),
]


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[People]:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "state"))
    home = local_label_studio.folder()
    take_empty(home)
    try:
        server = local_label_studio.up(environment=ENVIRONMENT)
    except LabelServerError as error:
        if "cannot be installed" in str(error):
            reason = f"Label Studio cannot be installed here: {error}"
            (pytest.fail if os.environ.get("LINNET_REQUIRE_DEBIAN") else pytest.skip)(reason)
        raise
    try:
        keep_empty(home)
        yield People(server)
    finally:
        local_label_studio.stop(server)


def test_boxes_are_asked_for_drawn_and_exported_by_the_real_server(people: People, tmp_path: Path) -> None:
    form = label_form_of("detection", CLASSES)
    with people.client() as client:
        made = client.post("/api/projects/", json={"title": "boxes", "label_config": form.config()})
        made.raise_for_status()
        project = made.json()
        assert form.fits(project["parsed_label_config"]) == ""
        tasks = [
            {
                "data": {"image": f"{n}.png", "why": "?"},
                "predictions": [form.prediction(label, 0.8, "boxes 1")],
            }
            for n, label in enumerate(LABELS)
        ]
        client.post(f"/api/projects/{project['id']}/import", json=tasks).raise_for_status()
        asked = sorted(people.tasks("boxes"), key=lambda task: str(task["data"]["image"]))
        for task, label in zip(asked, LABELS, strict=True):
            (predicted,) = task["predictions"]
            assert form.answer(predicted) == ("label", label)
            body = {"result": predicted["result"], "lead_time": 2.0}  # a person takes what is proposed
            client.post(f"/api/tasks/{task['id']}/annotations", json=body).raise_for_status()
        answered = sorted(people.tasks("boxes"), key=lambda task: str(task["data"]["image"]))
        for task, label in zip(answered, LABELS, strict=True):
            (annotation,) = task["annotations"]
            assert form.answer(annotation) == ("label", label)
        exported = client.get(f"/api/projects/{project['id']}/export", params={"exportType": "JSON"})
        exported.raise_for_status()
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "project.json").write_text(json.dumps(exported.json()))
    for n in range(len(LABELS)):
        Image.new("L", (WIDE, HIGH), 40 * n).save(folder / f"{n}.png")
    found = understand(folder)
    assert found.task == "detection"
    assert [image.label for image in sorted(found.images, key=lambda image: image.origin)] == LABELS
