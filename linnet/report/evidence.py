"""What a run left as evidence: its records, read from the run's folder once, whatever is there of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from linnet.errors import StorageError
from linnet.records import (
    DatasetManifest,
    EvaluationReport,
    Gate,
    GateDecision,
    Record,
    RolloutDecision,
    RunRecord,
    TrainingReport,
    ValidationReport,
)
from linnet.run import runs
from linnet.storage.files import is_a_file, is_there

T = TypeVar("T", bound=Record)

PAGES = (
    ("Data validation", "validate", "report", "data_docs/index.html"),
    ("Gates and metrics", "evaluate", "report", "report.html"),
    ("Model card", "package", "package", "model_card.md"),
    ("Canary", "release", "rollout", "rollout.html"),
)
"""Title, task, output and file of each page that a run may have written for people."""


@dataclass(frozen=True)
class RunEvidence:
    """The records of one run; None or empty for a step that did not come so far."""

    folder: Path
    record: RunRecord
    training: TrainingReport | None = None
    evaluation: EvaluationReport | None = None
    decisions: tuple[GateDecision, ...] = ()
    rollout: RolloutDecision | None = None
    validation: ValidationReport | None = None
    dataset: DatasetManifest | None = None
    unread: tuple[str, ...] = ()
    """Records that are there and cannot be read: nothing of them is shown."""

    @property
    def gates(self) -> list[tuple[str, Gate]]:
        """Stage and gate, in the order in which they were judged."""
        return [(decision.stage, gate) for decision in self.decisions for gate in decision.gates]

    @property
    def failed_gates(self) -> list[Gate]:
        """The gates that said no."""
        return [gate for _, gate in self.gates if not gate.passed]

    @property
    def version(self) -> str:
        """The model version that the run registered, or empty."""
        found = [stage.values.get("version") for stage in self.record.stages if stage.task == "register"]
        return str(found[0]) if found and found[0] else ""

    @property
    def pages(self) -> list[tuple[str, Path]]:
        """Title and file of the pages that are there."""
        found = []
        with suppress(StorageError):  # its folder of artifacts cannot be listed, which `unread` tells
            for title, task, output, page in PAGES:
                where = runs.artifact(self.folder, task, output)
                if where is not None and is_a_file(where / page):
                    found.append((title, where / page))
        return found


def read_evidence(folder: Path) -> RunEvidence:
    """The evidence of the run in `folder`; a record that cannot be read is told as `unread`.

    Raises:
        StorageError: the folder holds no run record.
    """
    unread: list[str] = []

    def read(kind: type[T], task: str, output: str, name: str) -> T | None:
        try:
            where = runs.artifact(folder, task, output)
            if where is None or not is_there(where / name):
                return None
            return kind.load(where / name)
        except StorageError as error:
            unread.append(f"{task}: {error}")
            return None

    decisions = [
        read(GateDecision, task, output, "gates.json")
        for task, output in (("evaluate", "report"), ("package", "package"))
    ]
    found = RunEvidence(
        folder=folder,
        record=runs.load(folder),
        training=read(TrainingReport, "train", "model", "training.json"),
        evaluation=read(EvaluationReport, "evaluate", "report", "evaluation.json"),
        decisions=tuple(decision for decision in decisions if decision is not None),
        rollout=read(RolloutDecision, "release", "rollout", "rollout.json"),
        dataset=read(DatasetManifest, "ingest", "samples", "manifest.json"),
        validation=read(ValidationReport, "validate", "report", "validation.json"),
    )
    return replace(found, unread=tuple(unread))


def champion_metrics(evidence: RunEvidence) -> dict[str, float]:
    """Metrics of the champion on the very samples that the candidate was measured on; empty if unknown.

    What the registry has of it was measured on its own test split, which may be another one.
    """
    comparison = evidence.evaluation.comparison if evidence.evaluation else None
    return comparison.metrics if comparison else {}
