"""The release step on the real registry: a gate that another promotion made stale is judged again."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from linnet.config import EvaluationConfig, GatesConfig, RegistryConfig
from linnet.evaluation.evaluate import evaluate
from linnet.records import GateDecision, RolloutDecision, TrainingReport, now
from linnet.registry.connect import connect, promote_if_accepted, register_challenger
from linnet.registry.mlflow_database import create_database
from tests.deployment.test_release import QUICK
from tests.evaluation.samples import write_model, write_training_set
from tests.serving.packages import make_package

REGISTRY, FAST, GATES = RegistryConfig(), EvaluationConfig(resamples=100), GatesConfig(max_ece=0.2)
ONE_STEP = QUICK.model_copy(update={"steps": (100,), "metrics": ("errors", "validity", "accuracy")})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # MLflow's own, at import
def test_release_whose_champion_was_replaced_since_its_gates_is_judged_by_the_new_one(
    tmp_path: Path, state: Path
) -> None:
    create_database(state / "mlflow" / "mlflow.db")
    data = write_training_set(tmp_path / "data")
    training = tmp_path / "training.json"
    TrainingReport(
        history=({"epoch": 1.0, "loss": 1.0},), parameters=1, seconds=1.0, device="cpu", precision="fp32",
        versions={}, config={},
    ).save(training)  # fmt: skip
    # All were evaluated beside champion 1, which is poor: each of them equals or beats it.
    make_package(tmp_path / "poor", broken="permuted", sharpness=40.0)
    good = write_model(tmp_path / "model")
    _, decided = evaluate(good, data, FAST, GATES, tmp_path / "report-good", tmp_path / "poor", "1")
    assert decided.verdict == "pass", decided.reasons
    _permuted(tmp_path / "report-good", tmp_path / "report-bad")
    reports, packages = {}, {}
    for name, report, sharpness in (("bad", "bad", 50.0), ("good", "good", 60.0), ("equal", "good", 70.0)):
        broken: Any = "permuted" if name == "bad" else None
        packages[name] = make_package(tmp_path / name, broken=broken, sharpness=sharpness)
        GateDecision(stage="package", verdict="pass", gates=()).save(packages[name] / "gates.json")
        reports[name] = tmp_path / f"report-{report}"
    GateDecision(stage="package", verdict="pass", gates=()).save(tmp_path / "poor" / "gates.json")
    version = {}
    for name, package in {"poor": tmp_path / "poor", **packages}.items():
        report = reports.get(name, reports["bad"])
        version[name] = register_challenger(REGISTRY, "tiny", package, report, training, {}).version
    assert version["poor"] == "1"
    for name, before in (("poor", None), ("good", "1")):
        assert promote_if_accepted(REGISTRY, _promoted(version[name], before))

    refused = _release(version["bad"], reports["bad"], data, tmp_path / "out-bad")
    assert refused.verdict == "rollback" and not refused.steps and refused.champion == version["good"]
    assert refused.reason.startswith("it got no traffic, as its gates fail: ")
    assert "the gates knew champion 1 and it is 3 now" in refused.reason
    registry = connect(REGISTRY)
    assert registry.store.alias("tiny", "champion") == version["good"]
    line = registry.ledger.entries("tiny")[-1]
    assert (line.action, line.version) == ("canary", version["bad"]) and "got no traffic" in line.reason

    released = _release(version["equal"], reports["equal"], data, tmp_path / "out-equal")
    assert released.verdict == "promote", released.reason
    assert [(gate.name, gate.passed) for gate in released.gates] == [("non_inferiority", True)]
    assert "judged again" in (tmp_path / "out-equal" / "rollout.html").read_text()
    assert registry.store.alias("tiny", "champion") == version["equal"]


def _permuted(report: Path, out: Path) -> None:
    """An evaluation of a model that names the next class, and equals the poor champion so."""
    shutil.copytree(report, out)
    with np.load(report / "predictions.npz") as stored:
        kept = dict(stored)
    np.savez(out / "predictions.npz", **{**kept, "probabilities": np.roll(kept["probabilities"], 1, axis=1)})


def _promoted(version: str, before: str | None) -> RolloutDecision:
    return RolloutDecision(
        model="tiny", version=version, champion=before, verdict="promote", steps=(), reason="looked",
        started_at=now(), ended_at=now(),
    )  # fmt: skip


def _release(version: str, report: Path, data: Path, out: Path) -> RolloutDecision:
    step = importlib.import_module("components.release").release
    verdict = step.python_func(
        name="tiny",
        release=ONE_STEP.values(),
        serving={"threads": 1},
        registry={},
        evaluation=FAST.values(),
        gates=GATES.values(),
        version=version,
        report=_artifact(report),
        training_set=_artifact(data),
        rollout=_artifact(out),
    )
    decision = RolloutDecision.load(out / "rollout.json")
    assert verdict == decision.verdict
    return decision


def _artifact(folder: Path) -> Any:
    return SimpleNamespace(path=str(folder), metadata={})
