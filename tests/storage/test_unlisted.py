"""A folder that cannot be listed is an error with its name, never an empty one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.automation.abandoned_rollouts import AbandonedRollouts
from linnet.automation.retraining import RetrainingSubmitter
from linnet.cache.store import Cache
from linnet.cache.sweep import Plan, cached_entries, damaged, sweep
from linnet.commands.backup import _check_ledgers
from linnet.deployment.rollout_commands import journals
from linnet.engine.serializers import tasks_of
from linnet.errors import StorageError
from linnet.process.state import running_servers
from linnet.records.refused import refused_requests
from linnet.registry.champion import interrupted_moves
from linnet.retraining.ledger import ledger_files
from linnet.run import runs
from linnet.runner import containers
from linnet.runner.sweep import shared_folders
from linnet.storage.files import listed


def unreadable(path: Path) -> Path:
    """A folder that nobody may look into, root neither: a link that leads to itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path.name)
    return path


def test_listing_has_names_in_order_and_says_what_it_cannot_list(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", ".c.json", "d.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in listed(tmp_path, "[!.]*.json")] == ["a.json", "b.json"]
    assert listed(tmp_path / "none") == listed(tmp_path / "a.json") == []
    hidden = unreadable(tmp_path / "hidden")
    with pytest.raises(StorageError, match="hidden"):
        listed(hidden)


def cache(state: Path) -> Cache:
    return Cache(state / "cache")


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "rollouts": ("rollouts", lambda _: journals()),
    "moves": ("registry", interrupted_moves),
    "retraining": ("ledger", lambda _: ledger_files()),
    "ledgers": ("ledger", _check_ledgers),
    "stages": ("runs/one/stages", lambda state: runs.stage_files(state / "runs" / "one")),
    "runs": ("runs", lambda _: runs.alive_folders()),
    "entries": ("cache/entries", lambda state: cached_entries(cache(state))),
    "entries of a step": ("cache/entries/train", lambda state: sweep(cache(state), Plan((), (), 0, 0))),
    "contents": ("cache/blobs", lambda state: damaged(cache(state))),
    "environments": ("environments", lambda _: shared_folders(under_way=False)),
    "servers": ("serving", running_servers),
}


@pytest.mark.parametrize("name", READERS)
def test_what_lies_in_a_folder_that_cannot_be_listed_is_not_taken_for_nothing(name: str, state: Path) -> None:
    """A glob found none: a backup was whole without its ledgers, a rollout was none, contents were swept."""
    folder, read = READERS[name]
    read(state)
    unreadable(state / folder)
    with pytest.raises(StorageError, match=folder.rpartition("/")[2]):
        read(state)


def test_engine_tells_it_and_goes_on(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unreadable(state / "rollouts")
    unreadable(state / "ledger")
    AbandonedRollouts().tick()
    assert not RetrainingSubmitter().busy()
    said = capsys.readouterr().out
    assert "rollouts are not looked at" in said and "what retraining asks for is not looked at" in said
    told: list[str] = []
    unreadable(state / "registry")
    assert interrupted_moves(state, told.append) == [] and "registry" in told[0]


def test_containers_of_a_run_whose_mark_is_damaged_are_not_forgotten_unsaid(
    state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = state / "runs" / "one"
    folder.mkdir(parents=True)
    containers.sweep(folder)
    assert caplog.text == "", "it started none"
    (folder / containers.MARKER).write_text("[")
    containers.sweep(folder)
    assert "whether containers of the run are left is not known" in caplog.text


def test_tasks_and_refused_requests_say_so(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    unreadable(state / "runs" / "one" / "tasks")
    assert "tasks" in tasks_of(state / "runs" / "one").unreadable["tasks"]
    assert list(refused_requests(unreadable(state / "refused"))) == []
    assert "refused requests are not looked at" in caplog.text
