"""The labelling steps of a run: from the cache while the answers and the queue are what they were."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.collect_labels import collect_labels
from components.request_labels import request_labels
from linnet.config import LabelsConfig, RegistryConfig
from linnet.labels import collect
from linnet.labels.queue import queued
from linnet.labels.table import LabelRow, LabelTable
from linnet.records import LabelBatch, StageRecord
from tests.labels.sample_tables import write_samples
from tests.labels.test_request import IDS, evaluate

LABELS = LabelsConfig(budget=10).values()
REGISTRY = RegistryConfig().values()
Cached = Callable[[], bool]
Requesting = Callable[..., bool]


def artifact(folder: Path) -> Any:
    return SimpleNamespace(path=str(folder), metadata={})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINNET_RUN_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def samples(tmp_path: Path) -> Any:
    return artifact(write_samples(tmp_path / "samples", dict.fromkeys(IDS, "bag")))


@pytest.fixture
def collecting(run: Path, samples: Any, tmp_path: Path) -> Cached:
    """Runs collect_labels; gives whether it came from the cache."""

    def once(labels: dict[str, Any] = LABELS) -> bool:
        batch = artifact(tmp_path / "batch")
        collect_labels.python_func(name="d", labels=labels, samples=samples, batch=batch)
        return StageRecord.load(run / "stages" / "collect_labels.json").cached

    return once


@pytest.fixture
def requesting(run: Path, samples: Any, tmp_path: Path) -> Requesting:
    """Runs request_labels; gives whether it came from the cache."""
    report = artifact(evaluate(tmp_path / "evaluation"))

    def once(registry: dict[str, Any] = REGISTRY) -> bool:
        made = artifact(tmp_path / "requests")
        request_labels.python_func(
            name="d", labels=LABELS, registry=registry, samples=samples, report=report, requests=made
        )
        return StageRecord.load(run / "stages" / "request_labels.json").cached

    return once


def answer(sample: str, label: str = "boot", annotator: str = "ann") -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    row = LabelRow(sample_id=sample, label=label, annotator=annotator, labelled_at=moment)
    assert LabelTable("d").append([row]).added == 1


def known(tmp_path: Path) -> int:
    return LabelBatch.load(tmp_path / "batch" / "labels.json").rows


def test_collect_labels_works_again_for_each_new_answer_and_for_none_else(
    collecting: Cached, tmp_path: Path
) -> None:
    assert [collecting(), collecting()] == [False, True]
    answer(IDS[0])
    assert [collecting(), collecting()] == [False, True]
    assert known(tmp_path) == 1
    answer(IDS[0], "bag", "bob")  # a tie: no new row, but another outcome
    assert [collecting(), collecting()] == [False, True]
    assert known(tmp_path) == 0


def test_collect_labels_tells_how_many_answers_do_not_count(collecting: Cached, run: Path) -> None:
    """They stood in two files of the step's output that nobody reads."""
    answer(IDS[0])
    answer("ghost")  # of no sample
    answer(IDS[1])
    answer(IDS[1], "bag", "bob")
    collecting()
    values = StageRecord.load(run / "stages" / "collect_labels.json").values
    assert (values["labels"], values["quarantined"], values["disputed"]) == (1, 1, 1)


def test_collect_labels_does_not_keep_what_may_have_seen_an_answer_that_came_meanwhile(
    collecting: Cached, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = collect._known

    def late(*given: Any) -> Any:
        answer(IDS[1])
        return plain(*given)

    with monkeypatch.context() as patched:
        patched.setattr(collect, "_known", late)
        assert not collecting()
    assert known(tmp_path) == 1
    assert [collecting(), collecting()] == [False, True], "the key of before the answer holds nothing"


def test_collect_labels_weighed_by_a_model_depends_on_what_the_model_said(
    collecting: Any, requesting: Cached
) -> None:
    weighed = LabelsConfig(budget=10, consensus="crowdlab").values()
    answer(IDS[0])
    assert [collecting(weighed), collecting(weighed)] == [False, True]
    requesting()
    assert [collecting(weighed), collecting(weighed)] == [False, True]


def test_request_labels_works_again_if_its_questions_are_gone_and_else_not(
    requesting: Cached, state: Path
) -> None:
    assert [requesting(), requesting()] == [False, True]
    asked = queued("d")
    answer(asked[0].sample_id)
    assert requesting(), "the same evaluation asks the same, whatever was answered since"
    for file in (state / "labels" / "d").iterdir():
        file.unlink()
    assert not requesting()
    assert len(queued("d")) == len(asked) == 10


def test_request_labels_works_again_for_new_requests_of_users(requesting: Cached, state: Path) -> None:
    assert [requesting(), requesting()] == [False, True]
    log = state / "serving" / "log"
    log.mkdir(parents=True)
    row = {"model": "d", "ok": True, "sample_id": "f" * 32, "probabilities": [0.3, 0.3, 0.4], "image": b"x"}
    pq.write_table(pa.Table.from_pylist([row]), log / "served-1.parquet")
    assert [requesting(), requesting()] == [False, True]


def test_request_labels_asks_about_the_requests_of_the_registered_model(
    requesting: Requesting, state: Path
) -> None:
    log = state / "serving" / "log"
    log.mkdir(parents=True)
    row = {
        "model": "shop",
        "version": "1",
        "predicted": "coat",
        "ok": True,
        "sample_id": "f" * 32,
        "probabilities": [0.3, 0.3, 0.4],
        "image": b"x",
    }
    pq.write_table(pa.Table.from_pylist([row]), log / "served-1.parquet")
    assert not requesting(RegistryConfig(model="shop").values())
    assert [one.sample_id for one in queued("d") if one.reasons[0] == "production"] == ["f" * 32]


def test_request_labels_always_works_where_a_server_waits_for_its_questions(
    requesting: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [requesting(), requesting()] == [False, True]
    offers: list[str] = []
    monkeypatch.setattr("linnet.labels.connect.find_server", lambda config: object())

    def offer(name: str, config: LabelsConfig) -> dict[str, Any]:
        offers.append(name)
        return {}

    monkeypatch.setattr("linnet.labels.export_after_run.offer", offer)
    assert [requesting(), requesting()] == [False, False]
    assert offers == ["d", "d"]
