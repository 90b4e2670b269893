"""collect: consensus, quarantine, and bytes that only change when answers do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from linnet.config import LabelsConfig
from linnet.errors import DataError
from linnet.labels.collect import collect
from linnet.labels.table import LabelRow, LabelTable
from linnet.records import DatasetManifest, LabelBatch
from tests.labels.sample_tables import write_samples

START = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = LabelsConfig(min_agreement=0.6)


def answer(sample: str, label: str, annotator: str = "ann", second: int = 0, **more: Any) -> LabelRow:
    moment = START + timedelta(seconds=second)
    return LabelRow(sample_id=sample, label=label, annotator=annotator, labelled_at=moment, **more)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return write_samples(tmp_path / "samples", {f"s{i}": "bag" for i in range(9)})


def rows(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / "labels.parquet").to_pylist()
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_collect_empty_table_gives_an_empty_batch(samples: Path, tmp_path: Path) -> None:
    batch = collect(samples, "d", CONFIG, tmp_path / "o")
    assert (batch.rows, batch.corrections, batch.quarantined) == (0, 0, 0)
    assert batch.as_of == datetime(1970, 1, 1, tzinfo=UTC)
    schema = pq.read_schema(tmp_path / "o" / "labels.parquet")
    names = ["sample_id", "label", "annotator", "agreement", "labelled_at", "created_at", "batch", "reason"]
    assert schema.names == names
    assert [str(schema.field(n).type) for n in ("agreement", "labelled_at")] == [
        "double",
        "timestamp[us, tz=UTC]",
    ]


def test_collect_tells_what_crowdlab_could_not_weigh(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most votes decided without a word: nobody had asked a model, or one of other classes."""
    config = LabelsConfig(min_agreement=0.6, consensus="crowdlab")
    both = [answer(sample, "boot", who) for sample in ("s1", "s2") for who in ("a", "b")]
    LabelTable("d").append([*both, answer("s3", "boot", "a")])
    batch = collect(samples, "d", config, tmp_path / "o")
    assert (batch.rows, batch.by_majority) == (3, 2), "a lone answer needs no weighing"
    assert LabelBatch.load(tmp_path / "o" / "labels.json").by_majority == 2
    assert collect(samples, "d", CONFIG, tmp_path / "m").by_majority == 0
    asked = {"s1": (0.1, 0.8, 0.1), "s2": (0.5, 0.5)}
    monkeypatch.setattr("linnet.labels.collect._said", lambda *_: asked)
    assert collect(samples, "d", config, tmp_path / "p").by_majority == 1


def test_collect_majority_wins_ties_and_low_agreement_are_disputed(samples: Path, tmp_path: Path) -> None:
    LabelTable("d").append(
        [
            *(answer("s1", "boot", who, i) for i, who in enumerate(("a", "b"))),
            answer("s1", "bag", "c", 9),
            answer("s2", "boot", "a"),
            answer("s2", "coat", "b"),
            *(answer("s3", "coat", who) for who in ("a", "b")),
            answer("s3", "bag", "c"),
            answer("s3", "boot", "d"),
            answer("s4", "bag", "a", agreement=0.9),
            answer("s5", "bag", "a", agreement=0.3),
        ]
    )
    batch = collect(samples, "d", CONFIG, tmp_path / "o")
    found = {row["sample_id"]: row for row in rows(tmp_path / "o")}
    assert set(found) == {"s1", "s4"} and batch.rows == 2 and batch.corrections == 1
    assert found["s1"]["label"] == "boot" and found["s1"]["annotator"] == "a, b"
    assert found["s1"]["agreement"] == pytest.approx(2 / 3)
    assert found["s1"]["labelled_at"] == START + timedelta(seconds=1)
    assert found["s4"]["agreement"] == 0.9
    disputed = {line["sample_id"]: line["reason"] for line in lines(tmp_path / "o" / "disputed.jsonl")}
    assert disputed == {
        "s2": "a tie",
        "s3": "agreement 0.50 is below 0.60",
        "s5": "agreement 0.30 is below 0.60",
    }
    assert batch.disputed == 3


