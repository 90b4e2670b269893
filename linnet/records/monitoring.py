"""Records of the monitoring: a window of served traffic, and what was found in it.

A window's folder holds `window.json` and `window.parquet` (its rows), and beside them what the steps
found: `drift.json`, `performance.json`, `skew.json` and the page `report.html`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from linnet.records.record import Interval, Record, Verdict

DriftVerdict = Literal["stable", "drift", "insufficient"]


class Window(Record):
    """One window of the prediction log, of one version: `window.json`."""

    model: str
    version: str
    start: datetime
    """Rows answered from this moment on."""
    end: datetime
    """Rows answered before this moment."""
    rows: int
    """Images that were answered; of more than `monitoring.max_rows`, those that were taken."""
    served: int
    """Images that were answered in all."""
    failed: int
    """Requests of this version that reached the model and got no answer."""
    late: int
    """Images whose row was written after the window was closed; they are counted in `served`."""
    images: int
    """Images among `rows` whose pixels were kept."""
    latency_p50_ms: float
    latency_p95_ms: float
    enough: bool
    """Whether there are at least `monitoring.min_rows` images."""

    @property
    def extent(self) -> str:
        """How many images the window's figures are of, in words: a sample is never told as the whole."""
        if self.rows < self.served:
            return f"a sample of {self.rows:,} of {self.served:,} images"
        return f"{self.rows:,} images"


class DriftTest(Record):
    """One quantity of a window against the reference."""

    name: str
    """A feature, `confidence`, `classes` (the predicted classes) or `embedding`."""
    kind: Literal["feature", "output", "embedding"]
    test: Literal["kolmogorov-smirnov", "chi-squared", "cross-mmd"]
    rows: int
    statistic: float
    p_value: float
    adjusted: float
    """p-value after Benjamini and Hochberg, over all tests of the window."""
    effect: float
    """KS distance, Jensen-Shannon distance (base 2), or AUC of telling window from reference."""
    threshold: float
    """The smallest effect that matters."""
    drifted: bool
    """Both certain (adjusted p at most the window's level) and large enough to matter."""
    psi: float | None = None
    """Population stability index over the reference's deciles, or over the classes."""
    jensen_shannon: float | None = None
    """Jensen-Shannon distance, base 2, over the same bins."""
    wasserstein: float | None = None
    """Earth mover's distance, in standard deviations of the reference."""
    missing: float = 0.0
    """Share of values that were not a number."""

    @property
    def severity(self) -> float:
        """The effect as a multiple of the smallest one that matters (AUC: of its distance from 0.5)."""
        base = 0.5 if self.kind == "embedding" else 0.0
        return (self.effect - base) / max(self.threshold - base, 1e-9)

    @property
    def sentence(self) -> str:
        """What was found, with its evidence."""
        measured = {
            "kolmogorov-smirnov": "KS distance",
            "chi-squared": "Jensen-Shannon distance",
            "cross-mmd": "AUC of telling window from reference",
        }[self.test]
        return (
            f"{self.name}: {measured} {self.effect:.3f} (from {self.threshold:g} on it matters), "
            f"adjusted p {'< 1e-300' if self.adjusted < 1e-300 else f'{self.adjusted:.2g}'} "
            f"over {self.rows:,} images"
        )


class CohortDrift(Record):
    """A part of the traffic against the same part of the reference."""

    cohort: str
    """`class` (as predicted) or `brightness`."""
    value: str
    rows: int
    share: float
    reference_share: float
    column: str = ""
    """The column that moved most within the cohort; empty: too few rows to say."""
    effect: float = 0.0
    """Its KS distance."""
    effects: dict[str, float] = {}
    """KS distance by column; empty: too few rows."""
    adjusted: float = 1.0
    """Smallest p-value of the cohort's columns after Benjamini and Hochberg over all cohorts."""
    drifted: bool = False

    @property
    def name(self) -> str:
        """Which cohort, with whose value it is: two segments may have the same one."""
        return f"{self.cohort}={self.value}"


