"""The Label Studio adapter against the stand-in, and what it says when the server does not play along."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.config import LabelsConfig
from linnet.errors import ConfigError, LabelServerError
from linnet.labels import label_studio
from linnet.labels.connect import connect, find_server
from linnet.labels.label_studio import TOKEN_VARIABLE, LabelStudio, read_token
from linnet.labels.server import NewTask
from linnet.tasks.classification.label_form import label_form
from linnet.tasks.label_form import BadAnswer
from tests.labels.contract import CLASSES, PIXEL, check_contract, choice
from tests.labels.stand_in import TOKEN, StandIn


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    yield server
    server.stop()


def test_stand_in_keeps_the_contract(stand_in: StandIn) -> None:
    check_contract(stand_in.url, TOKEN)


def test_tasks_many_pages_give_each_task_once(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_studio, "_PAGE", 7)
    with LabelStudio(stand_in.url, TOKEN) as server:
        project = server.create_project("p", label_form(CLASSES).config(), 1)
        server.add_tasks(project, [NewTask(f"b:{i}", PIXEL, {}) for i in range(50)])
        assert [task.key for task in server.tasks(project)] == [f"b:{i}" for i in range(50)]
        for task in stand_in.state.tasks.values():  # all changed at one and the same moment
            task["updated_at"] = "2026-01-01T00:00:00.000000Z"
        assert len({task.key for task in server.tasks(project)}) == 50


def test_server_that_is_down_is_one_clear_error() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with LabelStudio(url, "t") as server, pytest.raises(LabelServerError) as caught:
        server.check()
    assert caught.value.transient and "does not answer" in str(caught.value)
    assert "linnet labels up" in caught.value.remedy


def test_something_that_is_no_label_studio_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with LabelStudio(url, "t") as server, pytest.raises(LabelServerError, match="is it a Label Studio"):
            server.check()
        thread.join()


def test_token_comes_from_the_file_or_the_variable_or_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match="no token is given"):
        read_token("")
    monkeypatch.setenv(TOKEN_VARIABLE, " abc ")
    assert read_token("") == "abc"
    (tmp_path / "token").write_text("xyz\n")
    assert read_token(str(tmp_path / "token")) == "xyz"
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(ConfigError, match="is empty"):
        read_token(str(tmp_path / "token"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_token(str(tmp_path / "none"))


def test_connect_without_any_server_says_how_to_get_one() -> None:
    assert find_server(LabelsConfig()) is None
    with pytest.raises(LabelServerError, match="linnet labels up"):
        connect(LabelsConfig())


@pytest.mark.filterwarnings("ignore")  # its SDK uses what pydantic deprecates
def test_labelling_config_is_what_label_studio_itself_takes() -> None:
    from label_studio_sdk.label_interface import LabelInterface

    interface = label_form((*CLASSES, *(f"c{i}" for i in range(12))))
    parsed = LabelInterface(interface.config())
    parsed.validate()
    task = {"data": {"image": "data:image/png;base64,AA", "why": "w"}}
    assert parsed.validate_task(task)
    shown = interface.prediction("coat & hat", 0.5, "m")
    assert parsed.validate_prediction({"result": shown["result"], "score": 0.5, "model_version": "m"})


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        ({"result": []}, "it has no label"),
        (choice("hat"), "the dataset has no class 'hat'"),
        ({"result": choice("bag")["result"] + choice("boot")["result"]}, "it has 2 labels"),
        ({"result": [{"from_name": "other", "value": {"choices": ["bag"]}}]}, "it has no label"),
    ],
)
def test_answer_that_says_nothing_usable_is_refused(annotation: dict[str, object], says: str) -> None:
    with pytest.raises(BadAnswer, match=says):
        label_form(CLASSES).answer(annotation)
