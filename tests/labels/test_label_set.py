"""Label sets: frozen, named by digest, kept by DVC, and taken by a run that names one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from linnet.config import LabelsConfig
from linnet.data.fetch import fetch
from linnet.data.version import read_version
from linnet.errors import DataError, StorageError
from linnet.labels.collect import collect
from linnet.labels.label_set import digest_of, read_label_set, snapshot
from linnet.labels.queue import LabelRequest, enqueue
from linnet.labels.status import status
from linnet.labels.table import LabelRow, LabelTable
from tests.labels.sample_tables import write_samples

START = datetime(2026, 1, 1, tzinfo=UTC)


def answer(number: int, label: str = "boot", annotator: str = "ann", second: int = 0) -> LabelRow:
    moment = START + timedelta(seconds=second)
    return LabelRow(
        sample_id=f"s{number}",
        label=label,
        annotator=annotator,
        labelled_at=moment,
        batch="b1",
        reason="margin",
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC project whose state folder is inside, as a checkout's is."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    monkeypatch.setenv("LINNET_HOME", str(root / ".linnet"))
    monkeypatch.chdir(root)
    return root


def test_cut_is_a_dvc_version_that_a_run_can_name(project: Path, tmp_path: Path) -> None:
    table = LabelTable("d")
    table.append([answer(1), answer(2, "coat"), answer(2, "coat", "bob", 1)])
    first = snapshot("d")
    before = read_version(first)
    table.append([answer(1, "coat", second=9)])  # a correction
    second = snapshot("d")
    assert digest_of(first) != digest_of(second) and digest_of(first) == before.digest
    assert read_version(project / "labels-d.dvc").digest == digest_of(second)

    # DVC itself agrees with the digest, and its cache gives the files back.
    status = [sys.executable, "-m", "dvc", "status", "labels-d.dvc"]
    done = subprocess.run(status, cwd=project, capture_output=True, text=True, check=False)
    assert "up to date" in done.stdout, done.stdout + done.stderr
    shutil.rmtree(before.folder)
    folder = fetch(first)
    about, rows = read_label_set(folder)
    assert (about.answers, about.samples, about.annotators) == (3, 2, ("ann", "bob"))
    assert [(row.sample_id, row.annotator, row.label) for row in rows] == [
        ("s1", "ann", "boot"), ("s2", "ann", "coat"), ("s2", "bob", "coat"),
    ]  # fmt: skip
    assert "s2,coat,1.000,ann bob" in (folder / "consensus.csv").read_text()

    samples = write_samples(tmp_path / "samples", {"s1": "bag", "s2": "bag"})
    batch = collect(samples, "d", LabelsConfig(), tmp_path / "o", None, folder, digest_of(first))
    assert (batch.rows, batch.version) == (2, digest_of(first))
    known_now = collect(samples, "d", LabelsConfig(), tmp_path / "n")
    assert known_now.version == "" and known_now.digest != batch.digest


def test_cut_at_a_moment_is_the_same_whatever_came_later(state: Path, tmp_path: Path) -> None:
    table = LabelTable("d")
    table.append([answer(1)])
    moment = table.freeze()
    first = snapshot("d", moment, project=tmp_path)
    table.append([answer(1, "coat", second=5)])
    assert snapshot("d", moment, project=tmp_path) == first
    assert yaml.safe_load(first.read_text())["outs"][0]["md5"] == digest_of(first)
    assert len(list(first.parent.glob("*.dvc"))) == 1


def test_answers_to_an_earlier_task_are_kept_and_no_votes(state: Path, tmp_path: Path) -> None:
    one = LabelRequest(
        batch="b", sample_id="s1", reasons=("margin",), score=0.0, label="[]", predicted="[]",
        confidence=0.5, classes=("boot", "coat"), task="detection",
    )  # fmt: skip
    enqueue("d", "b", [one], {})
    LabelTable("d").append([answer(1), answer(1, "[]", "bob"), answer(1, "[]", "eve"), answer(2)])
    about, rows = read_label_set(snapshot("d", project=tmp_path).with_suffix(""))
    assert (about.answers, about.samples, about.kappa) == (4, 1, 1.0) and len(rows) == 4
    known = status("d")
    assert known.agreement == 1.0 and known.answers == {"label": 4}


def test_cut_before_the_first_answer_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no answers yet"):
        snapshot("d", project=tmp_path)


def test_read_label_set_that_is_damaged_is_one_error(tmp_path: Path) -> None:
    LabelTable("d").append([answer(1)])
    folder = read_version(snapshot("d", project=tmp_path)).folder
    (folder / "answers.parquet").write_bytes(b"cut")
    with pytest.raises(DataError, match="fetch the label set again"):
        read_label_set(folder)
    (folder / "label_set.json").unlink()
    with pytest.raises(StorageError):
        read_label_set(folder)
