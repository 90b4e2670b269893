"""The records that life-cycle steps exchange: plain, frozen, versioned JSON.

Step folders never import one another; what one knows and another needs stands here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from linnet.errors import StorageError
from linnet.files import write_text

Verdict = Literal["pass", "fail"]
JudgeVerdict = Literal["proceed", "promote", "rollback", "inconclusive"]
Split = Literal["train", "validation", "test", "production"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "production")


def now() -> datetime:
    """The present moment, UTC."""
    return datetime.now(UTC)


class Record(BaseModel):
    """Base of all records: immutable, closed to unknown fields, one JSON file each."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    def save(self, path: Path) -> None:
        """Writes the record as indented JSON, whole or not at all."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a record.

        Raises:
            StorageError: the file is missing or is not such a record.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StorageError(f"{path}: not a readable {cls.__name__}: {error}") from error


class Interval(Record):
    """A value with its confidence interval."""

    value: float
    low: float
    high: float


class DatasetManifest(Record):
    """What `ingest` wrote: `manifest.json` beside the Parquet shards of the sample table.

    Columns of a shard: sample_id (str, 32 hex digits: digest of the decoded pixels), image (bytes,
    PNG or the original encoding), label (str, class name), label_source (str), split (str),
    captured_at (timestamp[us, UTC]), width, height, channels (int32, of the original image), origin
    (str: where in the raw dataset), and `cohort_<name>` (str) a configured cohort.
    """

    name: str
    digest: str
    """Digest of the raw dataset version (the `.dvc` file's, or of the folder's contents)."""
    revision: str
    """Git revision of the `.dvc` file, or empty."""
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    """Images a split and class."""
    shards: tuple[str, ...]
    rows: int
    raw_rows: int
    """Images in the raw dataset, before duplicates were dropped."""
    dropped_duplicates: int
    """Images dropped because an earlier image of the same official split has the same pixels."""
    dropped_leaks: int
    """Training images dropped because the same pixels stand in the test split."""
    dropped: tuple[str, ...]
    """Origins of dropped images with the reason (the first 1,000)."""
    cohorts: tuple[str, ...] = ()


class ExpectationResult(Record):
    name: str
    passed: bool
    detail: str
    rows: tuple[str, ...] = ()
    """Sample ids or origins that broke it (the first 20)."""


class ValidationReport(Record):
    """What `validate` found: `validation.json`."""

    dataset_digest: str
    passed: bool
    results: tuple[ExpectationResult, ...]
    counts: dict[str, int]
    """Training images a class, kept to measure the drift of the next version."""


class LabelBatch(Record):
    """The labels that `collect_labels` froze for a run: `labels.json` beside `labels.parquet`.

    Columns of labels.parquet: sample_id (str), label (str), annotator (str), agreement (float64),
    labelled_at (timestamp[us, UTC]), created_at (timestamp[us, UTC]).
    """

    as_of: datetime
    rows: int
    digest: str
    corrections: int
    """Labels that differ from the dataset's own."""
    quarantined: int = 0
    """Answers left out because their sample or label is unknown; listed in quarantine.jsonl."""
    disputed: int = 0
    """Samples left out because the annotators are tied or agree too little; in disputed.jsonl."""


class TrainingSetManifest(Record):
    """What `build_features` wrote: `training_set.json` beside the arrays, a set for each split.

    images-SPLIT.npy uint8 [N, height, width, channels] (as the model sees them), labels-SPLIT.npy int64
    [N] (index in classes), features-SPLIT.npy float32 [N, F], ids-SPLIT.npy S32 [N] (sample_id), and
    cohorts-SPLIT.npz (a value a sample: unicode [N] by cohort, always with `brightness`).
    """

    classes: tuple[str, ...]
    features: tuple[str, ...]
    """Names of the feature columns, in order."""
    feature_service: str
    height: int
    width: int
    channels: int
    dataset_digest: str
    labels_digest: str
    counts: dict[str, int]
    """Samples a split."""


