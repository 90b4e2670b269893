from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.data.fetch import fetch
from linnet.errors import DatasetUnavailable, DigestMismatch, StorageError

REPOSITORY = Path(__file__).resolve().parents[2]
Files = dict[str, bytes]


def contents(folder: Path) -> Files:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("packed", [True, False])
def test_fetch_from_installed_folder_gives_the_files(
    tmp_path: Path,
    state: Path,
    files: Files,
    write_dvc: Callable[..., Path],
    put_files: Callable[..., Path],
    packed: bool,
) -> None:
    installed = put_files(tmp_path / "installed", files, packed)
    folder = fetch(write_dvc(tmp_path / "toy.dvc", files, installed_folder=str(installed)))
    assert folder == state / "data" / "toy"
    assert contents(folder) == files
    assert list((state / "data").iterdir()) == [folder]


def test_fetch_again_touches_nothing_and_asks_nobody(
    tmp_path: Path, files: Files, write_dvc: Callable[..., Path], put_files: Callable[..., Path]
) -> None:
    installed = put_files(tmp_path / "installed", files)
    path = write_dvc(tmp_path / "toy.dvc", files, installed_folder=str(installed))
    before = fetch(path).stat()
    shutil.rmtree(installed)
    after = fetch(path).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_fetch_from_mirror_gives_the_files_and_reports_progress(
    tmp_path: Path,
    files: Files,
    write_dvc: Callable[..., Path],
    put_files: Callable[..., Path],
    serve: Callable[[Path], str],
) -> None:
    address = serve(put_files(tmp_path / "mirror", files, packed=True))
    seen: list[tuple[str, int, int]] = []
    path = write_dvc(tmp_path / "toy.dvc", files, mirrors=[address])
    folder = fetch(path, progress=lambda *report: seen.append(report))
    assert contents(folder) == files
    total = sum(map(len, files.values()))
    assert seen[-1] == (f"fetching: {address}", total, total)


def test_fetch_wrong_byte_is_refused_and_the_next_source_taken(
    tmp_path: Path,
    files: Files,
    write_dvc: Callable[..., Path],
    put_files: Callable[..., Path],
    serve: Callable[[Path], str],
) -> None:
    forged = files | {"deep/b.bin": b"!" + files["deep/b.bin"][1:]}
    installed = put_files(tmp_path / "installed", forged)
    good = serve(put_files(tmp_path / "mirror", files, packed=True))
    path = write_dvc(tmp_path / "toy.dvc", files, installed_folder=str(installed), mirrors=[good])
    assert contents(fetch(path)) == files


def test_fetch_wrong_byte_everywhere_names_the_file_a_source(
    tmp_path: Path,
    state: Path,
    files: Files,
    write_dvc: Callable[..., Path],
    put_files: Callable[..., Path],
    serve: Callable[[Path], str],
) -> None:
    forged = files | {"deep/b.bin": b"!" + files["deep/b.bin"][1:]}
    installed = put_files(tmp_path / "installed", forged)
    mirror = serve(put_files(tmp_path / "mirror", {"a.bin": files["a.bin"] + b"more"}, packed=True))
    path = write_dvc(tmp_path / "toy.dvc", files, installed_folder=str(installed), mirrors=[mirror])
    with pytest.raises(DatasetUnavailable) as caught:
        fetch(path)
    tried = caught.value.tried
    assert tried["installed package"].startswith("deep/b.bin: its digest is md5 ")
    assert tried[mirror].startswith("a.bin: its digest is 2001 bytes, but 2000 bytes was expected")
    assert tried["DVC cache and remote"] == "there is no .dvc folder above the file"
    assert tried["Debian package"] == "the .dvc file names none"
    assert list((state / "data").iterdir()) == []


def test_fetch_damaged_gzip_and_closed_port_are_answers_not_crashes(
    tmp_path: Path,
    files: Files,
    write_dvc: Callable[..., Path],
    put_files: Callable[..., Path],
    serve: Callable[[Path], str],
) -> None:
    folder = put_files(tmp_path / "mirror", files, packed=True)
    packed = folder / "a.bin.gz"
    packed.write_bytes(packed.read_bytes()[:-9])
    damaged = serve(folder)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        empty = serve(put_files(tmp_path / "empty", {"other": b""}))
        path = write_dvc(tmp_path / "toy.dvc", files, mirrors=[damaged, closed, empty, "ftp://x/"])
        with pytest.raises(DatasetUnavailable, match="no source has it") as caught:
            fetch(path)
    assert caught.value.tried[damaged].startswith("a.bin.gz is damaged")
    assert "refused" in caught.value.tried[closed]
    assert "404" in caught.value.tried[empty]
    assert caught.value.tried["ftp://x/"] == "is neither http nor https"


def test_fetch_damaged_copy_in_state_is_replaced(
    tmp_path: Path, files: Files, write_dvc: Callable[..., Path], put_files: Callable[..., Path]
) -> None:
    installed = put_files(tmp_path / "installed", files)
    path = write_dvc(tmp_path / "toy.dvc", files, installed_folder=str(installed))
    folder = fetch(path)
    (folder / "a.bin").write_bytes(b"second" * 400)
    assert contents(fetch(path)) == files


