"""A backup is restored into an empty home, and the champion answers there; what is damaged is named."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import tarfile
import threading
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from linnet.artifacts.onnx_model import PackagedModel
from linnet.cli import app
from linnet.config import RegistryConfig
from linnet.errors import LinnetError, StorageError
from linnet.process.state import ProcessState
from linnet.records import GateDecision, LedgerEntry, ModelVersion, now
from linnet.records.ledger import verify_chain
from linnet.registry.connect import connect
from linnet.registry.ledger import append_to_ledger
from linnet.registry.protocol import Submission
from linnet.storage import sqlite
from linnet.storage.secret_file import secret_in
from tests.packaging.folders import make_folders
from tests.serving.packages import make_package

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a champion, its ledger, labels, an engine's index, a run, keys and a cache."""
    made = tmp_path_factory.mktemp("backup")
    home = made / "first home"
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow, about its own parts
        patch.setenv("LINNET_HOME", str(home))
        steps = make_folders(made / "steps")
        make_package(made / "package")
        GateDecision(stage="package", verdict="pass", gates=()).save(made / "package" / "gates.json")
        registry = connect(RegistryConfig())
        version = registry.register(
            Submission(
                model="tiny",
                package=made / "package",
                evaluation=steps.evaluation,
                training=steps.model,
                config={},
                tags={"gate_verdict": "pass"},
            )
        )
        registry.promote("tiny", version.version, None, override="it is good")
    for name, text in {
        "cache/blobs/x": "again", "runs/r-1/log.txt": "said", "runs/r-1/lock": "", "work/x": "half",
        "runs/r-1/tasks/t.json": json.dumps({"uri": f"{home}/runs/r-1/artifacts/t"}), ".torn": "half",
        "serving/keys.json": "[]", "serving/server.json": json.dumps({"url": "u", "pid": 1, "instance": "x"}),
    }.items():  # fmt: skip
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    secret_in(home / "engine" / "owner.token")
    (home / "latest").symlink_to("runs/r-1")
    for name in ("engine/engine.db", "labels/tiny/labels.sqlite"):
        _fill(home / name)
    return home


def _fill(path: Path, rows: int = 2000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, twin INTEGER, text TEXT)")
        values = [(number, number, f"row {number} " * 10) for number in range(rows)]
        database.executemany("INSERT INTO rows VALUES (?, ?, ?)", values)
        database.execute("CREATE INDEX by_text ON rows (text)")
        database.commit()


def linnet(*words: str | Path, home: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words], env={"LINNET_HOME": str(home)})
    told = done.output if isinstance(done.exception, SystemExit | None) else f"{done.exception}"
    return done.exit_code, " ".join(told.split())


def champion(home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModelVersion, np.ndarray]:
    """The champion as the registry of a home says it, and its answers."""
    monkeypatch.setenv("LINNET_HOME", str(home))
    registry = connect(RegistryConfig())
    found = registry.champion("tiny")
    assert found is not None
    folder = registry.package_folder(found)
    assert folder.is_relative_to(home)
    images = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8, 1)
    return found, PackagedModel.load(folder).predict(images, None)[0]


