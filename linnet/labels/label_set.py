"""Label sets: what people had answered at a moment, frozen as a DVC version of the dataset.

A version of the dataset is the raw data (`data.dvc`) and a label set on top of it, so that correcting
ten labels of a million images stores ten labels. A set is a folder that never changes: label_set.json,
answers.parquet (every answer known then) and consensus.csv for people. Its `.dvc` file names it by
digest; DVC's cache has the bytes, and `dvc push` carries them to the team's remote.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from linnet.errors import DataError, StorageError
from linnet.labels.agreement import fleiss_kappa, votes_of
from linnet.labels.consensus import consensus, votes
from linnet.labels.queue import task_of
from linnet.labels.store import database
from linnet.labels.table import LabelRow, LabelTable
from linnet.records import LabelSet
from linnet.storage.files import write_text, writing
from linnet.tasks.agree import agreement_of

SET_FILE, ANSWERS_FILE, CONSENSUS_FILE = "label_set.json", "answers.parquet", "consensus.csv"
_COMMIT_SECONDS = 300
_TIME = pa.timestamp("us", "UTC")
_TYPES = {"labelled_at": _TIME, "created_at": _TIME, "agreement": pa.float64(), "latency": pa.float64()}
_SCHEMA = pa.schema([(one.name, _TYPES.get(one.name, pa.string())) for one in fields(LabelRow)])


def snapshot(name: str, as_of: datetime | None = None, batch: str = "", project: Path | None = None) -> Path:
    """Freezes the answers known at `as_of` as a label set; its `.dvc` file.

    Idempotent: the same moment is the same folder, the same digest and the same file. Where the DVC
    project around `project` is (the current folder, if not given), `labels-NAME.dvc` beside its
    `.dvc` folder names the newest set: commit that file, and the data's history has the labels.

    Raises:
        StorageError: the table is damaged, the disk is full, or DVC refuses.
        DataError: nobody answered anything by then.
    """
    table = LabelTable(name)
    rows = table.as_of(min(table.freeze(), as_of) if as_of else table.freeze())
    if not rows:
        raise DataError(f"labels of '{name}'", "no answers yet", "see `linnet labels status`")
    moment = max(row.created_at for row in rows)
    versions = database(name).with_name("versions")
    with writing(versions):
        folder = versions / f"{moment:%Y%m%dT%H%M%S%f}-{len(rows)}"
        if not folder.is_dir():
            _write(folder, name, rows, moment, batch)
        root = _project_root(project or Path.cwd()) or versions.parent
        digest = _committed(root, folder)
        file = versions / f"{folder.name}.dvc"
        write_text(file, _dvc_text(digest, folder, "."))
        if (root / ".dvc").is_dir() and root != versions.parent:
            write_text(root / f"labels-{name}.dvc", _dvc_text(digest, folder, _relative(versions, root)))
    return file


def read_label_set(folder: Path) -> tuple[LabelSet, list[LabelRow]]:
    """A label set and its answers, in order of sample and annotator.

    Raises:
        DataError: it cannot be read.
        StorageError: label_set.json is missing or damaged.
    """
    about = LabelSet.load(folder / SET_FILE)
    try:
        rows = pq.read_table(folder / ANSWERS_FILE).to_pylist()
    except (OSError, pa.ArrowException) as error:
        problem = f"cannot be read ({error})"
        raise DataError(str(folder / ANSWERS_FILE), problem, "fetch the label set again") from error
    return about, [LabelRow(**row) for row in rows]


def digest_of(dvc_file: Path) -> str:
    """The digest that a `.dvc` file of `snapshot` names."""
    found: str = yaml.safe_load(dvc_file.read_text("utf-8"))["outs"][0]["md5"]
    return found


def _write(folder: Path, name: str, rows: Sequence[LabelRow], moment: datetime, batch: str) -> None:
    """Writes the set's files and puts them in place in one rename."""
    task = task_of(name)
    agreed = [item for item in consensus(rows, task) if item.label]
    given = votes_of((row.sample_id, row.annotator, row.label) for row in votes(rows, task))
    about = LabelSet(
        name=name,
        as_of=moment.astimezone(UTC),
        batch=batch,
        answers=len(rows),
        samples=len(agreed),
        skipped=sum(row.status == "skipped" for row in rows),
        cannot_tell=sum(row.status == "cannot_tell" for row in rows),
        annotators=tuple(sorted({row.annotator for row in rows})),
        kappa=fleiss_kappa(given, agreement_of(task)),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".cut-") as scratch:
        made = Path(scratch) / "set"
        made.mkdir()
        columns = {one: [getattr(row, one) for row in rows] for one in _SCHEMA.names}
        pq.write_table(pa.table(columns, schema=_SCHEMA), made / ANSWERS_FILE)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("sample_id", "label", "agreement", "annotators", "labelled_at"))
        for item in agreed:
            people, when = " ".join(item.annotators), item.labelled_at.isoformat()
            writer.writerow((item.sample_id, item.label, f"{item.agreement:.3f}", people, when))
        (made / CONSENSUS_FILE).write_text(text.getvalue(), "utf-8")
        about.save(made / SET_FILE)
        if not folder.is_dir():  # another process may have been quicker; it wrote the same
            made.rename(folder)


def _committed(root: Path, folder: Path) -> str:
    words = [sys.executable, "-m", "linnet.labels.dvc_commit", str(root), str(folder)]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=_COMMIT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise StorageError(f"{folder}: DVC took more than {_COMMIT_SECONDS} s to keep it") from error
    digest = done.stdout.strip().rpartition("\n")[2]
    if done.returncode or not digest.endswith(".dir"):
        said = done.stderr.strip().rpartition("\n")[2] or "it exited without output"
        raise StorageError(f"{folder}: DVC cannot keep it: {said}")
    return digest


def _dvc_text(digest: str, folder: Path, wdir: str) -> str:
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    about = json.loads((folder / SET_FILE).read_text("utf-8"))
    out: dict[str, Any] = {
        "md5": digest,
        "size": sum(file.stat().st_size for file in files),
        "nfiles": len(files),
        "hash": "md5",
        "path": folder.name,
    }
    text = yaml.safe_dump({"outs": [out], "wdir": wdir}, sort_keys=False)
    known = f"{about['answers']} answers known at {about['as_of']}"
    return f"# Labels of {about['name']}: {known} (linnet labels snapshot).\n{text}"


def _project_root(start: Path) -> Path | None:
    return next((place for place in (start, *start.parents) if (place / ".dvc").is_dir()), None)


def _relative(versions: Path, root: Path) -> str:
    try:
        return versions.relative_to(root.resolve()).as_posix()
    except ValueError:  # LINNET_HOME lies elsewhere
        return str(versions)
