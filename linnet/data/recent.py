"""Rows of labelled production windows, which join a dataset: to be trained on, and to be asked again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from linnet.artifacts.windows import ProductionWindow, window_split
from linnet.config import DataConfig
from linnet.data.folder_tree import LeftOut
from linnet.data.image_manifest import manifest_rows
from linnet.data.rows import RawDataset, RawRow
from linnet.errors import DataError
from linnet.tasks.target import target_of

NO_CLASS = "of a production window, and its label is not one of the dataset's classes"
_HEX = set("0123456789abcdef")


def with_windows(raw: RawDataset, config: DataConfig, kept: list[ProductionWindow]) -> RawDataset:
    """The dataset with the rows of the kept windows, and of `data.extra_window`, after its own.

    Equal pixels of several windows are one row, of the oldest with the label of the newest. The test share of
    every window always joins, and what the canary replays; the rest only if `data.windows` says that it is
    trained on, or the window is `data.extra_window`.

    Raises:
        DataError: a window cannot be read; or a label of `data.extra_window` is not one of the dataset's
            classes (of an earlier window such rows are left out, and counted: the classes may
            have changed since).
    """
    asked = Path(config.extra_window).expanduser() if config.extra_window else None
    windows = [window for window in kept if asked is None or window.folder.resolve() != asked.resolve()]
    if asked is not None:
        windows.append(ProductionWindow(f"window-{asked.name}", asked))
    found: dict[str, RawRow] = {}
    left_out: list[LeftOut] = []
    known, target = set(raw.classes), target_of(config.task)
    for window in windows:
        trained = config.windows == "train" or window.folder == asked
        for sample_id, row in _rows(window, config):
            if not known.issuperset(target.classes(row.label)):
                if window.folder == asked:
                    raise DataError(
                        str(asked),
                        f"its label {row.label} is not one of the dataset's classes",
                        "leave it out",
                    )
                left_out.append(LeftOut(row.origin, NO_CLASS))
            elif sample_id in found:
                found[sample_id] = replace(found[sample_id], label=row.label)
            elif trained or window_split(sample_id) in ("test", "production"):
                found[sample_id] = row
    if not found and not left_out:
        return raw
    return replace(raw, rows=[*raw.rows, *found.values()], left_out=(*raw.left_out, *left_out))


def _rows(window: ProductionWindow, config: DataConfig) -> list[tuple[str, RawRow]]:
    """Sample id and row of each image of a window."""
    rows = []
    for row in manifest_rows(window.folder, task=config.task):
        stem = Path(row.origin).stem
        if len(stem) != 32 or not set(stem) <= _HEX:
            raise DataError(str(window.folder), f"{row.origin} is not named by its sample id")
        cohorts = tuple("feedback" for _ in config.cohorts)
        named = replace(
            row, origin=f"{window.name}/{row.origin}", split="", cohorts=cohorts,
            label_source=window.label_source,
        )  # fmt: skip
        rows.append((stem, named))
    return rows
