"""Drift within cohorts: classes and brightness against the reference, groups of users against their own past.

A group of users (`serving.segments`) is not held against the reference, nor against other groups: shops,
countries and devices differ for good, and only a change of one of them is news.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.artifacts.reference import Reference, SortedSample
from linnet.config import MonitoringConfig
from linnet.monitoring.drift import compare_numbers
from linnet.monitoring.online_fdr import simes
from linnet.monitoring.window import Rows
from linnet.records import CohortDrift
from linnet.statistics.spread import spread
from linnet.vision.statistics import brightness_cohort

Floats = npt.NDArray[np.floating]
BASELINE_FILE = "segments.npz"
_MOST_ROWS = 500
"""Of a group and window that are kept."""


class Baseline(dict[tuple[str, str], Floats]):
    """Columns [M, C] by segment and value, and in `rows` how many images they stand for."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[tuple[str, str], int] = {}

    def add(self, cohort: tuple[str, str], columns: Floats, rows: int) -> None:
        """Takes in a window's images of a group."""
        known = self.get(cohort)
        self[cohort] = columns if known is None else np.concatenate([known, columns])
        self.rows[cohort] = self.rows.get(cohort, 0) + rows

    def share(self, cohort: tuple[str, str]) -> float:
        """The group's share of its segment; 0 where it was not seen."""
        of = sum(rows for (name, _), rows in self.rows.items() if name == cohort[0])
        return self.rows.get(cohort, 0) / of if of else 0.0


def watched_columns(rows: Rows, reference: Reference) -> Floats:
    """The numbers that are compared, [N, C] in the order of `reference.names`."""
    return np.column_stack([rows.features, rows.confidence, *reference.watched(rows.output).values()])


def reference_cohorts(
    columns: Floats, rows: Rows, reference: Reference, config: MonitoringConfig
) -> list[CohortDrift]:
    """Every cohort of the reference; `adjusted` is Simes' p-value of its columns, to be adjusted on."""
    members = {("class", name): rows.named[:, k] for k, name in enumerate(reference.classes)}
    if "brightness" in reference.features:
        values = rows.features[:, reference.features.index("brightness")]
        third = brightness_cohort(values, reference.brightness_edges)
        members |= {("brightness", value): third == value for value in ("dark", "medium", "bright")}
    found = []
    for cohort in reference.cohorts:
        inside = members[cohort.column, cohort.value]
        drift = CohortDrift(
            cohort=cohort.column, value=cohort.value, rows=int(inside.sum()),
            share=int(inside.sum()) / len(inside), reference_share=cohort.share,
        )  # fmt: skip
        found.append(_measured(drift, cohort.samples, columns[inside], reference.names, config))
    return found


def segment_cohorts(
    columns: Floats, rows: Rows, names: Sequence[str], baseline: Baseline, config: MonitoringConfig
) -> list[CohortDrift]:
    """Every group of users against its own past; one without is shown, and not tested."""
    found = []
    for (segment, value), inside in rows.cohorts.items():
        drift = CohortDrift(
            cohort=segment, value=value, rows=int(inside.sum()), share=int(inside.sum()) / len(inside),
            reference_share=baseline.share((segment, value)),
        )  # fmt: skip
        before = baseline.get((segment, value))
        if before is not None:
            samples = [SortedSample.of(np.ascontiguousarray(column)) for column in before.T]
            drift = _measured(drift, samples, columns[inside], names, config)
        found.append(drift)
    return found


def write_baseline(columns: Floats, rows: Rows, out: Path) -> None:
    """Keeps a sample of each group's columns beside the window's report, for later windows."""
    kept: dict[str, Any] = {}
    names, counts = [], []
    for number, (cohort, inside) in enumerate(rows.cohorts.items()):
        mine = columns[inside]
        kept[f"columns{number}"] = mine[spread(len(mine), _MOST_ROWS)].astype(np.float32)
        names.append(cohort)
        counts.append(len(mine))
    kept |= {"names": np.array(names), "counts": np.array(counts)}
    np.savez_compressed(out / BASELINE_FILE, **kept)


def add_window(baseline: Baseline, path: Path) -> None:
    """Adds what a window's file holds. Raises OSError, ValueError or KeyError if it is none."""
    with np.load(path) as file:
        for number, (cohort, rows) in enumerate(zip(file["names"], file["counts"], strict=True)):
            baseline.add((str(cohort[0]), str(cohort[1])), file[f"columns{number}"], int(rows))


def _measured(
    drift: CohortDrift,
    samples: Sequence[SortedSample],
    columns: Floats,
    names: Sequence[str],
    config: MonitoringConfig,
) -> CohortDrift:
    """With its effects, if there are enough images on both sides."""
    if min(len(columns), samples[0].count) < config.min_cohort_rows:
        return drift
    parts = [compare_numbers(s, column) for s, column in zip(samples, columns.T, strict=True)]
    effects = {name: part.ks for name, part in zip(names, parts, strict=True)}
    largest = max(effects, key=lambda name: effects[name] if np.isfinite(effects[name]) else 1.0)
    return drift.model_copy(
        update={
            "column": largest,
            "effect": effects[largest] if np.isfinite(effects[largest]) else 1.0,
            "effects": effects,
            "adjusted": simes([part.p_value for part in parts]),
        }
    )
