"""Pictures of single samples in the report: the most confident errors, and the doubtful labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.config import EvaluationConfig, GatesConfig
from linnet.records import EvaluationReport
from linnet.tasks.draw import draw_of
from linnet.tasks.score import Results, score_of
from linnet.tasks.target import target_of
from linnet.vision.thumbnail import thumbnail

_SHOTS = 24
_TRUE, _SAID = "limegreen", "orange"
_LARGE = 224
"""Pixels of the longer side of a picture in which places are drawn."""


@dataclass(frozen=True)
class ReportData:
    """What the page shows beyond the report itself, for N test samples."""

    calibrated: Results
    uncalibrated: Results
    images: npt.NDArray[np.uint8]
    """[N, H, W, C]"""
    ids: Sequence[str]
    evaluation: EvaluationConfig
    gates: GatesConfig
    validation_samples: int
    remarks: tuple[str, ...] = ()
    """Sentences without a full stop, such as about how the champion was fed."""
    truth: Sequence[str] = ()
    """The label of each sample."""
    said: Sequence[str] = ()
    """What the model says of each."""
    sure: npt.NDArray[np.floating] = field(default_factory=lambda: np.zeros(0))
    """How sure it is of that: [N]."""


def confusions(report: EvaluationReport, most: int = 12) -> list[tuple[str, str, int, float]]:
    """The commonest confusions: true class, predicted class, samples, share of the true class."""
    return [
        (report.classes[true], report.classes[named], count, count / sum(report.confusion[true]))
        for true, named, count in confused(report)[:most]
    ]


def confused(report: EvaluationReport) -> list[tuple[int, int, int]]:
    """Pairs of true and predicted class with their count, the commonest first."""
    if not report.confusion:
        return []
    counts = np.array(report.confusion)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[: int((counts > 0).sum())]
    pairs = zip(*np.unravel_index(order, counts.shape), strict=True)
    return [(int(true), int(named), int(counts[true, named])) for true, named in pairs]


def mistakes(report: EvaluationReport, evidence: ReportData) -> list[dict[str, Any]]:
    """The surest mistake of each of the commonest confusions, or images of each kind of mistake, or else the
    worst answers.

    None where probabilities are no numbers.
    """
    predictions = evidence.calibrated
    if predictions.not_finite:
        return []
    if report.mistakes:
        return _of_each_kind(report.task, evidence)
    if not report.confusion:
        worst = np.argsort(predictions.scores, kind="stable")[:_SHOTS]
        return [_labelled(report.task, evidence, int(i)) for i in worst if predictions.scores[i] < 1]
    found = []
    truth, said = np.asarray(evidence.truth, np.str_), np.asarray(evidence.said, np.str_)
    for true, named, count in confused(report)[:_SHOTS]:
        pair = np.flatnonzero((truth == report.classes[true]) & (said == report.classes[named]))
        surest = int(pair[evidence.sure[pair].argmax()])
        found.append(
            _shot(
                evidence,
                surest,
                "{} predicted as <b>{}</b><br>{:.0f} % sure, {} of a kind",
                report.classes[true],
                report.classes[named],
                100 * evidence.sure[surest],
                count,
            )
        )
    return found


def _of_each_kind(task: str, evidence: ReportData) -> list[dict[str, Any]]:
    """The images with the most mistakes of each kind, the surest answers first, each image once."""
    counts, found, shown = score_of(task).mistakes(evidence.calibrated), [], set[int]()
    for kind, count in counts.items():
        order = np.lexsort((-np.asarray(evidence.sure), -count))
        chosen = [int(i) for i in order[: int((count > 0).sum())] if int(i) not in shown]
        for i in chosen[: _SHOTS // len(counts)]:
            shown.add(i)
            shot = _labelled(task, evidence, i)
            found.append(shot | {"text": _text("<b>{}: {}</b><br>", kind, int(count[i])) + shot["text"]})
    return found


def suspects(report: EvaluationReport, evidence: ReportData) -> list[dict[str, Any]]:
    """The most doubtful labels, with what the model would say instead."""
    predictions = evidence.calibrated
    position = {name: i for i, name in enumerate(evidence.ids)} if report.suspects else {}
    if not report.confusion:
        return [_labelled(report.task, evidence, position[name]) for name in report.suspects[:_SHOTS]]
    found = []
    for name in report.suspects[:_SHOTS]:
        i = position[name]
        label, own = report.classes.index(evidence.truth[i]), predictions.output[i]
        better = int(np.where(np.arange(len(own)) == label, -1.0, own).argmax())
        text = "labelled {} ({:.0f} %)<br><b>{}</b>? ({:.0f} %)"
        values = (report.classes[label], 100 * own[label], report.classes[better], 100 * own[better])
        found.append(_shot(evidence, i, text, *values))
    return found


def _labelled(task: str, evidence: ReportData, i: int) -> dict[str, Any]:
    """A picture with its label and what the model says; drawn in it, where they say where."""
    truth, said, target = evidence.truth[i], evidence.said[i], target_of(task)
    if not target.spatial:
        return _shot(evidence, i, "labelled {}<br>answered <b>{}</b>", truth or "none", said or "none")
    names = (", ".join(target.classes(label)) or "none" for label in (truth, said))
    found = _shot(evidence, i, "labelled {} (green)<br>answered <b>{}</b> (orange)", *names)
    draw = draw_of(task)
    picture = draw(draw(np.asarray(evidence.images[i]), truth, _TRUE), said, _SAID)
    return found | {"image": thumbnail(picture, _LARGE)}


def _shot(evidence: ReportData, i: int, text: str, *values: object) -> dict[str, Any]:
    """A picture with its caption; `values` are escaped into `text`."""
    return {
        "image": thumbnail(np.asarray(evidence.images[i])),
        "id": evidence.ids[i],
        "alt": f"test sample {evidence.ids[i]}",
        "text": _text(text, *values),
    }


def _text(text: str, *values: object) -> Any:
    from markupsafe import Markup

    return Markup(text).format(*values)  # noqa: S704  a constant; format escapes the values
