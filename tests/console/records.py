"""Records as a finished run leaves them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from linnet.records import (
    Comparison,
    EvaluationReport,
    Gate,
    GateDecision,
    Interval,
    ModelVersion,
    RolloutDecision,
    RunRecord,
    RunRequest,
    StageRecord,
    StepDecision,
    TrainingReport,
    now,
)
from linnet.report.evidence import RunEvidence

BEGAN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def run_record(run_id: str = "fashion-1", state: Any = "succeeded", **more: Any) -> RunRecord:
    values: dict[str, Any] = {
        "run_id": run_id,
        "pipeline": "training",
        "config": {"name": "fashion", "train": {"epochs": 3}},
        "commit": "abcdef0123456789",
        "request": RunRequest(cause="merge", actor="ada"),
        "state": state,
        "started_at": BEGAN,
        "ended_at": None if state == "running" else BEGAN + timedelta(minutes=3),
        "stages": (
            StageRecord(task="train", state="succeeded", started_at=BEGAN, seconds=100.0, cached=False),
            StageRecord(
                task="register", state="succeeded", started_at=BEGAN, seconds=1.0, values={"version": "7"}
            ),
        ),
    }
    return RunRecord(**values | more)


def interval(value: float, spread: float = 0.01) -> Interval:
    return Interval(value=value, low=value - spread, high=value + spread)


def evaluation(accuracy: float = 0.9, champion: str = "6") -> EvaluationReport:
    names = ("accuracy", "macro_f1", "worst_recall", "auc", "ece", "brier")
    return EvaluationReport(
        samples=100,
        classes=("boot", "bag"),
        metrics={name: interval(accuracy) for name in names},
        per_class={},
        confusion=((45, 5), (5, 45)),
        cohorts=(),
        temperature=1.2,
        ece_before=0.1,
        comparison=Comparison(
            champion=champion,
            difference=interval(0.02),
            agreement=0.95,
            candidate_only_right=5,
            champion_only_right=3,
        )
        if champion
        else None,
        suspects=(),
    )


def evidence(state: Any = "succeeded", passed: bool = True, **more: Any) -> RunEvidence:
    gate = Gate(
        name="accuracy", value=0.89, comparator=">=", threshold=0.8 if passed else 0.95, passed=passed,
        evidence="accuracy is 0.90 | on 100 <b>samples</b>",
    )  # fmt: skip
    step = StepDecision(
        percent=50, seconds=2.0, champion_requests=90, candidate_requests=95, verdict="promote", judgements=(), reason="all well",
    )  # fmt: skip
    values: dict[str, Any] = {
        "folder": Path("/nowhere"),
        "record": run_record(state=state, error="" if passed else "accuracy is too low"),
        "training": TrainingReport(
            history=tuple({"epoch": e, "loss": 1.0 / e, "validation_accuracy": 0.8 + e / 100, "train_accuracy": 0.8} for e in (1, 2, 3)),
            parameters=10, seconds=1.0, device="cpu", precision="float32", versions={}, config={},
        ),
        "evaluation": evaluation(),
        "decisions": (GateDecision(stage="evaluation", verdict="pass" if passed else "fail", gates=(gate,)),),
        "rollout": RolloutDecision(
            model="fashion", version="7", champion="6", verdict="promote", steps=(step,), reason="all well",
            started_at=BEGAN, ended_at=BEGAN,
        ) if passed else None,
    }  # fmt: skip
    return RunEvidence(**values | more)


def version(number: str = "7", *aliases: str, **metrics: float) -> ModelVersion:
    return ModelVersion(
        name="fashion", version=number, aliases=aliases, created_at=now(), run_id="mlflow", tags={"commit": "abc"},
        metrics={"accuracy": 0.9, "macro_f1": 0.9} | metrics,
    )  # fmt: skip
