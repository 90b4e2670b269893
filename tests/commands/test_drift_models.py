"""`linnet drift simulate` with several models: pictures are those of the model that is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from linnet.commands import drift
from linnet.records import RunRecord, RunRequest
from linnet.run.runs import runs_dir


@pytest.fixture
def runs(state: Path) -> Path:
    """A run of fashion, and a later one of digits; each made a training set. One of hands did not."""
    for hour, model in enumerate(("fashion", "digits", "hands")):
        folder = runs_dir() / f"{model}-20260101-1{hour}0000-aaaa"
        RunRecord(
            run_id=folder.name, pipeline="training", config={"name": model}, commit="", state="succeeded",
            started_at=datetime(2026, 1, 1, hour, tzinfo=UTC), request=RunRequest(cause="person", actor="a"),
        ).save(folder / "run.json")  # fmt: skip
        if model != "hands":
            made = folder / "build-features" / "training_set"
            made.mkdir(parents=True)
            (made / "training_set.json").write_text("{}")
    return state


@pytest.mark.parametrize(
    ("asked", "found"), [("fashion", "fashion"), ("digits", "digits"), ("", "digits"), ("nobody", "latest")]
)
def test_pictures_are_of_the_newest_run_of_the_model_that_is_asked(
    runs: Path, asked: str, found: str
) -> None:
    """Issue 14: with fashion served and digits run last, digits were sent to the fashion model."""
    assert found in str(drift._training_set(asked).relative_to(runs))
