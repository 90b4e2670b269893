"""A window against the champion's reference: every quantity, every cohort, one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from linnet.artifacts.onnx_model import Images, PackagedModel
from linnet.artifacts.reference import Reference
from linnet.config import MonitoringConfig
from linnet.errors import InvalidImage
from linnet.monitoring.cohort_drift import (
    Baseline,
    reference_cohorts,
    segment_cohorts,
    watched_columns,
    write_baseline,
)
from linnet.monitoring.drift import NumberDrift, compare_classes, compare_columns
from linnet.monitoring.embeddings import EmbeddingDrift, compare_embeddings
from linnet.monitoring.history import DRIFT_FILE
from linnet.monitoring.online_fdr import adjusted, next_level, simes
from linnet.monitoring.window import WINDOW_FILE, Rows, damaged_files
from linnet.progress import Progress
from linnet.records import CohortDrift, DriftReport, DriftTest, DriftVerdict, Window
from linnet.vision.decode import decode, sample_id

MIN_EMBEDDINGS = 50
"""Fewest kept images for a test of the embeddings."""
_BATCH = 250


@dataclass(frozen=True, slots=True)
class KeptImages:
    """Kept images of a window with what the model makes of them."""

    rows: npt.NDArray[np.int64]
    """Which rows of the window."""
    embedding: npt.NDArray[np.float32]
    passed_over: int = 0
    """Kept images that are not what the model saw: damaged, redacted or resized."""


def measure_drift(
    window: Path,
    package: Path,
    config: MonitoringConfig,
    past: Sequence[float],
    out: Path,
    progress: Progress | None = None,
    baseline: Baseline | None = None,
) -> DriftReport:
    """Compares the window in folder `window` with the reference in `package`; writes drift.json to `out`.

    Embeddings are computed here, from the images that the log kept, and not logged while serving: a
    row of the log would grow by several hundred bytes for something that only a sample is needed of,
    and kept images can be embedded by any version, the next champion's too.

    Args:
        window: folder of `write_window`.
        package: the version's package.
        config: tests, thresholds, and the bound on false discoveries.
        past: p-values of the version's earlier windows, the oldest first.
        out: gets drift.json.
        progress: called with what is being done, how much of it is done, and of how much.
        baseline: what each group of users sent in the version's first windows.

    Raises:
        StorageError: the window or the reference cannot be read.
        ServingError: the package cannot be loaded, or fails on an image.
    """
    about = Window.load(window / WINDOW_FILE)
    reference = Reference.load(package)
    rows = Rows.load(window, len(reference.features), len(reference.classes), reference.answer)
    kept = _embed(rows, package, progress) if about.enough else None
    report = compare_with_reference(about, rows, reference, kept, config, past, baseline)
    notes = [f"damaged, left out: {file}" for file in damaged_files(window)]
    if left := about.served - about.rows:
        notes.append(
            f"{about.extent} was looked at (monitoring.max_rows): "
            f"labels of the other {left:,} images are not counted"
        )
    report = report.model_copy(update={"notes": (*report.notes, *notes)})
    out.mkdir(parents=True, exist_ok=True)
    report.save(out / DRIFT_FILE)
    if rows.segments:
        write_baseline(watched_columns(rows, reference), rows, out)
    return report


def compare_with_reference(
    window: Window,
    rows: Rows,
    reference: Reference,
    kept: KeptImages | None,
    config: MonitoringConfig,
    past: Sequence[float] = (),
    baseline: Baseline | None = None,
) -> DriftReport:
    """The report of a window; pure, but for the arithmetic's time. `baseline`: of the groups of users."""
    level = next_level(past, config.alpha)
    notes, samples = [], []
    tests: list[DriftTest] = []
    cohorts: list[CohortDrift] = []
    if not window.enough:
        notes.append(f"{window.rows} images are too few for a verdict: {config.min_rows} are needed")
    else:
        columns = watched_columns(rows, reference)
        tests = _number_tests(columns, reference, config)
        tests.append(_class_test(rows, reference, config))
        if kept is None or len(kept.rows) < MIN_EMBEDDINGS:
            count = 0 if kept is None else len(kept.rows)
            notes.append(
                f"embeddings were not compared: {count} images were kept as the model saw them, "
                f"{MIN_EMBEDDINGS} are needed; serving.log_sample and serving.log_images keep some"
            )
        else:
            found = compare_embeddings(reference.embedding, kept.embedding)
            if kept.passed_over:
                notes.append(
                    f"embeddings are of {len(kept.rows):,} kept images: {kept.passed_over:,} more are "
                    "damaged, redacted or resized, and so not what the model saw"
                )
            tests.append(_embedding_test(found, config))
            strangest = np.argsort(-found.strangeness, kind="stable")
            samples = [rows.sample_id[row] for row in kept.rows[strangest[:64]]]
        if 0 < (watched := sum(one.column == "class" for one in reference.cohorts)) < len(reference.classes):
            notes.append(
                f"{watched} of {len(reference.classes):,} classes are watched as groups of their own: "
                "those that the reference named most often"
            )
        cohorts = reference_cohorts(columns, rows, reference, config)
        cohorts += segment_cohorts(columns, rows, reference.names, baseline or Baseline(), config)
    tests, cohorts, p_value = _decide(tests, cohorts, level, config)
    return DriftReport(
        window=window,
        reference_rows=reference.rows,
        reference_held_out=reference.held_out,
        verdict=_verdict(window, tests, cohorts),
        level=level,
        p_value=p_value,
        tests=tuple(tests),
        cohorts=tuple(cohorts),
        notes=tuple(notes),
        samples=tuple(samples),
    )


