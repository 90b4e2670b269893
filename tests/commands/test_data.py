"""`linnet data windows` and `withdraw`: what production added, and how it is taken out again."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from linnet.artifacts.windows import all_windows, kept_windows
from linnet.cli import app
from linnet.errors import StorageError
from linnet.monitoring.recent import write_recent
from linnet.vision.decode import encode_png
from tests.monitoring.conftest import pictures
from tests.monitoring.test_recent import labelled


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "shop.toml"
    file.write_text(
        'name = "shop"\n[data]\nkind = "folder"\nlocation = "images"\nheight = 4\nwidth = 4\ncolor = "gray"\n'
    )
    return str(file)


def test_windows_are_listed_and_one_is_withdrawn_with_its_reason(config: str) -> None:
    told = CliRunner().invoke(app, ["data", "windows", config])
    assert told.exit_code == 0 and "no window of shop is kept yet" in told.output
    write_recent(labelled([encode_png(image) for image in pictures(6, 4)]), "shop")
    (window,) = all_windows("shop")
    told = CliRunner().invoke(app, ["data", "windows", config])
    assert window.name[:20] in told.output and "yes: train" in told.output
    silent = CliRunner().invoke(app, ["data", "withdraw", config, window.name])
    assert silent.exit_code != 0 and kept_windows("shop") == [window], "nobody said why"
    done = CliRunner().invoke(
        app, ["data", "withdraw", config, window.name, "--reason", "labels were swapped"]
    )
    assert done.exit_code == 0, done.output
    assert kept_windows("shop") == [] and all_windows("shop") == [window], "and nothing is deleted"
    told = CliRunner().invoke(app, ["data", "windows", config])
    assert "swapped" in told.output


def test_window_that_cannot_be_read_is_listed_and_hides_no_other(config: str) -> None:
    for seed in (6, 9):
        write_recent(labelled([encode_png(image) for image in pictures(seed, 4)]), "shop")
    bad, good = all_windows("shop")
    (bad.folder / "withdrawn.json").write_text("{")
    told = CliRunner().invoke(app, ["data", "windows", config])
    assert told.exit_code == 1 and "withdrawn.json" in told.stderr
    for window in (bad, good):
        assert window.name[:20] in told.stdout
    with pytest.raises(StorageError):
        kept_windows("shop")
