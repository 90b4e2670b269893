"""Records of a model: its training, its evidence, its package and its versions."""

from __future__ import annotations

from datetime import datetime
from math import isnan
from statistics import mean, stdev
from typing import Any, Literal

from linnet.config import DEFAULT_TASK
from linnet.records.record import Interval, Record, Verdict

MOST_SUSPECTS = 500
"""Samples with a doubtful label that a report names."""


class PretrainedWeights(Record):
    """The weights that a backbone started from."""

    backbone: str
    """timm's name of the network."""
    origin: str
    """Package and version, file, or name on a model hub."""
    license: str
    sha256: str
    """Of the file; of weights from a hub, of all tensors by name."""
    purl: str = ""
    """Package URL of the package or hub that they came from, as bills of materials name it; empty: a file."""


class TrainingReport(Record):
    """What training did: `training.json` beside `model.pt`."""

    history: tuple[dict[str, float], ...]
    """One row per epoch: epoch, loss, train_accuracy, validation_accuracy, validation_macro_f1,
    images_per_second, seconds; waiting: the share of an epoch's time in which the loop stood still until its
    next batch was read and augmented. Epoch 0: the head on a frozen pretrained backbone, without it."""
    parameters: int
    """Number of trained weights."""
    seconds: float
    """Wall-clock seconds of the training loop in this process (resumed epochs not counted)."""
    device: str
    precision: str
    versions: dict[str, str]
    config: dict[str, Any]
    resumed_from_epoch: int = 0
    notes: tuple[str, ...] = ()
    """What a person should know, such as layers that could not take the initial weights."""
    weights: PretrainedWeights | None = None
    """What a pretrained backbone started from."""
    folds: tuple[dict[str, float], ...] = ()
    """One row per part of a cross-validation: images, validation_accuracy, validation_macro_f1 on them, of a
    network that did not learn from them."""

    @property
    def kept(self) -> dict[str, float]:
        """The row of the epoch whose weights were kept: with `patience` the best one, else the last."""
        if not self.config.get("patience"):
            return self.history[-1]
        watched = f"validation_{self.config.get('watch', 'accuracy')}"
        return max(self.history, key=lambda row: row[watched])

    @property
    def cross_validation(self) -> dict[str, float]:
        """Mean and standard deviation over the folds: `folds_accuracy`, `folds_accuracy_deviation` and the
        same of `macro_f1`; empty without a cross-validation."""
        found: dict[str, float] = {}
        for name in ("accuracy", "macro_f1") if self.folds else ():
            values = [row[f"validation_{name}"] for row in self.folds]
            found |= {f"folds_{name}": mean(values), f"folds_{name}_deviation": stdev(values)}
        return found

    @property
    def cross_validated(self) -> str:
        """The same in words; empty without."""
        if not (found := self.cross_validation):
            return ""
        return (
            f"Cross-validation in {len(self.folds)} parts: accuracy {found['folds_accuracy']:.4f} (standard "
            f"deviation {found['folds_accuracy_deviation']:.4f}), macro F1 {found['folds_macro_f1']:.4f} "
            f"({found['folds_macro_f1_deviation']:.4f})."
        )

    @property
    def waiting(self) -> float | None:
        """Share of the time of all epochs that was spent waiting for batches; None: no epoch was measured."""
        rows = [row for row in self.history if "waiting" in row]
        seconds = sum(row["seconds"] for row in rows)
        return sum(row["waiting"] * row["seconds"] for row in rows) / seconds if seconds else None


class CohortResult(Record):
    cohort: str
    """Column, such as `class` or `brightness`."""
    value: str
    samples: int
    accuracy: Interval


class Comparison(Record):
    """Candidate against champion on the same samples."""

    champion: str
    """Model version of the champion."""
    difference: Interval
    """Accuracy of the candidate minus accuracy of the champion, paired."""
    agreement: float
    candidate_only_right: int
    """Samples on which only the candidate is right, or more so than the champion."""
    champion_only_right: int
    metrics: dict[str, float] = {}
    """The champion's own metrics on those samples, as `EvaluationReport.metrics` names them."""


class RegressionSet(Record):
    """What a labelled production window asks again: its test share, which no run trains on."""

    name: str
    """The window's; `all windows` for the samples of all of them together."""
    samples: int
    accuracy: Interval
    champion_accuracy: Interval | None = None
    comparison: Comparison | None = None
    """On these samples; None: there is no champion."""