def _verdict(window: Window, tests: list[DriftTest], cohorts: list[CohortDrift]) -> DriftVerdict:
    if not window.enough:
        return "insufficient"
    moved = any(test.drifted for test in tests) or any(cohort.drifted for cohort in cohorts)
    return "drift" if moved else "stable"


def _decide(
    tests: list[DriftTest], cohorts: list[CohortDrift], level: float, config: MonitoringConfig
) -> tuple[list[DriftTest], list[CohortDrift], float]:
    """Adjusts all p-values of the window together; a cohort speaks with one, Simes' of its columns."""
    tested = [cohort for cohort in cohorts if cohort.effects]
    raw = [test.p_value for test in tests] + [cohort.adjusted for cohort in tested]
    values = [float(value) for value in adjusted(raw)]
    judged = [
        test.model_copy(
            update={"adjusted": value, "drifted": value <= level and test.effect >= test.threshold}
        )
        for test, value in zip(tests, values[: len(tests)], strict=True)
    ]
    by_cohort = {
        (cohort.cohort, cohort.value): {
            "adjusted": value,
            "drifted": value <= level and cohort.effect >= config.min_ks,
        }
        for cohort, value in zip(tested, values[len(tests) :], strict=True)
    }
    judged_cohorts = [
        cohort.model_copy(update=by_cohort.get((cohort.cohort, cohort.value), {})) for cohort in cohorts
    ]
    return judged, judged_cohorts, simes(raw)


def _number_tests(
    columns: npt.NDArray[np.floating], reference: Reference, config: MonitoringConfig
) -> list[DriftTest]:
    found = compare_columns(reference.columns, [np.ascontiguousarray(column) for column in columns.T])
    return [
        _number_test(name, "feature" if name in reference.features else "output", drift, config)
        for name, drift in zip(reference.names, found, strict=True)
    ]


def _number_test(
    name: str, kind: Literal["feature", "output"], drift: NumberDrift, config: MonitoringConfig
) -> DriftTest:
    gone = drift.rows == 0  # no value at all is the largest change there is
    return DriftTest(
        name=name,
        kind=kind,
        test="kolmogorov-smirnov",
        rows=drift.rows,
        statistic=1.0 if gone else drift.ks,
        p_value=0.0 if gone else drift.p_value,
        adjusted=1.0,
        effect=1.0 if gone else drift.ks,
        threshold=config.min_ks,
        drifted=False,
        psi=None if gone else drift.psi,
        jensen_shannon=None if gone else drift.jensen_shannon,
        wasserstein=None if gone else drift.wasserstein,
        missing=drift.missing,
    )


def _class_test(rows: Rows, reference: Reference, config: MonitoringConfig) -> DriftTest:
    counts = rows.named.sum(axis=0, dtype=np.int64)
    drift = compare_classes(reference.class_counts, counts)
    return DriftTest(
        name="classes",
        kind="output",
        test="chi-squared",
        rows=drift.rows,
        statistic=drift.statistic,
        p_value=drift.p_value,
        adjusted=1.0,
        effect=drift.jensen_shannon,
        threshold=config.min_class_distance,
        drifted=False,
        psi=drift.psi,
        jensen_shannon=drift.jensen_shannon,
    )


def _embedding_test(found: EmbeddingDrift, config: MonitoringConfig) -> DriftTest:
    return DriftTest(
        name="embedding",
        kind="embedding",
        test="cross-mmd",
        rows=found.rows,
        statistic=found.statistic,
        p_value=found.p_value,
        adjusted=1.0,
        effect=found.auc,
        threshold=config.min_embedding_auc,
        drifted=False,
    )


def _embed(rows: Rows, package: Path, progress: Progress | None) -> KeptImages | None:
    """The kept images through the packaged model; damaged, redacted and resized ones are left out."""
    model = PackagedModel.load(package)
    shape = model.package.height, model.package.width, model.package.channels
    chosen, images = [], []
    with ThreadPoolExecutor(2) as pool:
        for row, pixels in zip(
            rows.kept, pool.map(lambda r: kept_pixels(rows.image[r]), rows.kept), strict=True
        ):
            # A redacted image is not what the model saw; its embedding would be news of the redaction.
            if pixels is not None and pixels.shape == shape and sample_id(pixels) == rows.sample_id[row]:
                chosen.append(row)
                images.append(pixels)
    if not images:
        return None
    stacked, index = np.stack(images), np.array(chosen)
    parts = []
    for start in range(0, len(stacked), _BATCH):
        part = slice(start, start + _BATCH)
        parts.append(model.predict(stacked[part], rows.features[index[part]])[1])
        if progress:
            progress("embeddings", min(start + _BATCH, len(stacked)), len(stacked))
    return KeptImages(index, np.concatenate(parts), len(rows.kept) - len(chosen))


def kept_pixels(encoded: bytes | None) -> Images | None:
    """Pixels uint8 [H, W, C] of a kept image; None if none was kept, or it is damaged."""
    if encoded is None:
        return None
    try:
        return decode(encoded, "a kept image").pixels
    except InvalidImage:
        return None
