"""What MLflow is shown of a submission: every metric, and the files that prove them."""

from __future__ import annotations

from pathlib import Path

from linnet.records import EvaluationReport, ModelPackage, TrainingReport
from linnet.registry.protocol import Submission


def metrics_of(submission: Submission) -> list[tuple[str, float, int]]:
    """Name, value and step of every metric: an epoch a step, and the test's and the package's numbers."""
    path = submission.training
    training = TrainingReport.load(path / "training.json" if path.is_dir() else path)
    rows = [
        (name, float(value), int(row["epoch"]))
        for row in training.history
        for name, value in row.items()
        if name != "epoch"
    ]
    report = EvaluationReport.load(submission.evaluation / "evaluation.json")
    package = ModelPackage.load(submission.package / "package.json")
    last = {f"test_{name}": interval.value for name, interval in report.metrics.items()}
    measured = ("parity_max_difference", "parity_agreement", "latency_p50_ms", "latency_p95_ms", "size_mb")
    last |= {name: getattr(package, name) for name in measured}
    last |= training.cross_validation
    return rows + [(name, float(value), 0) for name, value in last.items()]


def evidence_files(submission: Submission) -> list[tuple[Path, str]]:
    """Files to show with the run, and the artifact folder of each."""
    evaluation: tuple[str, ...] = ("evaluation.json", "gates.json", "report.html")
    package: tuple[str, ...] = ("package.json", "gates.json", "model_card.md", "sbom.cdx.json")
    wanted = [(submission.evaluation, "evaluation", evaluation), (submission.package, "package", package)]
    paths = [(folder / name, where) for folder, where, names in wanted for name in names]
    return [(path, where) for path, where in paths if path.is_file()]
