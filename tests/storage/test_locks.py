"""file_lock: one process at a time, or many readers; a kill gives it back; a bad place is one clear error."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from linnet.errors import StorageError
from linnet.storage.locks import file_lock

_HOLD = """
import sys
from pathlib import Path
from linnet.storage.locks import file_lock
with file_lock(Path(sys.argv[1]), shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until it is killed."""
    words = [sys.executable, "-c", _HOLD, str(path), kind]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def taken(path: Path, shared: bool, seconds: float) -> threading.Event:
    """An event that is set once this process holds the lock; waits that long for it."""
    done = threading.Event()

    def take() -> None:
        with file_lock(path, shared=shared):
            done.set()

    threading.Thread(target=take, daemon=True).start()
    done.wait(seconds)
    return done


@pytest.mark.parametrize(("theirs", "ours"), [("alone", False), ("alone", True), ("shared", False)])
def test_lock_is_waited_for_and_given_back_by_a_kill(tmp_path: Path, theirs: str, ours: bool) -> None:
    path = tmp_path / "deep" / "lock"
    with holder(path, theirs) as process:
        waiting = taken(path, ours, 0.3)
        assert not waiting.is_set()
        process.kill()
        assert waiting.wait(120)


def test_readers_hold_it_together(tmp_path: Path) -> None:
    with holder(tmp_path / "lock", "shared"):
        assert taken(tmp_path / "lock", True, 10).is_set()


def test_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="lock file cannot be opened"), file_lock(tmp_path / "lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"), file_lock(tmp_path / "file" / "lock"):
        pass