def test_collect_annotator_who_changes_their_mind_votes_once(samples: Path, tmp_path: Path) -> None:
    table = LabelTable("d")
    table.append([answer("s1", "coat", "a", 1), answer("s1", "coat", "a", 2)])
    table.append([answer("s1", "boot", "a", 3), answer("s1", "boot", "b", 1)])
    collect(samples, "d", CONFIG, tmp_path / "o")
    (found,) = rows(tmp_path / "o")
    assert (found["label"], found["agreement"]) == ("boot", 1.0)


def test_collect_skipped_and_cannot_tell_are_no_votes(samples: Path, tmp_path: Path) -> None:
    table = LabelTable("d")
    table.append([answer("s1", "boot", "a"), answer("s1", "", "b", status="cannot_tell")])
    table.append([answer("s2", "boot", "a", 1)])
    table.append([answer("s2", "", "a", 2, status="skipped")])  # taken back
    collect(samples, "d", CONFIG, tmp_path / "o")
    assert [(row["sample_id"], row["agreement"]) for row in rows(tmp_path / "o")] == [("s1", 1.0)]


def test_collect_unknown_sample_or_label_is_quarantined_and_counted(samples: Path, tmp_path: Path) -> None:
    LabelTable("d").append([answer("ghost", "bag"), answer("s1", "hat"), answer("s2", "boot")])
    batch = collect(samples, "d", CONFIG, tmp_path / "o")
    assert (batch.rows, batch.quarantined) == (1, 2)
    reasons = {line["sample_id"]: line["reason"] for line in lines(tmp_path / "o" / "quarantine.jsonl")}
    assert reasons["ghost"] == "the dataset has no such sample"
    assert reasons["s1"] == "the dataset has no class 'hat'; it has bag, boot, coat"


@pytest.mark.parametrize("earlier", ["bag", "5", "{", '[["bag", 0, 0, 2, 2]]'])
@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_answer_to_an_earlier_task_is_quarantined(
    samples: Path, tmp_path: Path, task: str, earlier: str
) -> None:
    """It ended `collect`, and with it every later run, in a JSONDecodeError."""
    manifest = DatasetManifest.load(samples / "manifest.json")
    manifest.model_copy(update={"task": task}).save(samples / "manifest.json")
    new = {"detection": '[["boot",0.0,0.0,0.5,0.5]]', "segmentation": '{"size":[2,2],"masks":{}}'}[task]
    LabelTable("d").append([answer("s1", earlier), answer("s2", earlier, "a"), answer("s2", new, "b")])
    batch = collect(samples, "d", CONFIG, tmp_path / "o")
    assert (batch.rows, batch.quarantined, batch.disputed) == (1, 2, 0)
    (told, _) = lines(tmp_path / "o" / "quarantine.jsonl")
    assert (told["sample_id"], told["label"]) == ("s1", earlier)
    assert told["reason"].startswith(f"it is no answer to {task}: ")


def test_collect_without_new_answers_writes_the_same_bytes(samples: Path, tmp_path: Path) -> None:
    table = LabelTable("d")
    table.append([answer("s2", "boot", who) for who in "ab"] + [answer("s1", "coat"), answer("ghost", "bag")])
    first = collect(samples, "d", CONFIG, tmp_path / "one")
    assert collect(samples, "d", CONFIG, tmp_path / "two") == first
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    table.append([answer("s3", "coat")])
    later = collect(samples, "d", CONFIG, tmp_path / "three")
    assert later.digest != first.digest and later.as_of > first.as_of
    assert collect(samples, "d", CONFIG, tmp_path / "four", as_of=first.as_of) == first
    assert LabelBatch.load(tmp_path / "four" / "labels.json") == first


def test_collect_missing_shard_is_a_data_error(samples: Path, tmp_path: Path) -> None:
    (samples / "part-00000.parquet").unlink()
    with pytest.raises(DataError, match="part-00000"):
        collect(samples, "d", CONFIG, tmp_path / "o")