@pytest.mark.parametrize("listed", [True, False])
def test_fetch_changed_folder_of_a_person_is_refused_and_kept(
    tmp_path: Path,
    files: Files,
    write_dvc: Callable[..., Path],
    put_files: Callable[..., Path],
    listed: bool,
) -> None:
    path = write_dvc(tmp_path / "toy.dvc", files, wdir=".", listed=listed)
    folder = put_files(tmp_path / "toy", files)
    assert fetch(path) == folder
    (folder / "a.bin").write_bytes(b"mine")
    with pytest.raises(DigestMismatch, match="a.bin" if listed else "toy: its digest"):
        fetch(path)
    assert (folder / "a.bin").read_bytes() == b"mine"


def test_fetch_extra_file_is_refused(
    tmp_path: Path, files: Files, write_dvc: Callable[..., Path], put_files: Callable[..., Path]
) -> None:
    path = write_dvc(tmp_path / "toy.dvc", files, wdir=".")
    put_files(tmp_path / "toy", files | {"extra.bin": b"x"})
    with pytest.raises(DigestMismatch, match=r"extra\.bin.*no such file was expected"):
        fetch(path)


def test_fetch_disk_full_is_one_storage_error(
    tmp_path: Path, state: Path, files: Files, write_dvc: Callable[..., Path], put_files: Callable[..., Path]
) -> None:
    installed = put_files(tmp_path / "installed", files)
    path = write_dvc(tmp_path / "toy.dvc", files, installed_folder=str(installed))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match="free some space"):
            fetch(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((state / "data").iterdir()) == []
    assert contents(fetch(path)) == files


def test_fetch_killed_half_way_leaves_nothing_and_goes_again(
    tmp_path: Path, state: Path, files: Files, write_dvc: Callable[..., Path], put_files: Callable[..., Path]
) -> None:
    """The mirror stalls after the first file; the process is killed; the next call cleans up."""
    stalled = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(files['a.bin'])}\r\n\r\n"
                connection.sendall(head.encode() + b"\x1f")
                stalled.set()
                time.sleep(60)

        threading.Thread(target=answer, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        path = write_dvc(tmp_path / "toy.dvc", files, mirrors=[address])
        code = f"from pathlib import Path; from linnet.data.fetch import fetch; fetch(Path({str(path)!r}))"
        child = subprocess.Popen([sys.executable, "-c", code])
        assert stalled.wait(120)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert [path.name.split("-")[0] for path in (state / "data").iterdir()] == [".fetch"]
    installed = put_files(tmp_path / "installed", files)
    folder = fetch(write_dvc(path, files, installed_folder=str(installed)))
    assert contents(folder) == files
    assert list((state / "data").iterdir()) == [folder]


def test_fetch_old_git_revision_gets_the_old_files_from_the_dvc_cache(
    tmp_path: Path, files: Files, git: Callable[..., str], put_files: Callable[..., Path]
) -> None:
    """A person's own DVC project, without any list in `meta`; the workspace is left alone."""
    dvc(tmp_path, "init", "-q", "--no-scm")
    git(tmp_path, "init", "-q")
    put_files(tmp_path / "toy", files)
    dvc(tmp_path, "add", "-q", "toy")
    git(tmp_path, "add", "toy.dvc")
    git(tmp_path, "commit", "-q", "-m", "old")
    changed = files | {"a.bin": b"new"}
    shutil.rmtree(tmp_path / "toy")
    put_files(tmp_path / "toy", changed)
    dvc(tmp_path, "add", "-q", "toy")
    old = fetch(tmp_path / "toy.dvc", "HEAD")
    assert contents(old) == files
    assert fetch(tmp_path / "toy.dvc") == tmp_path / "toy"
    assert contents(tmp_path / "toy") == changed


def dvc(project: Path, *words: str) -> str:
    environment = os.environ | {"DVC_SITE_CACHE_DIR": str(project / "site"), "DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_data_dvc_works_with_dvc_itself(
    tmp_path: Path, fashion_mnist: Path, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """status, commit, push and pull of the shipped file, and fetch from that remote, in a clone."""
    git(tmp_path, "init", "-q")
    shutil.copytree(REPOSITORY / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("tmp", "*.local"))
    for name in ("data.dvc", ".gitignore"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    git(tmp_path, "add", ".")
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / ".linnet"))
    place = tmp_path / ".linnet" / "data" / "fashion-mnist"
    shutil.copytree(fashion_mnist, place)
    before = (tmp_path / "data.dvc").read_bytes()

    dvc(tmp_path, "commit", "-f", "data.dvc")
    assert "up to date" in dvc(tmp_path, "status")
    assert (tmp_path / "data.dvc").read_bytes() == before
    remote = tmp_path / "remote"
    dvc(tmp_path, "remote", "add", "--local", "-d", "store", str(remote))
    dvc(tmp_path, "push", "-q")
    shutil.rmtree(tmp_path / ".linnet")
    dvc(tmp_path, "pull", "-q")
    assert contents(place) == contents(fashion_mnist)

    shutil.rmtree(tmp_path / ".linnet")
    seen: list[str] = []
    assert fetch(tmp_path / "data.dvc", progress=lambda what, *_: seen.append(what)) == place
    assert set(seen) == {"fetching: DVC cache and remote"}
    assert git(tmp_path, "diff", "--stat") == ""
    shutil.rmtree(tmp_path / ".linnet")  # half a gigabyte that pytest would keep
    shutil.rmtree(remote)
