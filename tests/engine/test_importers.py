"""Importers of what lies elsewhere: real servers on loopback, and the engine between them and the reader."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
import functools
import http.server
import io
import os
import subprocess
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kfp import dsl

from linnet.records import TaskRecord
from linnet.runner import remote
from linnet.runner.mounts import can_mount
from linnet.storage.object_store import _CREDENTIALS
from tests.cache.test_shared import bucket
from tests.engine import boxes as podman
from tests.engine.engines import RunningEngine, quiet, run_of, wait_for

assert bucket  # a fixture
pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]
mounted = pytest.mark.skipif(not can_mount(), reason="this machine has no mount namespaces for users")
component = dsl.component(base_image="linnet-python", install_kfp_package=False)


@component
def read(data: dsl.Input[dsl.Dataset]) -> str:
    with open(data.path) as file:
        return f"{data.uri} {file.read()}"


@component
def read_folder(data: dsl.Input[dsl.Dataset]) -> str:
    import os

    found = []
    for folder, _, names in os.walk(data.path):
        found += [open(os.path.join(folder, name)).read() for name in names]
    return f"{data.path} {' '.join(sorted(found))}"


def importing(uri: str, reader: Any = read) -> Any:
    @dsl.pipeline(name="importing")
    def pipeline() -> str:
        found = dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, metadata={"kind": "test"})
        return reader(data=found.output).output  # type: ignore[no-any-return]

    return pipeline


class Files(http.server.SimpleHTTPRequestHandler):
    asked: ClassVar[list[tuple[str, str]]] = []

    def log_request(self, *_: Any) -> None:
        self.asked.append((self.command, self.path))


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("web")
    handler = functools.partial(Files, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    running = RunningEngine(tmp_path_factory.mktemp("importers") / "state").start()
    yield running
    running.stop()


def run(engine: RunningEngine, pipeline: Any) -> tuple[Any, str]:
    """The run when it has ended, and what its reader gave."""
    run_id = run_of(engine.client(), pipeline)
    ended = wait_for(engine.client(), run_id)
    file = next((engine.folder(run_id) / "tasks").glob("read*.json"), None)
    told = TaskRecord.load(file).parameters.get("Output", "") if file else ""
    return ended, str(told)


def test_https_is_fetched_once_and_again_when_it_changed(
    engine: RunningEngine, web: tuple[str, Path]
) -> None:
    address, folder = web
    (folder / "birds.csv").write_text("linnet")
    ended, told = run(engine, importing(f"{address}/birds.csv"))
    assert ended.state == "SUCCEEDED", ended.error
    place, _, content = told.partition(" ")
    assert content == "linnet" and place.startswith(str(engine.state / "imports"))
    record = TaskRecord.load(engine.folder(ended.run_id) / "tasks" / "importer.json")
    assert record.kind == "importer" and record.artifacts[0].uri == f"{address}/birds.csv"
    assert len(record.artifacts[0].digest) == 64 and record.artifacts[0].metadata == {"kind": "test"}
    Files.asked.clear()
    assert run(engine, importing(f"{address}/birds.csv"))[1] == told
    assert all(method == "HEAD" for method, _ in Files.asked), Files.asked
    time.sleep(1.1)  # the server tells changes by the second
    (folder / "birds.csv").write_text("canary")
    assert run(engine, importing(f"{address}/birds.csv"))[1].endswith(" canary")


def test_import_that_a_task_spoilt_is_fetched_again_by_the_next_run(
    engine: RunningEngine, web: tuple[str, Path]
) -> None:
    address, folder = web
    (folder / "songs").mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / "songs" / name).write_text(name)

    @component
    def read_and_spoil(data: dsl.Input[dsl.Dataset]) -> str:
        found = open(data.path).read()
        with open(data.path, "a") as file:
            file.write("!")
        return found

    for _ in range(2):
        ended, told = run(engine, importing(f"{address}/songs/a.txt", read_and_spoil))
        assert ended.state == "SUCCEEDED" and told == "a.txt", ended.error
    ended, told = run(engine, importing(f"{address}/songs/a.txt"))
    assert told.endswith(" a.txt"), told


def test_https_that_is_not_there_fails_the_importer_with_a_clear_line(
    engine: RunningEngine, web: tuple[str, Path]
) -> None:
    ended, _ = run(engine, importing(f"{web[0]}/nothing"))
    assert ended.state == "FAILED"
    assert f"importer: there is nothing at {web[0]}/nothing" in ended.error.message, ended.error


def test_path_that_is_not_there_fails_the_importer_with_a_clear_line(engine: RunningEngine) -> None:
    ended, _ = run(engine, importing("/no/such/file"))
    assert ended.state == "FAILED" and "there is no such file here" in ended.error.message


def test_path_of_this_machine_is_read_where_it_lies(engine: RunningEngine, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("here")
    for uri in (str(tmp_path / "a"), f"file://{tmp_path / 'a'}"):
        assert run(engine, importing(uri))[1] == f"{tmp_path / 'a'} here"


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("ipfs://x/y", "nobody here knows addresses of the kind ipfs://"),
        ("smb://host/share", "needs a package that is not installed here"),
    ],
)
def test_address_that_can_never_be_fetched_is_refused_when_the_run_is_submitted(
    engine: RunningEngine, uri: str, told: str
) -> None:
    from kfp_server_api import ApiException

    with pytest.raises(ApiException) as refused:
        run_of(engine.client(), importing(uri))
    assert f"importer: {uri}" in str(refused.value.body) and told in str(refused.value.body)


def put(uri: str, content: str) -> None:
    from obstore.store import from_url

    root, _, name = uri.rpartition("/")
    from_url(root).put(name, content.encode())


@pytest.fixture(scope="module")
def beside_s3(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """An engine with a real S3 server's address in its environment."""
    running = RunningEngine(tmp_path_factory.mktemp("s3") / "state").start()
    yield running
    running.stop()