class DriftReport(Record):
    """What was found in a window against the version's reference: `drift.json`."""

    window: Window
    reference_rows: int
    """Training and validation images behind the reference's features."""
    reference_held_out: int
    """Images not trained on, behind its confidence, predicted classes and embeddings."""
    verdict: DriftVerdict
    level: float
    """What the control of false discoveries over time left this window to spend (LORD++)."""
    p_value: float
    """Simes' p-value of the whole window; at most `level`: some quantity differs from the reference."""
    tests: tuple[DriftTest, ...]
    cohorts: tuple[CohortDrift, ...]
    notes: tuple[str, ...] = ()
    """What was not measured, and why."""
    samples: tuple[str, ...] = ()
    """Sample ids of kept images that are least like the reference, the strangest first."""

    @property
    def drifted(self) -> tuple[DriftTest, ...]:
        """The tests that found drift, the largest effect (relative to what matters) first."""
        found = [test for test in self.tests if test.drifted]
        return tuple(sorted(found, key=lambda test: -test.severity))

    @property
    def reasons(self) -> list[str]:
        """A sentence a drifted quantity."""
        return [test.sentence for test in self.drifted]


class ConfusionDrift(Record):
    """What one class is predicted as, now and on the held-out images."""

    label: str
    rows: int
    recall: Interval
    reference_recall: float
    p_value: float
    """Exact or Monte-Carlo chi-squared test of the row of the confusion matrix, adjusted over classes."""
    drifted: bool


class SegmentAccuracy(Record):
    """Accuracy of one group of users, as their requests say (`serving.segments`)."""

    segment: str
    value: str
    labelled: int
    right: float
    """Sum of the scores of its labelled images."""
    accuracy: Interval
    reference: float | None
    """Its own in earlier windows; None: too few labels came in these."""
    earlier: int
    """Labels of these windows."""


class PerformanceReport(Record):
    """How well a version does on a window: `performance.json`."""

    window: Window
    reference_accuracy: float
    """On the held-out images of its evaluation."""
    labelled: int
    """Images whose true label has come."""
    delay_p50_seconds: float | None
    """Median time from answer to label; None without labels."""
    accuracy: Interval | None
    """Of the labelled images; None without labels."""
    loss: Interval | None
    """Reference accuracy minus measured accuracy (or minus the estimate, where that holds)."""
    estimate: Interval
    """Accuracy without labels, from calibrated confidence (CBPE)."""
    estimate_atc: float
    """The same by average thresholded confidence (ATC)."""
    estimate_holds: bool
    """Whether the assumptions of the estimate hold as far as can be seen."""
    doubts: tuple[str, ...]
    """Why the estimate is unproven."""
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows: true class; columns: predicted class; of the labelled images."""
    confusion_drift: tuple[ConfusionDrift, ...]
    cohorts: dict[str, Interval] = {}
    """Accuracy by true class, where at least one label came."""
    segments: tuple[SegmentAccuracy, ...] = ()
    """Of each group of users that labels came for."""
    falls: dict[str, float] = {}
    """How far accuracy is proven to lie below what it was, by cohort (`column=value`); 0: it is not."""
    contradicted: float = 0.0
    """Share of labels that contradict sure answers in nearly every class: they are given carelessly."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""


class SkewDifference(Record):
    """One value that was served otherwise than it is computed offline."""

    request_id: str
    sample_id: str
    what: str
    """A feature's name, or `pixels`."""
    served: str
    offline: str
    source: Literal["store", "pixels"]
    """Whether it was compared with the feature store's point-in-time join or computed from kept pixels."""


class SkewReport(Record):
    """The skew audit of served rows: `skew.json`."""

    verdict: Verdict
    """`fail` if a value differs, or a library does, or nothing could be compared."""
    rows: int
    compared: int
    """Rows that were compared, with the store or from their pixels."""
    by_store: int
    """Rows whose features the store knew at the time of serving."""
    by_pixels: int
    """Rows whose kept image was computed again."""
    unknown: int
    """Rows that neither the store knows nor an image was kept of."""
    differences: int
    """Values that differ in at least one bit."""
    by_name: dict[str, int]
    """The same by feature (or `pixels`)."""
    examples: tuple[SkewDifference, ...]
    """The first hundred."""
    libraries: tuple[str, ...]
    """A sentence a library (or part of the preprocessing's code) whose version is not the package's."""
    notes: tuple[str, ...] = ()
