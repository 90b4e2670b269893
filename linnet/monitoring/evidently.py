"""The same window as an Evidently report: an optional second view, for those who know it.

Evidently is an extra (`pip install 'linnet[evidently]'`) and is imported only here: it brings some
forty packages that nothing else in Linnet needs. Its verdict decides nothing.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from linnet.artifacts.reference import CONFIDENCE, Reference
from linnet.errors import ConfigError
from linnet.monitoring.window import Rows

EVIDENTLY_FILE = "evidently.html"
_ROWS = 2048


def available() -> bool:
    """Whether Evidently is installed."""
    return importlib.util.find_spec("evidently") is not None


def write_evidently(rows: Rows, reference: Reference, out: Path) -> Path:
    """Writes Evidently's data drift preset over features, confidence and predicted classes.

    The reference's columns are its order statistics, a column by itself: Evidently compares column by
    column, so no joint distribution is needed, and none must be read into the page.

    Raises:
        ConfigError: Evidently is not installed.
    """
    if not available():
        raise ConfigError("--evidently", "Evidently is not installed", "pip install 'linnet[evidently]'")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=list(reference.names), categorical_columns=["class"])
    then, now = (
        Dataset.from_pandas(frame, data_definition=definition)
        for frame in (_reference_frame(reference), _window_frame(rows, reference))
    )
    snapshot = Report([DataDriftPreset()]).run(now, then)
    out.mkdir(parents=True, exist_ok=True)
    snapshot.save_html(str(out / EVIDENTLY_FILE))
    return out / EVIDENTLY_FILE


def _reference_frame(reference: Reference) -> Any:
    import pandas as pd

    share = (np.arange(_ROWS) + 0.5) / _ROWS
    columns = {
        name: sample.points[(share * len(sample.points)).astype(np.int64)]
        for name, sample in zip(reference.names, reference.columns, strict=True)
    }
    edges = np.cumsum(reference.class_counts) / reference.class_counts.sum()
    labels = np.array(reference.classes)[np.minimum(np.searchsorted(edges, share), len(edges) - 1)]
    return pd.DataFrame({**columns, "class": labels})


def _window_frame(rows: Rows, reference: Reference) -> Any:
    import pandas as pd

    columns = {name: rows.features[:, k] for k, name in enumerate(reference.features)}
    labels = np.array(reference.classes)[rows.likeliest]
    outputs = {CONFIDENCE: rows.confidence, **reference.watched(rows.output)}
    return pd.DataFrame({**columns, **outputs, "class": labels})