@mounted
def test_s3_is_seen_where_the_sdk_looks_for_it(bucket: str, beside_s3: RunningEngine) -> None:
    put(f"{bucket}/data/one.txt", "1")
    ended, told = run(beside_s3, importing(f"{bucket}/data/one.txt"))
    assert ended.state == "SUCCEEDED", ended.error
    assert told == f"{bucket}/data/one.txt 1"
    put(f"{bucket}/data/sub/two.txt", "2")
    ended, told = run(beside_s3, importing(f"{bucket}/data", read_folder))
    assert told == f"/s3/{bucket.removeprefix('s3://')}/data 1 2", ended.error
    assert not Path("/s3").exists()


def test_s3_without_the_object_says_so(bucket: str, beside_s3: RunningEngine) -> None:
    ended, _ = run(beside_s3, importing(f"{bucket}/none"))
    assert ended.state == "FAILED" and f"there is nothing at {bucket}/none" in ended.error.message


def test_s3_change_is_fetched_again_and_the_same_is_not(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    put(f"{bucket}/changing", "old")
    first = remote.fetch(f"{bucket}/changing", "off")
    assert first.read_text() == "old" and "fetched 0.0 of 0.0 MB" in capsys.readouterr().out
    assert remote.fetch(f"{bucket}/changing", "off") == first
    assert "is here as it is there" in capsys.readouterr().out
    put(f"{bucket}/changing", "new")
    second = remote.fetch(f"{bucket}/changing", "off")
    assert second.read_text() == "new" and first.read_text() == "old"
    assert list((tmp_path / "imports" / "staging").iterdir()) == []


def put_for_all(bucket: str, key: str, content: str) -> None:
    """Puts an object that anybody may read."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/{bucket.removeprefix('s3://')}/{key}"
    free = {"x-amz-acl": "public-read", "Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(url, content.encode(), free, method="PUT")).close()


@pytest.fixture(scope="module")
def beside_public_buckets(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """An engine without any credentials. Google's store is played by the server of S3, whose API is the same
    by design; Google's own was never asked."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*_CREDENTIALS["s3"], *_CREDENTIALS["gs"], "AWS_SECRET_ACCESS_KEY"]:
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("nobody")))
        patch.setenv("GOOGLE_BASE_URL", os.environ["AWS_ENDPOINT_URL"])
        running = RunningEngine(tmp_path_factory.mktemp("public") / "state").start()
    yield running
    running.stop()


@mounted
@pytest.mark.parametrize(("scheme", "root"), [("gs", "/gcs"), ("s3", "/s3")])
def test_public_bucket_is_imported_without_an_account(
    scheme: str, root: str, bucket: str, beside_public_buckets: RunningEngine
) -> None:
    put_for_all(bucket, f"{scheme}/one.txt", "1")
    put_for_all(bucket, f"{scheme}/sub/two.txt", "2")
    uri = f"{scheme}://{bucket.removeprefix('s3://')}/{scheme}"
    ended, told = run(beside_public_buckets, importing(f"{uri}/one.txt"))
    assert ended.state == "SUCCEEDED", ended.error
    assert told == f"{uri}/one.txt 1"
    ended, told = run(beside_public_buckets, importing(uri, read_folder))
    assert ended.state == "SUCCEEDED", ended.error
    assert told == f"{root}/{uri.partition('://')[2]} 1 2"
    ended, _ = run(beside_public_buckets, importing(f"{uri}/none"))
    assert ended.state == "FAILED" and f"there is nothing at {uri}/none" in ended.error.message


def test_model_image_gives_its_folder_of_models(tmp_path_factory: pytest.TempPathFactory) -> None:
    if why := podman.why_no_podman(tmp_path_factory.getbasetemp()):
        pytest.skip(why)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        about = tarfile.TarInfo("models/weights.bin")
        about.size = 3
        archive.addfile(about, io.BytesIO(b"abc"))
    image = "localhost/linnet-test/modelcar:1"
    subprocess.run(["podman", "import", "-", image], input=packed.getvalue(), check=True, capture_output=True)

    @component
    def weigh(model: dsl.Input[dsl.Model]) -> str:
        with open(model.path + "/weights.bin") as file:
            return f"{model.path} {file.read()}"

    @dsl.pipeline(name="modelcar")
    def pipeline() -> None:
        found = dsl.importer(artifact_uri=f"oci://{image}", artifact_class=dsl.Model)
        weigh(model=found.output).set_display_name("read")

    engine = RunningEngine(tmp_path_factory.mktemp("modelcar") / "state").start()
    try:
        with quiet():
            run_id = run_of(engine.client(), pipeline)
        ended = wait_for(engine.client(), run_id)
        assert ended.state == "SUCCEEDED", ended.error
        told = TaskRecord.load(engine.folder(run_id) / "tasks" / "weigh.json").parameters["Output"]
        if can_mount():
            assert told == "/oci/localhost_linnet-test_modelcar:1/models abc"
    finally:
        engine.stop()
