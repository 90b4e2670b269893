"""The gates against the champion judged again on what the evaluation kept, as a new evaluation would."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from linnet.config import EvaluationConfig, GatesConfig
from linnet.errors import DataError, StorageError
from linnet.evaluation.champion_gates import judge_by_new_champion
from linnet.evaluation.evaluate import evaluate
from tests.evaluation.samples import CLASSES, write_model, write_training_set
from tests.serving.packages import make_package

FAST, GATES = EvaluationConfig(resamples=100), GatesConfig(max_ece=0.2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def champions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("champions")
    make_package(folder / "good", classes=CLASSES)
    make_package(folder / "poor", classes=CLASSES, broken="permuted")
    return {name: folder / name for name in ("good", "poor")}


@pytest.fixture(scope="module")
def unopposed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evaluation of a good model that had no champion."""
    folder = tmp_path_factory.mktemp("unopposed")
    evaluate(write_model(folder / "model"), data, FAST, GATES, folder / "report")
    return folder / "report"


def _again(report: Path, data: Path, champion: Path | None, version: str | None) -> Any:
    """Judges candidate version 9 again, whose package a test split without windows does not need."""
    return judge_by_new_champion(report, data, Path("not asked"), "9", champion, version, FAST, GATES)


@pytest.mark.parametrize("rival", ["good", "poor"])
def test_gate_judged_again_is_the_gate_of_a_new_evaluation(
    data: Path, champions: dict[str, Path], unopposed: Path, tmp_path: Path, rival: str
) -> None:
    _, anew = evaluate(unopposed.parent / "model", data, FAST, GATES, tmp_path, champions[rival], "2")
    expected = next(gate for gate in anew.gates if gate.name == "non_inferiority")
    (gate,) = _again(unopposed, data, champions[rival], "2").gates
    assert gate.evidence == f"{expected.evidence}; the gates knew no champion and it is 2 now"
    assert gate.model_copy(update={"evidence": expected.evidence}) == expected


def test_gate_fails_against_a_better_champion_and_is_left_where_nothing_changed(
    data: Path, champions: dict[str, Path], unopposed: Path, tmp_path: Path
) -> None:
    assert _again(unopposed, data, None, None) is None
    evaluate(write_model(tmp_path / "model", shift=1), data, FAST, GATES, tmp_path, champions["poor"], "1")
    assert _again(tmp_path, data, champions["poor"], "1") is None
    decision = _again(tmp_path, data, champions["good"], "2")
    (gate,) = decision.gates
    assert decision.verdict == "fail" and not gate.passed and gate.value < -0.9
    assert "the gates knew champion 1 and it is 2 now" in gate.evidence
    assert _again(tmp_path, data, champions["good"], "9") is None, "it is the candidate itself"


def test_evidence_of_other_samples_or_damaged_is_named_and_judges_nothing(
    data: Path, champions: dict[str, Path], unopposed: Path, tmp_path: Path
) -> None:
    shutil.copytree(unopposed, tmp_path / "old")
    other = write_training_set(tmp_path / "other", test=120)
    with pytest.raises(DataError, match=r"another test split.*run the evaluation again"):
        _again(tmp_path / "old", other, champions["good"], "1")
    (tmp_path / "old" / "predictions.npz").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(StorageError, match=r"predictions.npz.*run the evaluation again"):
        _again(tmp_path / "old", data, champions["good"], "1")
