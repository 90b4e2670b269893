"""Whether a dataset may be trained on: Great Expectations on the sample table, with Data Docs.

The report and the Data Docs are written first, whatever they say; only then does a broken dataset
stop the run, with the names of the rows that broke it.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.config import DataConfig, EvaluationConfig, GatesConfig, ValidationConfig
from linnet.data.validate_frames import Table, class_frame, dataset_frame, read_table
from linnet.errors import ConfigError, ValidationFailed
from linnet.progress import Progress
from linnet.records import DatasetManifest, ExpectationResult, ValidationReport
from linnet.statistics.attainable import check_attainable
from linnet.storage.files import writing
from linnet.tasks.score import score_of
from linnet.tasks.target import target_of

if TYPE_CHECKING:
    from linnet.data.validate_docs import Suites, ValidationFinding

REPORT_FILE, DOCS_FOLDER = "validation.json", "data_docs"
_SAMPLE_KEYS = ("sample_id", "origin")
_NAMED = 20
"""Images named with a share that is too large, as rows are with an expectation about rows."""


def validate(
    samples: Path,
    config: ValidationConfig,
    data: DataConfig,
    out: Path,
    previous: Path | None = None,
    progress: Progress | None = None,
    unjudged: tuple[str, ...] = (),
) -> ValidationReport:
    """Checks the sample table in `samples`; writes validation.json and data_docs/ to `out`.

    Args:
        samples: Folder that `ingest` wrote.
        config: The limits.
        data: The `data` section: classes that must be there, largest image.
        out: Folder for the report.
        previous: ValidationReport of the last accepted version; a file that does not exist is none.
        progress: Told (what, done, total).
        unjudged: Classes that may lack test images.

    Raises:
        ValidationFailed: an expectation does not hold; names it and the rows (after writing).
        DataError: a shard cannot be read at all.
        StorageError: the manifest or `previous` cannot be read, or the disk is full.
    """
    manifest = DatasetManifest.load(samples / "manifest.json")
    accepted = ValidationReport.load(previous) if previous is not None and previous.is_file() else None
    table = read_table(samples, manifest, data.max_pixels, progress)
    if progress:
        progress("checking expectations", 0, 1)
    from linnet.data.validate_docs import Suites

    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(out / DOCS_FOLDER, ignore_errors=True)
        suites = Suites(out / DOCS_FOLDER)
        findings, counts = _check(suites, table, manifest, accepted, config, data, unjudged)
        report = ValidationReport(
            dataset_digest=manifest.digest,
            passed=all(finding.passed for finding in findings),
            results=tuple(_result(finding) for finding in findings),
            counts=counts,
        )
        suites.write_docs(findings, manifest)
        report.save(out / REPORT_FILE)
    if progress:
        progress("checking expectations", 1, 1)
    if not report.passed:
        raise ValidationFailed(
            [_line(finding) for finding in findings if not finding.passed],
            f"{DOCS_FOLDER}/index.html in the validation report",
        )
    return report


def check_gates(samples: Path, gates: GatesConfig, evaluation: EvaluationConfig) -> None:
    """Refuses gates that no model could pass on the test images of the sample table in `samples`.

    Where an image may have several classes, that is known of the gates on scores alone.

    Raises:
        ConfigError: names the settings, and how many test images they take; or one that the task has not.
        StorageError: the manifest cannot be read.
    """
    manifest = DatasetManifest.load(samples / "manifest.json")
    gated = score_of(manifest.task).gated
    for name in ("accuracy", "macro_f1", "micro_f1", "map", "map50", "mean_iou", "auc"):
        given = getattr(gates, f"min_{name}")
        if name not in gated and given != getattr(GatesConfig(), f"min_{name}"):
            known = ", ".join(f"min_{one}" for one in gated)
            raise ConfigError(f"gates.min_{name}", f"is no gate of a {manifest.task} task", f"it has {known}")
    several = target_of(manifest.task).several
    tests = [manifest.images_of("test")] if several else list(manifest.counts["test"].values())
    check_attainable(tests, gates, evaluation)


def _check(
    suites: Suites,
    table: Table,
    manifest: DatasetManifest,
    accepted: ValidationReport | None,
    config: ValidationConfig,
    data: DataConfig,
    unjudged: tuple[str, ...],
) -> tuple[list[ValidationFinding], dict[str, int]]:
    """All findings, and the training images a class (empty where a column for that is missing)."""
    from linnet.data.expectations import (
        class_expectations,
        column_expectations,
        dataset_expectations,
        sample_expectations,
    )

    findings = suites.check("columns", table.columns, column_expectations(), ("column", "shard"))
    target = target_of(manifest.task)
    labels = table.rows["label"].dropna().unique().tolist() if "label" in table.rows else []
    known = target.known(labels, manifest.classes)
    wanted = sample_expectations(set(table.rows.columns), config, manifest, known)
    findings += suites.check("samples", table.rows, wanted, _SAMPLE_KEYS)
    if {"label", "split"} & table.missing:
        return findings, {}
    classes = class_frame(table, data.classes, manifest, accepted, unjudged)
    findings += suites.check("classes", classes, class_expectations(config, manifest), ("class", "named_by"))
    facts = dataset_frame(classes, manifest, accepted)
    shares = suites.check("dataset", facts, dataset_expectations(config, data), ("dataset",))
    findings += [_with_images(finding, manifest) for finding in shares]
    train = zip(classes["class"].tolist(), classes["train"].tolist(), strict=True)
    return findings, {name: int(count) for name, count in train if name in manifest.classes}


def _with_images(finding: ValidationFinding, manifest: DatasetManifest) -> ValidationFinding:
    """A share that is too large, with the first images that it is about."""
    lines = {
        "bad_fraction": manifest.bad_files,
        "duplicate_fraction": [line for line in manifest.dropped if ": duplicate: " in line],
        "conflict_fraction": [
            line for line in manifest.dropped if ": conflict: " in line or ", labelled " in line
        ],
        "near_leak_fraction": [line for line in manifest.near_duplicates if " split" in line],
    }.get(finding.name, ())
    if finding.passed or not lines:
        return finding
    return replace(finding, rows=(*finding.rows, *({"image": line} for line in lines[:_NAMED])))


def _result(finding: ValidationFinding) -> ExpectationResult:
    return ExpectationResult(
        name=finding.name,
        passed=finding.passed,
        detail=finding.description if finding.passed else _what(finding),
        rows=tuple(_row(row) for row in finding.rows),
    )


def _line(finding: ValidationFinding) -> str:
    rows = "".join(f"\n      {_row(row)}" for row in finding.rows)
    more = finding.broken - len(finding.rows)
    return f"{finding.name}: {_what(finding)}{rows}" + (
        f"\n      and {more} more" if more > 0 and rows else ""
    )


def _what(finding: ValidationFinding) -> str:
    """What is wrong in one sentence."""
    if finding.error:
        return f"{finding.description}; it could not be checked: {finding.error}"
    if finding.observed is not None:
        return f"{finding.description}; found {finding.observed}"
    return f"{finding.description}; not so for {finding.broken} row(s)"


def _row(row: dict[str, Any]) -> str:
    """A failing row as a person reads it: what names it, then the offending values."""
    names = [key for key in ("sample_id", "origin", "column", "shard", "class", "dataset") if key in row]
    rest = [key for key in row if key not in names]
    return ", ".join(f"{key} {row[key]}" for key in [*names, *rest])