@pytest.mark.parametrize("name", ["linnet.tar", "linnet.tar.gz"])
def test_backup_comes_back_in_another_home_and_its_champion_answers(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file, other = tmp_path / name, tmp_path / "another home?"
    wanted, answers = champion(home, monkeypatch)
    code, told = linnet("backup", file, home=home)
    assert code == 0 and "left out: keys and tokens" in told, told
    assert file.stat().st_mode & 0o777 == 0o600
    away = home.with_name("away")
    home.rename(away)  # nothing may be read from where it was
    try:
        code, told = linnet("restore", file, home=other)
        assert code == 0 and f"restored to {other}" in told, told
        found, again = champion(other, monkeypatch)
        ledger = (other / "ledger" / "promotions.jsonl").read_bytes()
    finally:
        away.rename(home)
    assert (found.version, found.tags, found.aliases) == (wanted.version, wanted.tags, wanted.aliases)
    np.testing.assert_array_equal(again, answers)
    assert ledger == (home / "ledger" / "promotions.jsonl").read_bytes()
    assert json.loads((other / "runs/r-1/tasks/t.json").read_text())["uri"].startswith(f"{other}/")
    assert (other / "latest").resolve() == other / "runs" / "r-1"
    for left in ("cache", "work", "runs/r-1/lock", "serving", "engine/owner.token", ".torn"):
        assert not (other / left).exists(), left
    assert not [path for path in other.iterdir() if path.name.startswith(".")]


def test_backup_with_keys_takes_them_and_a_dry_run_writes_nothing(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "linnet.tar"
    assert linnet("backup", file, "--dry-run", home=home)[0] == 0 and not list(tmp_path.iterdir())
    assert linnet("backup", file, "--with-keys", home=home)[0] == 0
    with tarfile.open(file) as tar:
        names = tar.getnames()
    assert {"serving/keys.json", "engine/owner.token"} <= set(names)
    assert not {"serving/server.json", "runs/r-1/lock"} & set(names)
    code, told = linnet("backup", file, home=home)
    assert code == 1 and "exists already" in told
    code, told = linnet("backup", home / "b.tar", home=home)
    assert code == 1 and "lies in the state folder" in told


def test_restore_into_a_home_that_is_not_empty_is_refused_and_forced_it_keeps_what_was_there(
    home: Path, tmp_path: Path
) -> None:
    file, other = tmp_path / "linnet.tar", tmp_path / "other"
    assert linnet("backup", file, home=home)[0] == 0
    (other / "labels").mkdir(parents=True)
    (other / "labels" / "mine").write_text("a label")
    code, told = linnet("restore", file, home=other)
    assert code == 1 and "is not empty (labels)" in told and "--force" in told
    assert linnet("restore", file, "--dry-run", home=other)[0] == 0
    assert sorted(path.name for path in other.iterdir()) == ["labels"]
    assert linnet("restore", file, "--force", home=other)[0] == 0
    (aside,) = tmp_path.glob("other.before-*")
    assert (aside / "labels" / "mine").read_text() == "a label"


def test_restore_beside_running_servers_is_refused(home: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "linnet.tar", tmp_path / "other"
    assert linnet("backup", file, home=home)[0] == 0
    ProcessState.of(os.getpid(), "http://127.0.0.1:1").write(other / "engine" / "engine.json")
    code, told = linnet("restore", file, "--force", home=other)
    assert code == 1 and "engine runs on it" in told and "linnet down" in told


def test_backup_of_a_database_that_is_written_to_is_as_it_was_at_one_moment(tmp_path: Path) -> None:
    """A writer keeps two columns equal in transactions of all rows: a torn copy would have them differ."""
    home, file, other = tmp_path / "home", tmp_path / "b.tar", tmp_path / "other"
    path, over = home / "engine" / "engine.db", threading.Event()
    _fill(path)

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=30)) as database:
            while not over.is_set():
                database.execute("UPDATE rows SET twin = twin + 1")
                database.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        code, told = linnet("backup", file, home=home)
    finally:
        over.set()
        writer.join(30)
    assert code == 0, told
    assert linnet("restore", file, home=other)[0] == 0
    with closing(sqlite3.connect(other / "engine" / "engine.db")) as database:
        assert len(database.execute("SELECT DISTINCT twin - number FROM rows").fetchall()) == 1


@pytest.mark.parametrize("how", ["cut", "edited"])
def test_backup_file_that_was_damaged_restores_nothing(home: Path, tmp_path: Path, how: str) -> None:
    file, other, chance = tmp_path / "linnet.tar", tmp_path / "other", random.Random(7)
    assert linnet("backup", file, home=home)[0] == 0
    whole = file.read_bytes()
    with tarfile.open(file) as tar:
        bodies = [(m.offset_data, m.size) for m in tar if m.isfile() and m.size and "backup" not in m.name]
    for _ in range(12):
        start, size = chance.choice(bodies)
        place = start + chance.randrange(size)
        changed = bytes([whole[place] ^ 1])
        damaged = whole[:place] if how == "cut" else whole[:place] + changed + whole[place + 1 :]
        file.write_bytes(damaged)
        code, told = linnet("restore", file, home=other)
        assert code == 1 and str(file) in told and "another" in told, told
        assert not other.exists() or not list(other.iterdir())


DATABASES = ("engine/engine.db", "labels/tiny/labels.sqlite", "mlflow/mlflow.db")


@pytest.mark.parametrize("name", DATABASES)
def test_database_that_was_cut_off_is_named_and_nothing_is_backed_up(
    home: Path, tmp_path: Path, name: str
) -> None:
    copy, chance = tmp_path / "home", random.Random(3)
    shutil.copytree(home, copy, symlinks=True)
    whole = (copy / name).read_bytes()
    for _ in range(6):
        place = chance.randrange(100, len(whole) - 1)
        (copy / name).write_bytes(whole[:place])
        code, told = linnet("backup", tmp_path / "b.tar", home=copy)
        assert code == 1 and name in told and "is damaged" in told and "linnet restore" in told, told
        assert not (tmp_path / "b.tar").exists()


def test_pages_of_a_database_that_were_overwritten_are_noticed(tmp_path: Path) -> None:
    path, chance = tmp_path / "x.db", random.Random(5)
    _fill(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    whole = path.read_bytes()
    for _ in range(20):
        page = chance.randrange(1, len(whole) // 4096)
        path.write_bytes(whole[: page * 4096] + chance.randbytes(64) + whole[page * 4096 + 64 :])
        with pytest.raises(StorageError, match="damaged"):
            sqlite.check(path)


@pytest.mark.parametrize("how", ["cut off", "deleted"])
def test_ledger_that_is_shorter_than_it_was_is_not_backed_up(home: Path, tmp_path: Path, how: str) -> None:
    copy = tmp_path / "home"
    shutil.copytree(home, copy, symlinks=True)
    ledger = copy / "ledger" / "promotions.jsonl"
    if how == "deleted":
        ledger.unlink()
    else:
        ledger.write_bytes(b"")
    code, told = linnet("backup", tmp_path / "b.tar", home=copy)
    assert code == 1 and "promotions.jsonl" in told and "lines were cut off" in told, told


@pytest.mark.parametrize("how", ["edited", "line removed", "line doubled"])
def test_ledger_that_was_changed_is_named_with_its_line(home: Path, tmp_path: Path, how: str) -> None:
    copy, chance = tmp_path / "home", random.Random(11)
    shutil.copytree(home, copy, symlinks=True)
    ledger = copy / "ledger" / "promotions.jsonl"
    for number in range(4):
        entry = LedgerEntry(
            at=now(), actor="a", action="canary", model="tiny", version="1", previous=None, reason=f"{number}"
        )
        append_to_ledger(copy, entry)
    lines = ledger.read_bytes().splitlines(keepends=True)
    for _ in range(10):
        number = chance.randrange(len(lines) - 1)
        if how == "edited":
            place = chance.randrange(len(lines[number]) - 1)
            line = lines[number]
            odd = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
            changed = [*lines[:number], odd, *lines[number + 1 :]]
        elif how == "line removed":
            changed = [*lines[:number], *lines[number + 1 :]]
        else:
            changed = [*lines[: number + 1], *lines[number:]]
        ledger.write_bytes(b"".join(changed))
        with pytest.raises(LinnetError, match=r"promotions\.jsonl.*line"):
            verify_chain(ledger)
        code, told = linnet("backup", tmp_path / "b.tar", home=copy)
        assert code == 1 and "promotions.jsonl" in told and "line" in told, told
