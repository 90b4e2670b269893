from __future__ import annotations

from pathlib import Path

import pytest

from linnet.training.__main__ import main


def call(made: Path, *more: str) -> int:
    folders = ["--out", str(made.parent / "out"), "--work", str(made.parent / "work")]
    return main(["--training-set", str(made), *folders, *more])


def test_command_trains_with_settings_given_as_words_and_numbers(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("epochs=1", "width=8", "schedule=cosine", "flip=false")
    assert call(made, *(part for setting in settings for part in ("--set", setting))) == 0
    assert "validation accuracy" in capsys.readouterr().out
    assert (made.parent / "out" / "model.pt").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epoch=3", "train.epoch: unknown key (did you mean epochs?)"),
        ("epochs=many", "train.epochs: "),
        ("epochs", "is not of the form key=value"),
    ],
)
def test_wrong_setting_is_one_message_and_status_2(
    made: Path, capsys: pytest.CaptureFixture[str], setting: str, message: str
) -> None:
    assert call(made, "--set", setting) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


@pytest.mark.parametrize(("content", "message"), [(None, "not a readable JSON file"), ("[1]", "JSON object")])
def test_wrong_config_file_is_one_message(
    made: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    path = made.parent / "train.json"
    if content is not None:
        path.write_text(content)
    assert call(made, "--config", str(path)) == 2
    assert message in capsys.readouterr().err


def test_missing_training_set_is_status_1_and_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path / "nowhere") == 1
    assert "nowhere/training_set.json: no such file" in capsys.readouterr().err
