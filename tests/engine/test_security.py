"""Who may call the engine, and what it runs."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.

import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import kfp_server_api
import pytest
from kfp import dsl
from kfp.compiler import Compiler

from linnet.config import parse_config
from linnet.engine.api_errors import ApiError
from linnet.engine.security import Guard
from pipelines.compile import compile_pipeline
from tests.engine.engines import RunningEngine, client_of, quiet, run_of
from tests.engine.parity import parts

TOKEN = "a-token-of-some-length"
HOST = {"host": "127.0.0.1:8888"}


@pytest.fixture
def guard() -> Guard:
    return Guard.of("127.0.0.1", ("engine.example.org",), "", 1.0)


@pytest.mark.parametrize("host", ["127.0.0.1:8888", "localhost", "[::1]:8888", "engine.example.org"])
def test_own_hosts_may_come_in(guard: Guard, host: str) -> None:
    guard.check({"host": host, "origin": f"http://{host}"}, "/apis/v2beta1/runs", lambda: True)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "2130706433", "localhost.evil:8888"]
)
def test_other_hosts_and_origins_may_not(guard: Guard, host: str) -> None:
    with pytest.raises(ApiError, match="Host"):
        guard.check({"host": host}, "/")
    with pytest.raises(ApiError, match="pages of"):
        guard.check({**HOST, "origin": f"http://{host or 'null'}"}, "/")


def test_address_that_others_reach_needs_a_long_token() -> None:
    for bind in ("0.0.0.0", "192.168.1.2", "::", "example.org"):
        with pytest.raises(ApiError, match="LINNET_ENGINE_TOKEN"):
            Guard.of(bind, (), "", 1.0)
    with pytest.raises(ApiError, match="too short"):
        Guard.of("0.0.0.0", (), "short", 1.0)
    guard = Guard.of("0.0.0.0", (), TOKEN, 1.0)
    for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
        with pytest.raises(ApiError) as refused:
            guard.check({"host": "0.0.0.0", **given}, "/apis/v2beta1/runs")
        assert refused.value.status == 401
    guard.check({"host": "0.0.0.0", "authorization": f"Bearer {TOKEN}"}, "/apis/v2beta1/runs")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """An engine as it is by default: no uploads; here with a token."""
    state = tmp_path_factory.mktemp("closed") / "state"
    engine = RunningEngine(state, {"allow_uploads": False, "max_upload_mb": 0.5}, TOKEN).start()
    yield engine
    engine.stop()


@dsl.pipeline(name="foreign")
def foreign() -> None:
    parts.text()


@pytest.mark.slow
def test_token_is_asked_for_and_kfp_client_brings_it(closed: RunningEngine) -> None:
    assert httpx.get(f"{closed.url}/apis/v2beta1/runs").status_code == 401
    assert httpx.get(f"{closed.url}/apis/v2beta1/healthz").status_code == 200
    assert not client_of(closed.url, TOKEN).list_runs().runs
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    rebound = httpx.get(f"{closed.url}/apis/v2beta1/runs", headers={**bearer, "Host": "evil.example"})
    crossed = httpx.get(
        f"{closed.url}/apis/v2beta1/runs", headers={**bearer, "Origin": "http://evil.example"}
    )
    assert (rebound.status_code, crossed.status_code) == (403, 403)
    huge = httpx.post(f"{closed.url}/apis/v2beta1/runs", content=b"x" * 600_000, headers=bearer)
    pieces = httpx.post(f"{closed.url}/apis/v2beta1/runs", content=iter([b"x" * 400_000] * 2), headers=bearer)
    assert "max_upload_mb" in huge.text and huge.status_code == 400
    assert pieces.status_code == 400


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_foreign_pipeline_is_refused_and_a_configured_one_is_taken(
    closed: RunningEngine, tmp_path: Path
) -> None:
    client = client_of(closed.url, TOKEN)
    with pytest.raises(kfp_server_api.ApiException, match="allow_uploads") as refused:
        run_of(client, foreign)
    assert refused.value.status == 403
    file = compile_pipeline("training", parse_config({"name": "shoes"}), tmp_path / "training.yaml")
    with quiet():
        kept = client.upload_pipeline(str(file), "shoes")
    assert kept.pipeline_id
    changed = file.read_text().replace(
        "from linnet.run.step import", "import this; from linnet.run.step import"
    )
    assert changed != file.read_text()
    file.write_text(changed)
    with pytest.raises(kfp_server_api.ApiException, match="allow_uploads"), quiet():
        client.upload_pipeline(str(file), "sandals")


@pytest.mark.slow
def test_hostile_files_are_refused(closed: RunningEngine, tmp_path: Path) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}

    def upload(name: str, content: bytes) -> httpx.Response:
        address = f"{closed.url}/apis/v2beta1/pipelines/upload"
        return httpx.post(address, files={"uploadfile": (name, content)}, headers=bearer, timeout=150)

    bomb = io.BytesIO()
    with tarfile.open(fileobj=bomb, mode="w:gz") as archive:
        member = tarfile.TarInfo("pipeline.yaml")
        member.size = 50_000_000
        archive.addfile(member, io.BytesIO(b"a" * member.size))
    laughs = "a: &a [x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(8)
    )
    python = b"!!python/object/apply:os.system ['touch /tmp/pwned-by-yaml']"
    for name, content in (
        ("p.tar.gz", bomb.getvalue()),
        ("p.tar.gz", b"no archive"),
        ("p.zip", b"no archive"),
        ("p.tgz", gzip.compress(b"")),
        ("p.yaml", python),
        ("p.yaml", laughs.encode()),
        ("p.yaml", b"\xff\xfe"),
        ("p.yaml", b"[" * 100_000),
        ("p.yaml", b'{"a":' * 100_000),
        ("p.yaml", b""),
    ):
        answer = upload(name, content)
        assert answer.status_code == 400 and answer.json()["code"] == 3, (name, answer.text[:300])
    assert not Path("/tmp/pwned-by-yaml").exists()
    assert httpx.get(f"{closed.url}/apis/v2beta1/healthz").status_code == 200


@pytest.mark.slow
def test_settings_that_a_laptop_cannot_honour_are_named(tmp_path: Path) -> None:
    from kfp import kubernetes

    from linnet.runner.spec import Spec
    from linnet.runner.unsupported import unsupported_features

    @dsl.container_component
    def shell() -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="alpine", command=["true"])

    @dsl.component(base_image="tensorflow/tensorflow")
    def image() -> None:
        pass

    @dsl.pipeline(name="asks-for-much")
    def asks() -> None:
        shell()
        image()
        task = parts.text()
        kubernetes.use_field_path_as_env(task, env_name="NODE", field_path="spec.nodeName")

    Compiler().compile(asks, str(tmp_path / "p.yaml"))
    told = "; ".join(unsupported_features(Spec.from_text((tmp_path / "p.yaml").read_bytes()), "off"))
    for setting in (
        "shell: the image alpine needs a container",
        "image: the image tensorflow/tensorflow needs a container",
        "spec.nodeName",
    ):
        assert setting in told
