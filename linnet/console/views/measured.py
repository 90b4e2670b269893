"""What was measured of a model, as several pages show it: a metric that moved, a confusion matrix."""

from __future__ import annotations

import numpy as np

from linnet.console.markup import Html, address, chip
from linnet.evaluation import plots
from linnet.records import EvaluationReport
from linnet.report.comparison import MetricChange


def change(metric: MetricChange) -> Html:
    """By how much a metric moved, colored by whether that is good."""
    tones = {"better": "good", "worse": "bad"}
    return chip(metric.words, tones.get(metric.verdict, ""))


def confusion_of(report: EvaluationReport, run: str) -> Html:
    """The confusion matrix of a run; a cell opens the images behind it."""

    def images(true: str, said: str) -> str:
        return address("data", run=run, label=true, predicted=said, split="test") + "#samples"

    picture = plots.confusion_picture(np.array(report.confusion), report.classes, images if run else None)
    return Html(picture)
