"""Section of the monitoring: windows over served traffic, and what counts as drift.

No parameter of the training pipeline: changing it must not run a training again.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from linnet.config.section import Fraction, Section


class MonitoringConfig(Section):
    renamed: ClassVar = {"lateness_minutes": "allowed_lateness_minutes"}
    window_minutes: float = Field(default=60.0, gt=0)
    """Length of a window, by the time at which requests were answered."""
    allowed_lateness_minutes: float = Field(default=2.0, ge=0)
    """A window is closed this long after its end; rows written later are counted as late."""
    min_rows: int = Field(default=300, ge=20)
    """Fewest images in a window for a verdict; fewer are `insufficient`, never `stable`."""
    max_rows: int = Field(default=100_000, ge=100)
    """Most images of a window that are looked at; of more, an even random share."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Bound on the false discovery rate of windows called drifted, over a version's whole life."""
    min_ks: Fraction = Field(default=0.1, gt=0, lt=1)
    """Smallest Kolmogorov-Smirnov distance of a number that matters, however certain it is."""
    min_class_distance: Fraction = Field(default=0.1, gt=0, lt=1)
    """Smallest Jensen-Shannon distance (base 2) of the predicted classes that matters."""
    min_embedding_auc: float = Field(default=0.6, ge=0.5, lt=1)
    """Smallest AUC of telling a window's embeddings from the reference's that matters (0.5: none can)."""
    embedding_rows: int = Field(default=1000, ge=50, le=20_000)
    """Most kept images of a window whose embedding is compared."""
    min_cohort_rows: int = Field(default=50, ge=10)
    """Cohorts with fewer images in a window are shown, but not tested."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Level of the intervals of accuracy."""
    max_accuracy_drop: Fraction = Field(default=0.03, gt=0, lt=1)
    """Loss of accuracy against the held-out images that matters."""
