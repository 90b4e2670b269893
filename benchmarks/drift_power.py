"""How surely and how soon each kind of drift is found, on real images (Fashion-MNIST), beside two rules.

Streams of windows of 500 images; a stream drifts from its first window on. Power: share of streams
found within five windows; delay: mean number of windows until then. The rules beside it:

- Evidently's default preset as a trigger: a column drifts at a normed Wasserstein distance (numbers) or
  Jensen-Shannon distance (classes) of 0.1, a window when half of its columns do. The rule is computed
  here with our statistics, which equal scipy's; it is what the preset does for a reference of more than
  1,000 rows (docs.evidentlyai.com, "Data drift").
- 3 of 5: a PSI of any column above 0.2 in at least three of the last five windows, the newest included.

False retraining: streams that never drift, in which a rule asks for a training run at least once. For
Linnet that is the policy, with every image labelled; each of the other rules asks when it fires.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from benchmarks.small_model import CLASSES, fashion, make_champion
from linnet.artifacts.onnx_model import PackagedModel
from linnet.artifacts.reference import Reference
from linnet.config import MonitoringConfig, RetrainingConfig
from linnet.monitoring.measure import KeptImages, compare_with_reference
from linnet.monitoring.performance import judge
from linnet.monitoring.simulate import KINDS, ImagePool, drifted
from linnet.monitoring.window import Rows
from linnet.records import DriftReport, PerformanceReport, RetrainingEvidence, Window, WindowFinding
from linnet.retraining.history import History
from linnet.retraining.policy import decide

ROWS, KEPT, WINDOWS, STREAMS = 500, 250, 5, 8
SEVERITIES = (0.05, 0.15, 0.4)
STATIONARY_STREAMS, STATIONARY_WINDOWS = 20, 50
CONFIG = MonitoringConfig(min_rows=300)
SILENT = ("relabel",)
"""Kinds that no image shows: only labels do."""


@dataclass
class Rules:
    """The three triggers over one stream; each notes the first window that it fired in."""

    past: list[float] = field(default_factory=list)
    above: list[bool] = field(default_factory=list)
    fired: dict[str, int] = field(default_factory=dict)
    alarms: dict[str, int] = field(default_factory=dict)
    findings: list[WindowFinding] = field(default_factory=list)
    asked: bool = False
    """Whether the policy would have asked for a run."""

    def look(self, report: DriftReport, number: int) -> None:
        columns = [test for test in report.tests if test.kind != "embedding"]
        distances = [
            (test.jensen_shannon if test.name == "classes" else test.wasserstein) or 0.0 for test in columns
        ]
        self.above.append(max(test.psi or 0.0 for test in columns) > 0.2)
        found = {
            "Linnet": report.verdict == "drift",
            "Evidently": sum(value >= 0.1 for value in distances) >= len(columns) / 2,
            "3 of 5": self.above[-1] and sum(self.above[-5:]) >= 3,
        }
        self.past.append(report.p_value)
        for name, fires in found.items():
            if fires:
                self.fired.setdefault(name, number)
                self.alarms[name] = self.alarms.get(name, 0) + 1

    def decide(self, report: DriftReport, performance: PerformanceReport) -> None:
        """Asks the policy, as after each window."""
        window, violates = report.window, report.verdict == "drift"
        self.findings.append(
            WindowFinding(
                start=window.start, end=window.end, version=window.version, violates=violates,
                accuracy=performance.accuracy, labelled=performance.labelled, loss=performance.loss,
            )
        )  # fmt: skip
        evidence = RetrainingEvidence(
            model="small", champion="1", trained_until=None, windows=tuple(self.findings),
            new_labels=ROWS * len(self.findings),
        )  # fmt: skip
        self.asked |= decide(evidence, History(), RetrainingConfig(), window.end, "monitoring").request


class Bench:
    """A small champion and images that it never saw."""

    def __init__(self, folder: Path) -> None:
        images, labels = make_champion(folder, fashion())
        self.pool = ImagePool(images, labels, CLASSES)
        self.model, self.reference = PackagedModel.load(folder, 1), Reference.load(folder)

    def stream(self, kinds: Sequence[str], severity: float, windows: int, seed: int) -> Rules:
        rules = Rules()
        for number in range(1, windows + 1):
            drawn = list(drifted(self.pool, kinds, severity, ROWS, seed * 1000 + number))
            rows, window = self.served(np.stack([image for image, _ in drawn]))
            report = compare_with_reference(window, rows, self.reference, self.kept, CONFIG, rules.past)
            rules.look(report, number)
            if severity == 0.0:
                feedback = {(str(i), 0): (label, window.end) for i, (_, label) in enumerate(drawn)}
                rules.decide(report, judge(window, rows, self.reference, feedback, report, CONFIG))
        return rules

    def served(self, images: np.ndarray) -> tuple[Rows, Window]:
        """A window of images that the champion answered; keeps the embeddings of some."""
        features = self.model.features(images)
        probabilities, embedding = self.model.predict(images, features)
        names = [str(i) for i in range(len(images))]
        at = np.full(len(images), np.datetime64("2026-01-01"))
        flat = np.ones(len(images), np.float32)
        rows = Rows(names, [0] * len(names), at, features, probabilities, flat, names, [None] * len(names))
        now = datetime(2026, 1, 1, tzinfo=UTC)
        window = Window(
            model="small", version="1", start=now, end=now + timedelta(hours=1), rows=len(names),
            served=len(names), failed=0, late=0, images=KEPT, latency_p50_ms=1, latency_p95_ms=1, enough=True,
        )  # fmt: skip
        self.kept = KeptImages(np.arange(KEPT), embedding[:KEPT])
        return rows, window


def cell(streams: Sequence[Rules], rule: str) -> str:
    found = [stream.fired[rule] for stream in streams if rule in stream.fired]
    power = f"{len(found) / len(streams):4.0%}"
    return f"{power} / {np.mean(found):.1f}" if found else f"{power} /  – "


def main(arguments: Sequence[str] = ()) -> None:  # noqa: ARG001
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
    rules = ("Linnet", "Evidently", "3 of 5")
    print(f"power / delay in windows of {ROWS} images; n={STREAMS} streams a line, at most {WINDOWS} windows")
    print(f"{'kind':12s} {'severity':>8s}  " + "  ".join(f"{name:>12s}" for name in rules), flush=True)
    for kind in KINDS:
        for severity in SEVERITIES:
            streams = [bench.stream([kind], severity, WINDOWS, seed) for seed in range(STREAMS)]
            line = "  ".join(f"{cell(streams, rule):>12s}" for rule in rules)
            note = "  (only labels can show it)" if kind in SILENT else ""
            print(f"{kind:12s} {severity:8.2f}  {line}{note}", flush=True)
    quiet = [
        bench.stream(["relabel"], 0.0, STATIONARY_WINDOWS, 500 + seed) for seed in range(STATIONARY_STREAMS)
    ]
    total = STATIONARY_STREAMS * STATIONARY_WINDOWS
    counts = ", ".join(f"{rule} {sum(stream.alarms.get(rule, 0) for stream in quiet)}" for rule in rules)
    print(f"windows called drifted of {total} in {STATIONARY_STREAMS} stationary streams: {counts}")
    asked = {"Linnet's policy": sum(stream.asked for stream in quiet)}
    asked |= {f"{rule} as a trigger": sum(rule in stream.fired for stream in quiet) for rule in rules}
    counts = ", ".join(f"{rule} {number}" for rule, number in asked.items())
    print(f"streams of {STATIONARY_STREAMS} that are retrained for nothing: {counts}")
    seconds = time.perf_counter() - began
    print(f"  {seconds:.0f} s, load {os.getloadavg()[0]:.1f}; {describe('numpy', 'scipy', 'scikit-learn')}")


if __name__ == "__main__":
    main(sys.argv[1:])
