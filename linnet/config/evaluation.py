"""Sections of evaluation and its gates: in a module of their own, so that a new gate retrains nothing."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from linnet.config.section import Fraction, Section


class EvaluationConfig(Section):
    renamed: ClassVar = {"candidates": "max_label_candidates"}
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Level of every interval."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap resamples for metrics that have no closed interval."""
    calibration_bins: int = Field(default=15, ge=2)
    """Equal-mass bins of the expected calibration error."""
    seed: int = Field(default=0, ge=0)
    """Seed of the bootstrap."""
    max_label_candidates: int = Field(default=20_000, ge=0)
    """Training samples that people may be asked about after a run, drawn anew for each model."""


PACKAGE_GATES = ("min_parity", "max_latency_p95_ms", "max_size_mb")
"""Thresholds that `package` judges by; `evaluate` judges by the others."""


class GatesConfig(Section):
    min_accuracy: Fraction = Field(default=0.80, ge=0, le=1)
    """The lower confidence bound of test accuracy must reach this."""
    min_macro_f1: Fraction = Field(default=0.75, ge=0, le=1)
    """The lower confidence bound of macro F1 must reach this."""
    min_micro_f1: Fraction = Field(default=0.75, ge=0, le=1)
    """The lower confidence bound of micro F1 must reach this; where images have several classes."""
    min_map: Fraction = Field(default=0.75, ge=0, le=1)
    """The same of the mean average precision, of boxes over overlaps of 50 to 95 %; where images have several
    classes."""
    min_map50: Fraction = Field(default=0.5, ge=0, le=1)
    """The same of boxes at an overlap of 50 %."""
    max_miss_rate: Fraction = Field(default=0.5, ge=0, le=1)
    """The upper bound of the share of objects that no box finds may be at most this."""
    max_false_positives: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """The upper bound of the boxes an image that are no object may be at most this."""
    min_mean_iou: Fraction = Field(default=0.5, ge=0, le=1)
    """The same of the mean IoU of classes; where pixels have classes."""
    min_worst_recall: Fraction = Field(default=0.5, ge=0, le=1)
    """The recall of the worst class must reach this."""
    min_auc: Fraction = Field(default=0.9, ge=0, le=1)
    """The lower bound of the macro one-against-rest AUC must reach this."""
    max_ece: Fraction = Field(default=0.05, ge=0, le=1)
    """Expected calibration error after temperature scaling may be at most this."""
    max_cohort_gap: Fraction = Field(default=0.25, ge=0, le=1)
    """Largest distance of a non-class cohort's accuracy below the overall accuracy."""
    min_cohort_samples: int = Field(default=30, ge=1)
    """Cohorts with fewer test samples are shown and not judged, unless none is larger."""
    non_inferiority_margin: Literal["auto"] | Annotated[Fraction, Field(ge=0, le=1)] = "auto"
    """The candidate may be worse than the champion by less than this (paired, lower bound); 0: it must be
    better; auto: what the test images can show, 0.01 from 954 of them on. The report states it."""
    unjudged_classes: tuple[str, ...] = ()
    """Classes that may lack test images: they are trained and predicted, and no gate judges them."""
    min_parity: Fraction = Field(default=0.999, ge=0, le=1)
    """Share of test images on which the packaged model must give the same answer as torch."""
    max_latency_p95_ms: float = Field(default=50.0, gt=0)
    """p95 of single-image requests to the packaged model in the real server, in milliseconds."""
    max_size_mb: float = Field(default=100.0, gt=0)
    """Size of the packaged model in megabytes."""
