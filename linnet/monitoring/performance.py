"""How well a version does on a window: with labels when they have come, estimated without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linnet.artifacts.reference import Reference
from linnet.config import MonitoringConfig
from linnet.monitoring.drift import compare_classes
from linnet.monitoring.given_labels import GivenLabels, Image, given_labels
from linnet.monitoring.history import PERFORMANCE_FILE
from linnet.monitoring.label_stream import contradicted_share
from linnet.monitoring.online_fdr import adjusted
from linnet.monitoring.segments import accuracy_falls, segment_accuracy
from linnet.monitoring.window import WINDOW_FILE, Rows
from linnet.pages.names import first_few
from linnet.records import CohortDrift, ConfusionDrift, DriftReport, Interval, PerformanceReport, Window
from linnet.statistics.intervals import difference, quantile_of_normal, wilson
from linnet.statistics.metrics import confusion_matrix
from linnet.tasks.agree import agreement_of
from linnet.tasks.target import Target, target_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Feedback = Mapping[Image, tuple[str, datetime]]

_MIN_CLASS_ROWS = 20
"""Fewest labelled images of a class for a test of its row of the confusion matrix."""
_MIN_EXPECTED = 5.0
"""Cells of which fewer are expected are merged before a chi-squared test (Cochran, 1954)."""


def measure_performance(
    window: Path,
    package: Path,
    feedback: Path,
    drift: DriftReport,
    config: MonitoringConfig,
    out: Path,
    earlier: Sequence[PerformanceReport] = (),
) -> PerformanceReport:
    """Judges the window in folder `window` with the labels in folder `feedback`; writes performance.json.

    `earlier`: reports of earlier windows, that groups of users are held against.

    Raises:
        StorageError: the window or the package's reference cannot be read.
    """
    reference = Reference.load(package)
    about = Window.load(window / WINDOW_FILE)
    rows = Rows.load(window, len(reference.features), len(reference.classes), reference.answer)
    given = labels_of(rows, about, feedback)
    report = judge(about, rows, reference, given.labels, drift, config, earlier)
    report = report.model_copy(
        update={
            "notes": (
                *given.notes,
                *(f"labels that cannot be read: {one}" for one in given.damaged),
                *(f"later answers that cannot be read: {one}" for one in given.unread),
            )
        }
    )
    out.mkdir(parents=True, exist_ok=True)
    report.save(out / PERFORMANCE_FILE)
    return report


def labels_of(rows: Rows, window: Window, log: Path) -> GivenLabels:
    """The labels that came for a window's rows."""
    moments = (at.astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC) for at in rows.at)
    answers = zip(rows.request_id, rows.index, moments, rows.sample_id, strict=True)
    return given_labels(log, window.model, answers, window.start)


def judge(
    window: Window,
    rows: Rows,
    reference: Reference,
    feedback: Feedback,
    drift: DriftReport,
    config: MonitoringConfig,
    earlier: Sequence[PerformanceReport] = (),
) -> PerformanceReport:
    """The report; `feedback` maps images to label and arrival, other rows' do no harm."""
    target, size = target_of(reference.task), len(reference.classes)
    given, labels, delays, unknown = _join(rows, reference.classes, target, feedback)
    output = rows.output[given]
    agreement, said = agreement_of(reference.task), reference.answer.labels(output)
    named = reference.answer.named(output)
    scores = [agreement(one, true) for one, true in zip(said, labels, strict=True)]
    right = sum(scores)
    truth = np.zeros((len(labels), size), np.bool_)
    for row, label in enumerate(labels):
        truth[row] = [name in target.classes(label) for name in reference.classes]
    confusion = np.zeros((0, 0), np.int64)
    if not target.several:
        confusion = confusion_matrix(truth.argmax(axis=1), named.argmax(axis=1), size)
    hits, support = (named & truth).sum(axis=0), truth.sum(axis=0)
    accuracy = _share(right, len(labels), config.confidence)
    estimate = estimate_accuracy(rows.confidence, reference, config.confidence)
    doubts = _doubts(
        window, drift, accuracy, estimate, lambda cohort: _inputs_moved(cohort, reference, config)
    )
    if unknown:
        doubts.append(f"{unknown} labels that came name no class of this version: a new class?")
    judged = accuracy or (estimate if not doubts else None)
    right_held = reference.accuracy * reference.held_out
    held = _share(right_held if target.several else round(right_held), reference.held_out, config.confidence)
    report = PerformanceReport(
        window=window,
        reference_accuracy=reference.accuracy,
        labelled=len(labels),
        delay_p50_seconds=float(np.median(delays)) if len(delays) else None,
        accuracy=accuracy,
        loss=difference(held, judged) if held and judged else None,
        estimate=estimate,
        estimate_atc=float((rows.confidence > reference.atc_threshold).mean())
        if window.rows
        else float("nan"),
        estimate_holds=not doubts,
        doubts=tuple(doubts),
        classes=reference.classes,
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        confusion_drift=compare_confusion(confusion, reference, config),
        cohorts={
            name: interval
            for k, name in enumerate(reference.classes)
            if (interval := _share(int(hits[k]), int(support[k]), config.confidence))
        },
        segments=segment_accuracy(rows, given, scores, earlier, config.confidence),
        contradicted=0.0 if target.several else _contradicted(rows.confidence[given], scores, named),
    )
    return report.model_copy(update={"falls": accuracy_falls(report, reference, config.confidence)})