class Gate(Record):
    """One gate: `value` compared with `threshold`; `evidence` says how in a sentence."""

    name: str
    value: float
    comparator: Literal[">=", "<=", ">", "<"]
    threshold: float
    passed: bool
    evidence: str

    @property
    def relation(self) -> str:
        """The sign between value and threshold that is true: a failed `>=` reads `<`."""
        held, failed = {">=": ("≥", "<"), "<=": ("≤", ">"), ">": (">", "≤"), "<": ("<", "≥")}[self.comparator]
        return held if self.passed or isnan(self.value) else failed


class GateDecision(Record):
    """The verdict over all gates of a stage: `gates.json`."""

    stage: Literal["evaluation", "package"]
    verdict: Verdict
    gates: tuple[Gate, ...]

    @property
    def reasons(self) -> list[str]:
        """A sentence a failed gate."""
        return [gate.evidence for gate in self.gates if not gate.passed]


class EvaluationReport(Record):
    """What `evaluate` measured: `evaluation.json`, beside predictions.npz and report.html."""

    task: str = DEFAULT_TASK
    """What is asked of an image: `config.Task`."""
    samples: int
    classes: tuple[str, ...]
    metrics: dict[str, Interval]
    """accuracy, macro_f1, macro_precision, macro_recall, worst_recall, auc, ece, brier, log_loss."""
    per_class: dict[str, dict[str, float]]
    """precision, recall, f1, support, false_positive_rate a class."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows: true class; columns: predicted class."""
    cohorts: tuple[CohortResult, ...]
    thresholds: tuple[float, ...] = ()
    """A probability a class from which on it is named, chosen on the validation split, where the task has
    them."""
    temperature: float
    """Fitted on the validation split by minimizing the negative log-likelihood."""
    ece_before: float
    """ECE before temperature scaling."""
    comparison: Comparison | None
    suspects: tuple[str, ...]
    """Sample ids whose label is doubtful, the most doubtful first (at most `MOST_SUSPECTS`)."""
    mistakes: dict[str, Interval] = {}
    """Mistakes an image, by kind, where the task tells kinds apart."""
    test_digest: str = ""
    """Digest of the test samples' ids and labels: two reports compare only if it is the same. Empty: the
    report is of an older Linnet."""
    regressions: tuple[RegressionSet, ...] = ()
    """A set a production window, and one of all together if there are several; `samples`, `metrics` and all
    else are of the dataset's own test split, which no window changes."""

    @property
    def suspects_counted(self) -> str:
        """How many labels are doubtful, in words: where the list was cut, there may be more."""
        count = len(self.suspects)
        return f"{count:,} or more" if count >= MOST_SUSPECTS else f"{count:,}"


class ModelPackage(Record):
    """What is served: `package.json` beside `model.onnx`, `golden.npz`, `model_card.md` and `sbom.cdx.json`.

    ONNX inputs: image uint8 [N, H, W, C], features float32 [N, F]; outputs: what the task answers, float32
    with N rows (of classes, probabilities [N, K]), and embedding float32 [N, D].
    """

    name: str
    task: str = DEFAULT_TASK
    """What is asked of an image: `config.Task`. Packages of before there were several have none."""
    classes: tuple[str, ...]
    thresholds: tuple[float, ...] = ()
    """A probability a class from which on it is named, where the task has them."""
    height: int
    width: int
    channels: int
    features: tuple[str, ...]
    """Names of the feature columns, in the order of the `features` input."""
    feature_service: str
    temperature: float
    dataset_digest: str
    model_digest: str
    """blake2b digest of model.onnx."""
    parity_max_difference: float
    parity_agreement: float
    latency_p50_ms: float
    latency_p95_ms: float
    size_mb: float
    metrics: dict[str, float]
    created_at: datetime
    fit: Literal["squash", "crop", "pad"] = "squash"
    """How images of another shape are brought to height and width: `vision.decode.resize`."""
    max_pixels: int = 134_217_728
    """Most pixels of an image that was trained on, and that is answered: `data.max_pixels`."""
    max_image_mb: float = 100.0
    """Largest file in megabytes, likewise: `data.max_image_mb`."""
    weights: PretrainedWeights | None = None
    """What a pretrained backbone started from: others' work, under its own licence."""


class ModelVersion(Record):
    """One version in the registry."""

    name: str
    version: str
    aliases: tuple[str, ...]
    created_at: datetime
    run_id: str
    tags: dict[str, str]
    metrics: dict[str, float]


class LedgerEntry(Record):
    """One line of the append-only promotion ledger: who did what, and why."""

    at: datetime
    actor: str
    action: Literal["register", "challenge", "canary", "promote", "rollback", "allow"]
    """`canary`: a step of a rollout was decided; `allow`: a person lets a version that was rolled back be
    released again; neither moves an alias."""
    model: str
    version: str
    previous: str | None
    reason: str
    evidence: dict[str, Any] = {}
