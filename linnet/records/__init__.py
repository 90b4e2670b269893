"""The records that life-cycle steps exchange: plain, frozen, versioned JSON.

Step folders never import one another; what one knows and another needs stands here.
"""

from __future__ import annotations

from linnet.records.dataset import (
    DatasetManifest,
    ExpectationResult,
    LabelBatch,
    LabelSet,
    TrainingSetManifest,
    ValidationReport,
)
from linnet.records.diagnosis import (
    Deploy,
    Diagnosis,
    Fault,
    Finding,
    SuspectSample,
    Symptoms,
    VersionTraffic,
)
from linnet.records.model import (
    CohortResult,
    Comparison,
    EvaluationReport,
    Gate,
    GateDecision,
    LedgerEntry,
    ModelPackage,
    ModelVersion,
    PretrainedWeights,
    TrainingReport,
)
from linnet.records.monitoring import (
    CohortDrift,
    ConfusionDrift,
    DriftReport,
    DriftTest,
    DriftVerdict,
    PerformanceReport,
    SkewDifference,
    SkewReport,
    Window,
)
from linnet.records.record import SPLITS, Interval, JudgeVerdict, Record, Split, Verdict, now, utc_time
from linnet.records.retraining import (
    Condition,
    RetrainingCause,
    RetrainingDecision,
    RetrainingEntry,
    RetrainingEvidence,
    RetrainingSource,
    WindowFinding,
)
from linnet.records.rollout import (
    JudgeSnapshot,
    MetricJudgement,
    RolloutDecision,
    RolloutMark,
    ServedRecord,
    StepDecision,
)
from linnet.records.run import RunCost, RunRecord, RunRequest, StageRecord
from linnet.records.task import ArtifactRecord, TaskRecord

__all__ = [
    "SPLITS",
    "ArtifactRecord",
    "CohortDrift",
    "CohortResult",
    "Comparison",
    "Condition",
    "ConfusionDrift",
    "DatasetManifest",
    "Deploy",
    "Diagnosis",
    "DriftReport",
    "DriftTest",
    "DriftVerdict",
    "EvaluationReport",
    "ExpectationResult",
    "Fault",
    "Finding",
    "Gate",
    "GateDecision",
    "Interval",
    "JudgeSnapshot",
    "JudgeVerdict",
    "LabelBatch",
    "LabelSet",
    "LedgerEntry",
    "MetricJudgement",
    "ModelPackage",
    "ModelVersion",
    "PerformanceReport",
    "PretrainedWeights",
    "Record",
    "RetrainingCause",
    "RetrainingDecision",
    "RetrainingEntry",
    "RetrainingEvidence",
    "RetrainingSource",
    "RolloutDecision",
    "RolloutMark",
    "RunCost",
    "RunRecord",
    "RunRequest",
    "ServedRecord",
    "SkewDifference",
    "SkewReport",
    "Split",
    "StageRecord",
    "StepDecision",
    "SuspectSample",
    "Symptoms",
    "TaskRecord",
    "TrainingReport",
    "TrainingSetManifest",
    "ValidationReport",
    "Verdict",
    "VersionTraffic",
    "Window",
    "WindowFinding",
    "now",
    "utc_time",
]
