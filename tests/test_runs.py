"""The run store: which runs there are, and in what order."""

from __future__ import annotations

from linnet import runs
from linnet.records import RunRequest

REQUEST = RunRequest(cause="person", actor="a", commit="abc")


def test_folders_are_in_the_order_in_which_the_runs_began_also_within_a_second() -> None:
    begun = [runs.create("training", {"name": "d"}, REQUEST)[1] for _ in range(12)]
    assert len({folder.name[:-5] for folder in begun}) < 12, "some are of one second"
    assert runs.folders() == begun[::-1]
    assert runs.find() == begun[-1]


def test_reopened_run_is_mirrored_again() -> None:
    _, folder = runs.create("training", {"name": "d"}, REQUEST)
    runs.finish(folder, worked=False)
    (folder / runs.MIRRORED).write_text("1")
    runs.reopen(folder)
    assert not (folder / runs.MIRRORED).exists()
