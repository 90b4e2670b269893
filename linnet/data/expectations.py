"""What Linnet expects of a dataset: three Great Expectations suites, one a view of the sample table.

`samples` is checked row by row; `columns`, `classes` and `dataset` are small views of it. Each
expectation has a name (in its `meta`) that errors and `validation.json` use, and a description that
Data Docs shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation

from linnet.config import DataConfig, ValidationConfig
from linnet.data.validate_frames import OK
from linnet.records import SPLITS, DatasetManifest

_BY_COLUMN = {
    "label_known": "label",
    "split_known": "split",
    "decodable": "decoding",
    "one_split": "splits",
}


def column_expectations() -> list[Expectation]:
    """On the view `columns`: every shard has every column, in the right type."""
    return [
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="expected",
            column_B="found",
            **_named("schema", "Every shard has all columns of the sample table, in their types"),
        )
    ]


def sample_expectations(
    columns: set[str], config: ValidationConfig, manifest: DatasetManifest, known: Sequence[str]
) -> list[Expectation]:
    """On the view `samples`, whose labels may be the `known` ones.

    An expectation about a column that is missing is left to `schema`.
    """
    wanted: list[Expectation] = [
        gxe.ExpectTableRowCountToEqual(
            value=manifest.rows, **_named("row_count", "The table has as many rows as the manifest says")
        ),
        *(_present(name) for name in ("sample_id", "label", "split", "origin", "captured_at")),
        _one_of("label_known", tuple(known), "Every label is one of the dataset's classes"),
        _one_of("split_known", SPLITS, "Every split is train, validation, test or production"),
        _one_of(
            "decodable", (OK,), "Every image can be decoded whole, and has an accepted size (data.max_pixels)"
        ),
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="sample_id",
            column_B="pixel_digest",
            ignore_row_if="either_value_is_missing",
            **_named("digest", "Every sample_id is the digest of the image's decoded pixels"),
        ),
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="size",
            column_B="decoded_size",
            ignore_row_if="either_value_is_missing",
            **_named("size_stated", "Height, width and channels are those of the decoded image"),
        ),
        *(_side(name, config.min_side) for name in ("height", "width")),
        gxe.ExpectColumnValuesToBeUnique(
            column="sample_id", **_named("unique", "No image stands in the table twice")
        ),
        _one_of("one_split", (1,), "No image stands in two splits (leakage)"),
    ]
    return [expectation for expectation in wanted if _needs(expectation) <= columns]


def class_expectations(config: ValidationConfig, manifest: DatasetManifest) -> list[Expectation]:
    """On the view `classes`: none is gone or new, and each has enough training images."""
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="class",
            value_set=list(manifest.classes),
            **_named(
                "classes_known", "The manifest has all classes of the config and of the accepted version"
            ),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="images", min_value=1, **_named("class_gone", "Every class still has images")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="train",
            min_value=config.min_per_class,
            **_named("min_per_class", "Every class has enough training images (validation.min_per_class)"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="test",
            min_value=1,
            **_named(
                "class_judged",
                "Every class has a test image, or no gate could judge it: add images, or name it in "
                "gates.unjudged_classes",
            ),
        ),
    ]


def dataset_expectations(config: ValidationConfig, data: DataConfig) -> list[Expectation]:
    """On the view `dataset`: balance, duplicates, and drift of the class mix."""
    return [
        _at_most(
            "imbalance",
            config.max_imbalance,
            "The biggest class has at most so many times the training images of the smallest "
            "(validation.max_imbalance)",
        ),
        _at_most(
            "bad_fraction",
            data.max_bad_fraction,
            "Few files could not be used as images (data.max_bad_fraction)",
        ),
        _at_most(
            "duplicate_fraction",
            config.max_duplicate_fraction,
            "Few raw images were dropped as duplicates (validation.max_duplicate_fraction)",
        ),
        _at_most(
            "conflict_fraction",
            config.max_conflict_fraction,
            "Few raw images have another label elsewhere (validation.max_conflict_fraction)",
        ),
        _at_most(
            "near_leak_fraction",
            config.max_near_leak_fraction,
            "Few raw images nearly repeat one of another split (validation.max_near_leak_fraction)",
        ),
        _at_most(
            "class_drift",
            config.max_class_drift,
            "The class mix is near that of the last accepted version: Jensen-Shannon distance, base 2 "
            "(validation.max_class_drift)",
        ),
    ]


def _named(name: str, description: str) -> dict[str, Any]:
    return {"meta": {"name": name}, "description": description}


def _present(column: str) -> Expectation:
    return gxe.ExpectColumnValuesToNotBeNull(
        column=column, **_named(f"{column}_present", f"No row lacks its {column}")
    )


def _one_of(name: str, values: tuple[Any, ...], description: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(
        column=_BY_COLUMN[name], value_set=list(values), **_named(name, description)
    )


def _side(column: str, least: int) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column=column,
        min_value=least,
        **_named(f"min_{column}", f"Every image's {column} is at least {least} pixels (validation.min_side)"),
    )


def _at_most(column: str, limit: float, description: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column=column, max_value=limit, **_named(column, description))


def _needs(expectation: Expectation) -> set[str]:
    names = (getattr(expectation, field, None) for field in ("column", "column_A", "column_B"))
    return {name for name in names if name}