def estimate_accuracy(confidence: npt.NDArray[np.floating], reference: Reference, level: float) -> Interval:
    """Accuracy of unlabelled images from their calibrated confidence [N] (CBPE): its mean.

    Confidence-based performance estimation as NannyML describes it: an image with confidence c is
    right with probability c, so the number of right ones is a sum of independent coin flips. What the
    confidence is off by on the held-out images is taken off. The interval covers the coin flips and the
    uncertainty of that correction.

    It holds if the images are like the held-out ones (other proportions do no harm, other kinds do), so
    that the calibration carries over, and if what people call them has not changed: that no method can
    see without labels.
    """
    if not len(confidence):
        return Interval(value=float("nan"), low=float("nan"), high=float("nan"))
    sure = confidence.astype(np.float64)
    held = reference.confidence.points.astype(np.float64)
    value = float(sure.mean() + reference.accuracy - held.mean())
    flips = float((sure * (1.0 - sure)).sum()) / len(sure) ** 2
    correction = float((held * (1.0 - held)).mean()) / max(reference.held_out, 1)
    half = quantile_of_normal(level) * sqrt(flips + correction)
    value = min(max(value, 0.0), 1.0)
    return Interval(value=value, low=max(value - half, 0.0), high=min(value + half, 1.0))


def _contradicted(
    confidence: npt.NDArray[np.floating], scores: Sequence[float], named: npt.NDArray[np.bool_]
) -> float:
    right = np.asarray(scores, float) > 0.5
    return contradicted_share(confidence, right, named.argmax(axis=1).astype(np.int64))


def compare_confusion(
    confusion: Ints, reference: Reference, config: MonitoringConfig
) -> tuple[ConfusionDrift, ...]:
    """What each class is predicted as, against the held-out images; without classes of fewer than 20 labels.

    Chi-squared tests a row, cells with small expectations merged, adjusted over the classes.
    """
    tested = [
        k
        for k in range(len(confusion))
        if confusion[k].sum() >= _MIN_CLASS_ROWS and reference.confusion[k].sum() >= _MIN_CLASS_ROWS
    ]
    drifts = [compare_classes(*_merged(reference.confusion[k], confusion[k], k)) for k in tested]
    found = []
    for k, drift, p_value in zip(tested, drifts, adjusted([one.p_value for one in drifts]), strict=True):
        recall = _share(int(confusion[k, k]), int(confusion[k].sum()), config.confidence)
        assert recall is not None, "only rows with labels are tested"
        certain = p_value <= 1.0 - config.confidence
        found.append(
            ConfusionDrift(
                label=reference.classes[k],
                rows=int(confusion[k].sum()),
                recall=recall,
                reference_recall=float(reference.confusion[k, k] / reference.confusion[k].sum()),
                p_value=float(p_value),
                drifted=bool(certain and drift.jensen_shannon >= config.min_class_distance),
            )
        )
    return tuple(found)


def _merged(expected: Ints, found: Ints, own: int) -> tuple[Ints, Ints]:
    """Two rows of confusion matrices with the rare mistakes put into one cell."""
    total = expected + found
    rare = total * min(expected.sum(), found.sum()) / total.sum() < _MIN_EXPECTED
    rare[own] = False
    return tuple(np.append(row[~rare], row[rare].sum()) for row in (expected, found))  # type: ignore[return-value]


def _join(
    rows: Rows, classes: tuple[str, ...], target: Target, feedback: Feedback
) -> tuple[Ints, list[str], Floats, int]:
    """Rows whose label came, these labels, seconds until they did, and labels of no known class."""
    known = set(classes)
    given, labels, delays, unknown = [], [], [], 0
    for row, key in enumerate(zip(rows.request_id, rows.index, rows.sample_id, strict=True)):
        if key not in feedback:
            continue
        label, moment = feedback[key]
        if not known.issuperset(target.classes(label)):
            unknown += 1
            continue
        given.append(row)
        labels.append(label)
        answered = rows.at[row].astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC)
        delays.append((moment - answered).total_seconds())
    return np.asarray(given, np.int64), labels, np.asarray(delays), unknown


def _inputs_moved(cohort: CohortDrift, reference: Reference, config: MonitoringConfig) -> bool:
    """Whether what a cohort sends moved, and not only what the model says of it."""
    return any(cohort.effects.get(name, 0.0) >= config.min_ks for name in reference.features)


def _doubts(
    window: Window,
    drift: DriftReport,
    accuracy: Interval | None,
    estimate: Interval,
    inputs_moved: Callable[[CohortDrift], bool],
) -> list[str]:
    """Why the estimate without labels is unproven; none if its assumptions hold as far as can be seen."""
    doubts = []
    if not window.enough:
        doubts.append(f"only {window.extent} can be judged in the window")
    moved = [test.name for test in drift.tests if test.drifted and test.kind != "output"]
    if moved:
        doubts.append(
            f"the images are not like those the confidence was calibrated on ({first_few(moved)} moved)"
        )
    elif cohorts := [cohort.name for cohort in drift.cohorts if cohort.drifted and inputs_moved(cohort)]:
        doubts.append(f"images of {first_few(cohorts)} are not like those of the reference")
    if not any(test.kind == "embedding" for test in drift.tests):
        doubts.append("embeddings were not compared, since no images were kept")
    if accuracy and (accuracy.low > estimate.high or accuracy.high < estimate.low):
        doubts.append(
            f"the labels that came contradict it ({accuracy.low:.3f} to {accuracy.high:.3f} measured, "
            f"{estimate.low:.3f} to {estimate.high:.3f} estimated)"
        )
    return doubts


def _share(successes: float, trials: int, confidence: float) -> Interval | None:
    """A share with its interval; None for no trials."""
    return wilson(successes, trials, confidence) if trials else None
