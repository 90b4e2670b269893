"""Rows of the recent labelled production window, which join a dataset for one training run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from linnet.config import DataConfig
from linnet.data.image_manifest import manifest_rows
from linnet.data.rows import RawDataset
from linnet.data.split import unit_interval
from linnet.errors import DataError
from linnet.tasks.target import target_of

FEEDBACK = "feedback"
"""Label source of these rows."""


def with_recent(raw: RawDataset, config: DataConfig) -> RawDataset:
    """The dataset with the rows of `data.recent` after its own; unchanged where that is empty.

    A share `test_fraction` of them is held out for the test also where the dataset brings its own test
    split: a candidate must prove itself on what it was retrained for. The share is a function of the
    pixels, as everywhere.

    Raises:
        DataError: the window cannot be read, or has a label that is not one of the dataset's classes.
    """
    if not config.recent:
        return raw
    folder = Path(config.recent).expanduser()
    window, target = manifest_rows(folder, task=config.task), target_of(config.task)
    named = {name for row in window for name in target.classes(row.label)}
    unknown = sorted(named - set(raw.classes))
    if unknown:
        raise DataError(
            str(folder), f"its labels {', '.join(unknown)} are no class of the dataset", "leave them out"
        )
    brings_test = any(row.split == "test" for row in raw.rows)
    rows = []
    for row in window:
        stem = Path(row.origin).stem
        if len(stem) != 32 or not set(stem) <= set("0123456789abcdef"):
            raise DataError(str(folder), f"{row.origin} is not named by its sample id")
        held_out = brings_test and unit_interval(stem)[1] < config.test_fraction
        cohorts = tuple(FEEDBACK for _ in config.cohorts)
        rows.append(
            replace(
                row, origin=f"recent/{row.origin}", split="test" if held_out else "",
                cohorts=cohorts, label_source=FEEDBACK,
            )
        )  # fmt: skip
    return replace(raw, rows=[*raw.rows, *rows])
