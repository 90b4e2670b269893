"""What all pages of one console share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread

from fastapi import Request

from linnet.artifacts.onnx_model import PackagedModel
from linnet.console.actions import Operator
from linnet.console.audit import AuditLog
from linnet.console.explain import TrainingIndex
from linnet.console.prediction_log import PredictionLogReader
from linnet.console.sessions import Role
from linnet.console.sources import Sources, console_dir
from linnet.errors import LinnetError
from linnet.storage.paths import prediction_log_dir


@dataclass
class Context:
    """Sources, log, audit and loaded models of one console."""

    sources: Sources = field(default_factory=Sources)
    log: PredictionLogReader = field(default_factory=lambda: PredictionLogReader(prediction_log_dir()))
    audit: AuditLog = field(default_factory=lambda: AuditLog(console_dir() / "audit.jsonl"))
    index: TrainingIndex = field(default_factory=lambda: TrainingIndex(console_dir() / "embeddings"))
    _models: dict[Path, PackagedModel] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def warm(self) -> None:
        """Loads in the background what is slow the first time: MLflow, and the records of all runs."""

        def work() -> None:
            with contextlib.suppress(LinnetError):
                self.sources.runs()
                for model in self.sources.models():
                    self.sources.versions(model)
                self.log.summary()

        Thread(target=work, daemon=True, name="console-warm").start()

    def operator(self, request: Request) -> Operator:
        """The person behind a request."""
        return Operator(self.sources, self.audit, role_of(request))

    def packaged(self, folder: Path) -> PackagedModel:
        """A package loaded for explanations; the last few are kept."""
        with self._lock:
            if folder not in self._models:
                if len(self._models) >= 3:
                    self._models.pop(next(iter(self._models)))
                self._models[folder] = PackagedModel.load(folder, threads=1)
            return self._models[folder]

    def model(self, wanted: str = "") -> str:
        """The model that a page is about: the one named, else that of the newest run, else the first."""
        if wanted:
            return wanted
        models = self.sources.models()
        for record in self.sources.runs():
            if record.config.get("name") in models:
                return str(record.config["name"])
        return models[0] if models else ""


def role_of(request: Request) -> Role:
    """The role that the gate found; nothing that did not come through it may do anything, and nothing
    may that was logged out since its page was opened."""
    role: Role = request.scope.get("linnet_role", "viewer")
    is_over: Callable[[], bool] = request.scope.get("linnet_is_over", lambda: False)
    return "viewer" if is_over() else role