class TrainingReport(Record):
    """What training did: `training.json` beside `model.pt`."""

    history: tuple[dict[str, float], ...]
    """A row an epoch: epoch, loss, train_accuracy, validation_accuracy, images_per_second, seconds."""
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
    champion_only_right: int


class Gate(Record):
    """One gate: `value` compared with `threshold`; `evidence` says how in a sentence."""

    name: str
    value: float
    comparator: Literal[">=", "<=", ">", "<"]
    threshold: float
    passed: bool
    evidence: str


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

    samples: int
    classes: tuple[str, ...]
    metrics: dict[str, Interval]
    """accuracy, macro_f1, macro_precision, macro_recall, worst_recall, auc, ece, brier, log_loss."""
    per_class: dict[str, dict[str, float]]
    """precision, recall, f1, support, false_positive_rate a class."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows: true class; columns: predicted class."""
    cohorts: tuple[CohortResult, ...]
    temperature: float
    """Fitted on the validation split by minimising the negative log-likelihood."""
    ece_before: float
    """ECE before temperature scaling."""
    comparison: Comparison | None
    suspects: tuple[str, ...]
    """Sample ids whose label is doubtful, the most doubtful first (at most 500)."""


class ModelPackage(Record):
    """What is served: `package.json` beside `model.onnx`, `golden.npz` and `model_card.md`.

    ONNX inputs: image uint8 [N, H, W, C], features float32 [N, F]; outputs: probabilities float32
    [N, K], embedding float32 [N, D].
    """

    name: str
    classes: tuple[str, ...]
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
    action: Literal["register", "challenge", "promote", "rollback"]
    model: str
    version: str
    previous: str | None
    reason: str
    evidence: dict[str, Any] = {}


class ServedRecord(Record):
    """One answered request, as a judge sees it."""

    at: float
    """Seconds since the epoch."""
    version: str
    ok: bool
    latency_ms: float
    predicted: str | None
    confidence: float | None
    agrees: bool | None
    """Whether the other version named the same class for the same image; None if not mirrored."""
    shadow: bool = False
    """Whether the answer went to nobody: the request was mirrored to this version to compare."""


class MetricJudgement(Record):
    """What the judge thinks of one metric at one look."""

    metric: str
    champion: float
    candidate: float
    low: float
    high: float
    """Anytime-valid bounds on the difference or ratio, candidate against champion."""
    margin: float
    verdict: Literal["good", "bad", "unknown"]
    evidence: str


class StepDecision(Record):
    """The end of one canary step."""

    percent: int
    seconds: float
    champion_requests: int
    candidate_requests: int
    verdict: JudgeVerdict
    judgements: tuple[MetricJudgement, ...]
    reason: str


class RolloutDecision(Record):
    """How a release ended: `rollout.json`."""

    model: str
    version: str
    champion: str | None
    verdict: JudgeVerdict
    steps: tuple[StepDecision, ...]
    reason: str
    started_at: datetime
    ended_at: datetime


class RunRequest(Record):
    """Who or what asked for a run, and why."""

    cause: Literal["person", "merge", "drift", "labels", "schedule"]
    actor: str
    reason: str = ""
    evidence: dict[str, Any] = {}


class StageRecord(Record):
    """One step of a run, as it went."""

    task: str
    state: Literal["running", "succeeded", "failed", "skipped"]
    started_at: datetime
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    cached: bool = False
    saved_seconds: float = 0.0
    """What the work took when it really ran, if this time the cache had it."""
    key: str = ""
    values: dict[str, Any] = {}
    """Scalar outputs of the step."""
    error: str = ""
    """The one message a person should see."""
    final: bool = False
    """Whether trying again cannot help."""
    exit_code: int = 0


class RunRecord(Record):
    """One run of a pipeline: `run.json`."""

    run_id: str
    pipeline: str
    config: dict[str, Any]
    commit: str
    request: RunRequest
    state: Literal["running", "succeeded", "failed", "rejected", "interrupted"]
    """rejected: every step worked, and a gate or the canary said no."""
    started_at: datetime
    ended_at: datetime | None = None
    stages: tuple[StageRecord, ...] = ()
    error: str = ""
