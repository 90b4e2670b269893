"""Two machines with one shared store: what one worked out, the other takes, and trusts no byte of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.cache.shared import FolderObjects, ObjectStore, Shared
from linnet.cache.store import LOCATION, Cache, open_cache
from linnet.errors import StorageError
from tests.cache.test_store import KEY, LARGE, RESULT, outputs

REMEDY = (
    "needs moto's S3 server: python -m venv .linnet/moto && .linnet/moto/bin/pip install 'moto[server,s3]'"
)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of an empty bucket of a real S3 server on loopback, which the environment names."""
    program = shutil.which("moto_server") or str(Path(".linnet/moto/bin/moto_server").resolve())
    if not Path(program).exists():
        pytest.skip(REMEDY)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [program, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    named = {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true",
    }  # fmt: skip
    # Only these are put back: what others add meanwhile (podman's settings, kept for the session) is theirs.
    with pytest.MonkeyPatch.context() as patch:
        for name, value in named.items():
            patch.setenv(name, value)
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(urllib.request.Request(f"{url}/linnet", method="PUT")).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield "s3://linnet/cache"
        finally:
            server.terminate()
            server.wait()


@pytest.fixture(params=["folder", "s3"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Shared:
    if request.param == "folder":
        return FolderObjects(tmp_path / "shared")
    store = ObjectStore(request.getfixturevalue("bucket"))
    for name in store.names("entries/") + store.names("blobs/"):
        store.remove(name)
    return store


def machine(tmp_path: Path, name: str, shared: Shared) -> Cache:
    return Cache(tmp_path / name / "cache", shared)


def work(cache: Cache) -> None:
    staged = cache.staging()
    (staged / "model").mkdir()
    (staged / "model" / "weights").write_bytes(LARGE)
    (staged / "card").write_bytes(b"a file, no folder")
    cache.put(KEY, staged, ["model", "card"], RESULT)


def test_objects_come_and_go_by_name(tmp_path: Path, shared: Shared) -> None:
    assert shared.read("entries/a") is None and shared.size("entries/a") is None
    assert not shared.download("entries/a", tmp_path / "got")
    shared.write("entries/a", b"one")
    (tmp_path / "file").write_bytes(LARGE)
    shared.upload("blobs/b", tmp_path / "file")
    assert (shared.read("entries/a"), shared.size("blobs/b")) == (b"one", len(LARGE))
    assert shared.download("blobs/b", tmp_path / "got") and (tmp_path / "got").read_bytes() == LARGE
    assert shared.names("entries/") == ["entries/a"]
    for _ in range(2):
        shared.remove("entries/a")
    assert shared.names("entries/") == []


def test_what_one_machine_worked_out_another_takes(tmp_path: Path, shared: Shared) -> None:
    work(machine(tmp_path, "one", shared))
    other = machine(tmp_path, "two", shared)
    assert other.get(KEY, outputs(tmp_path)) == RESULT
    assert (tmp_path / "out" / "model" / "weights").read_bytes() == LARGE
    assert Cache(other.root).get(KEY, outputs(tmp_path, "again")) == RESULT, "it is here now"


def test_a_damaged_object_is_a_miss_and_the_next_result_mends_it(tmp_path: Path, shared: Shared) -> None:
    work(machine(tmp_path, "one", shared))
    for name in shared.names("blobs/"):
        content = bytearray(b"x" * (shared.size(name) or 0))
        shared.write(name, bytes(content))
    assert machine(tmp_path, "two", shared).get(KEY, outputs(tmp_path)) is None
    work(machine(tmp_path, "two", shared))
    assert machine(tmp_path, "three", shared).get(KEY, outputs(tmp_path)) == RESULT


def test_a_lost_object_or_damaged_entry_is_a_miss(tmp_path: Path, shared: Shared) -> None:
    work(machine(tmp_path, "one", shared))
    (entry,) = shared.names("entries/")
    text = shared.read(entry)
    assert text is not None
    shared.write(entry, text.replace(b"0.9", b"0.8"))
    assert machine(tmp_path, "two", shared).get(KEY, outputs(tmp_path)) is None
    shared.write(entry, text)
    shared.remove(shared.names("blobs/")[0])
    assert machine(tmp_path, "three", shared).get(KEY, outputs(tmp_path)) is None


class Unreachable(FolderObjects):
    """A store behind a broken wire."""

    def read(self, name: str) -> bytes | None:
        raise StorageError("the shared cache s3://x cannot be used: no route")

    size = read  # type: ignore[assignment]


def test_a_store_that_cannot_be_reached_is_said_once_and_done_without(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cache = machine(tmp_path, "one", Unreachable(tmp_path))
    assert cache.get(KEY, outputs(tmp_path)) is None
    work(cache)
    assert cache.get(KEY, outputs(tmp_path)) == RESULT
    assert capfd.readouterr().err.count("going on with the local cache alone") == 1


def test_an_endpoint_that_is_not_there_is_a_storage_error_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(StorageError, match=r"s3://\*\*\*@bucket/x cannot be used"):
        ObjectStore("s3://user:secret@bucket/x").read("entries/a")


@pytest.mark.parametrize("scheme", ["folder", "file", "quoted file"])
def test_open_cache_goes_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    place = tmp_path / "a share?"
    named = {"folder": str(place), "file": f"file://{place}", "quoted file": place.as_uri()}
    monkeypatch.setenv(LOCATION, named[scheme])
    work(open_cache())
    assert place.is_dir()
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "another machine"))
    assert open_cache().get(KEY, outputs(tmp_path)) == RESULT
