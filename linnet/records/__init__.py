"""The records that life-cycle steps exchange: plain, frozen, versioned JSON.

Step folders never import one another; what one knows and another needs stands here.
"""

from __future__ import annotations

from linnet.records.dataset import (
    DatasetManifest,
    ExpectationResult,
    LabelBatch,
    TrainingSetManifest,
    ValidationReport,
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
    TrainingReport,
)
from linnet.records.record import SPLITS, Interval, JudgeVerdict, Record, Split, Verdict, now
from linnet.records.rollout import (
    Look,
    MetricJudgement,
    RolloutDecision,
    RolloutMark,
    ServedRecord,
    StepDecision,
)
from linnet.records.run import RunRecord, RunRequest, StageRecord

__all__ = [
    "SPLITS",
    "CohortResult",
    "Comparison",
    "DatasetManifest",
    "EvaluationReport",
    "ExpectationResult",
    "Gate",
    "GateDecision",
    "Interval",
    "JudgeVerdict",
    "LabelBatch",
    "LedgerEntry",
    "Look",
    "MetricJudgement",
    "ModelPackage",
    "ModelVersion",
    "Record",
    "RolloutDecision",
    "RolloutMark",
    "RunRecord",
    "RunRequest",
    "ServedRecord",
    "Split",
    "StageRecord",
    "StepDecision",
    "TrainingReport",
    "TrainingSetManifest",
    "ValidationReport",
    "Verdict",
    "now",
]
