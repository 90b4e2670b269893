"""What an address of the console may say is a name among those that are known, and never a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.console.context import Context
from linnet.console.pages import run as page
from linnet.console.pages.monitoring import _rendered
from linnet.errors import RegistryError, RunError
from linnet.run import runs
from linnet.storage.files import is_a_file
from tests.console.records import run_record

LONG = "a" * 300
"""No file can be called so: the system refuses to look."""
NAMES = [
    LONG,
    f"fashion-{LONG}",
    "..",
    ".",
    "/etc",
    "/etc/hostname",
    "../../..",
    "[",
    "**",
    "a\x00b",
    "\ud800",
]


@pytest.fixture
def run_id() -> str:
    folder = runs.runs_dir() / "fashion-20260101-100000-aaaa"
    run_record(folder.name).save(folder / "run.json")
    (folder / "secret").mkdir()
    (folder / "secret" / "of the owner").touch()
    (folder / "log.txt").write_text("said")
    return folder.name


@pytest.mark.parametrize("step", [*NAMES, "secret", "/", "../../runs"])
def test_step_of_an_address_names_no_folder(run_id: str, step: str) -> None:
    """The files of any folder of the owner were listed for whoever may look."""
    found = page.load(Context(), run_id, step)
    assert (found.log, found.gives) == ("", ())


@pytest.mark.parametrize("name", NAMES)
def test_name_of_no_run_model_or_page_is_one_error(run_id: str, name: str) -> None:
    context = Context()
    with pytest.raises(RunError, match="there is no run"):
        context.sources.evidence(name)
    with pytest.raises(RegistryError, match="there is no model"):
        context.sources.version(name, "1")
    assert "There is no such runbook" in _rendered(name, Path("docs/runbooks"), "fashion")


def test_name_that_no_file_can_have_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    assert is_a_file(tmp_path / "there") and not is_a_file(tmp_path)
    assert not any(is_a_file(tmp_path / name) for name in NAMES if name != "/etc/hostname")
