"""Which label each sample has in a run: the dataset's own, or the one that people gave since."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from linnet.errors import DataError
from linnet.features.history import EVENT, KEY
from linnet.records import DatasetManifest
from linnet.tasks.target import Targets, UnknownClass, target_of

if TYPE_CHECKING:
    import pandas as pd


def dataset_labels(samples: pd.DataFrame) -> pd.DataFrame:
    """The dataset's own labels as rows of the feature view: known since the image was captured."""
    rows = samples[[KEY, "label", "label_source", "captured_at"]]
    return rows.rename(columns={"captured_at": EVENT})


def effective_labels(samples: pd.DataFrame, labels: Path) -> pd.DataFrame:
    """The dataset's labels with those of `labels/labels.parquet` in their place, in samples' order.

    A sample that was labelled more than once has its newest label. Labels of samples that are not in
    the dataset are left out.

    Raises:
        DataError: the label table cannot be read.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = labels / "labels.parquet"
    wanted = [KEY, "label", "annotator", "labelled_at", "created_at"]
    try:
        given: pd.DataFrame = pq.read_table(path, columns=wanted).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise DataError(str(path), f"cannot be read: {error}", "collect the labels again") from error
    rows = dataset_labels(samples).set_index(KEY)
    given = given.sort_values(["labelled_at", "created_at"], kind="stable").drop_duplicates(KEY, keep="last")
    given = given[given[KEY].isin(rows.index)].set_index(KEY)
    rows.loc[given.index, "label"] = given["label"]
    rows.loc[given.index, "label_source"] = given["annotator"]
    known_since = pd.concat([given["labelled_at"], rows.loc[given.index, EVENT]], axis=1).max(axis=1)
    rows.loc[given.index, EVENT] = known_since.astype(rows[EVENT].dtype)
    return rows.reset_index()


def encoded_labels(
    labels: pd.Series[str], sample_ids: pd.Series[str], manifest: DatasetManifest, height: int, width: int
) -> Targets:
    """The labels as an array, one row per sample, classes in the manifest's order, images of that size.

    Raises:
        DataError: a label names no class of the dataset; the message names both and a sample.
    """
    classes = manifest.classes
    try:
        return target_of(manifest.task).encode(labels.tolist(), classes, height, width)
    except UnknownClass as error:
        raise DataError(
            f"sample {sample_ids.iloc[error.row]}",
            f"its label {error.name!r} is not one of the dataset's classes",
            f"the classes are {', '.join(classes)}",
        ) from error
