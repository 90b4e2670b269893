"""Attacks on the engine by who can reach its port: other users, web pages, proxies, holders of its token."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import kfp_server_api
import pytest

from linnet.config import SECTIONS, Config, parse_config
from linnet.config.error_messages import tables
from linnet.config.places import Reach
from linnet.engine.recurring import Recurring
from linnet.engine.store import ResourceStore
from linnet.errors import ConfigError
from linnet.process.peer import user_of
from linnet.runner.spec import Spec
from pipelines.compile import compile_pipeline
from tests.engine.engines import RunningEngine, client_of, quiet
from tests.engine.settings_in_words import FREE, OWNERS
from tests.shallow import shallow

NOBODY = 65534
RUNS, KEEP_ALIVE = "/apis/v2beta1/runs", "/linnet/v1/keep-alive"
FOREIGN: dict[str, Any] = {
    "data.location": "/etc",
    "data.extra_window": "/etc/ssl",
    "labels.server": "http://attacker.example",
    "labels.token_file": "/root/.ssh/id_ed25519",
    "labels.version": "/etc/shadow.dvc",
    "train.init_weights": "/etc/shadow",
    "train.weights": "/etc/shadow",
    "registry.tracking_uri": "http://attacker.example",
    "serving.host": "0.0.0.0",
    "serving.origins": ["http://attacker.example"],
    "serving.hosts": ["attacker.example"],
    "serving.feature_source": "os:system",
    "release.kserve.service": "somebody-elses",
    "release.kserve.namespace": "kube-system",
    "release.kserve.storage_uri": "s3://attacker/{model}",
    "release.kserve.prometheus_url": "http://127.0.0.1:6379",
    "release.kserve.api_url": "http://attacker.example",
    "release.kserve.token_file": "/etc/shadow",
    "release.kserve.ca_file": "/etc/shadow",
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """An engine as it is by default: on loopback, no uploads, no token for all."""
    running = RunningEngine(tmp_path_factory.mktemp("callers") / "state", {"allow_uploads": False}).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """One whose token others have, too."""
    state = tmp_path_factory.mktemp("shared") / "state"
    running = RunningEngine(state, {"allow_uploads": False}, "a-token-that-others-have").start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("specs")
    return {
        name: Spec.from_text(
            shallow(
                compile_pipeline, name, parse_config({"name": "shoes"}), folder / f"{name}.yaml"
            ).read_bytes()
        ).values()
        for name in ("training", "monitoring")
    }


def owner(engine: RunningEngine) -> dict[str, str]:
    token = (engine.state / "engine" / "owner.token").read_text()
    return {"Authorization": f"Bearer {token}"}


def body(spec: dict[str, Any], key: str = "", value: Any = "", **more: Any) -> dict[str, Any]:
    """A run whose parameter `section.field` is `value`."""
    parameters: dict[str, Any] = {}
    where = parameters
    *above, last = key.split(".")
    for name in above:
        where = where.setdefault(name, {})
    if key:
        where[last] = value
    return {"display_name": "x", "pipeline_spec": spec, "runtime_config": {"parameters": parameters}, **more}


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("path", [RUNS, "/apis/v2beta1/pipelines", KEEP_ALIVE, "/apis/v2beta1/auth"])
def test_other_user_of_the_machine_is_not_answered(engine: RunningEngine, path: str) -> None:
    program = (
        "import sys, urllib.request as r, urllib.error as e\n"
        "try: print(r.urlopen(r.Request(sys.argv[1], data=b'{}' if 'v1' in sys.argv[1] else None)).status)\n"
        "except e.HTTPError as error: print(error.code)"
    )
    said = subprocess.run(
        ["/usr/bin/python3", "-c", program, engine.url + path],
        user=NOBODY, group=NOBODY, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert said.stdout.strip() == "401", said.stderr
    assert stat.S_IMODE((engine.state / "engine" / "owner.token").stat().st_mode) == 0o600


@pytest.mark.slow
def test_unmodified_client_of_the_owner_is_answered_without_a_token(engine: RunningEngine) -> None:
    assert not client_of(engine.url).list_runs().runs
    assert httpx.get(engine.url + RUNS).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "10.1.2.3"},
        {"Forwarded": "for=10.1.2.3"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "10.1.2.3"},
        {"X-Forwarded-Host": "engine.example.org"},
    ],
)
def test_what_a_proxy_passes_on_is_not_its_owners(engine: RunningEngine, headers: dict[str, str]) -> None:
    assert httpx.get(engine.url + RUNS, headers=headers).status_code == 401
    assert httpx.get(engine.url + RUNS, headers={**headers, **owner(engine)}).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:9999"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Origin": "file://"},
        {"Origin": "http://attacker.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "attacker.example"},
        {"Host": "127.0.0.1.nip.io"},
    ],
)
def test_page_of_another_port_or_site_is_refused(engine: RunningEngine, headers: dict[str, str]) -> None:
    for identity in ({}, owner(engine)):
        assert httpx.get(engine.url + RUNS, headers={**identity, **headers}).status_code == 403
        assert httpx.post(engine.url + RUNS, headers={**identity, **headers}, json={}).status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(FOREIGN))
def test_guest_may_not_name_what_no_config_on_disk_names(
    engine: RunningEngine, shared: RunningEngine, specs: dict[str, dict[str, Any]], key: str
) -> None:
    wanted = body(specs["training"], key, FOREIGN[key])
    if key.startswith("data."):  # a person's own images have no default size
        wanted["runtime_config"]["parameters"]["data"] |= {"height": 8, "width": 8, "color": "gray"}
    if key == "release.kserve.service":  # which shows fewer metrics
        wanted["runtime_config"]["parameters"]["release"]["metrics"] = ["errors"]
    bearer = {"Authorization": f"Bearer {shared.token}"}
    for where, headers in ((engine, {}), (shared, bearer)):
        answer = httpx.post(where.url + RUNS, json=wanted, headers=headers, timeout=150)
        assert answer.status_code == 403 and key in answer.json()["message"], answer.text
        assert not list((where.state / "runs").glob("*")), "a folder was made for a run that was refused"


@pytest.mark.slow
def test_guest_may_not_hide_a_place_in_defaults_versions_or_recurring_runs(
    engine: RunningEngine, specs: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """The code's digest leaves the defaults out, and a version or a schedule brings its own."""
    key, value = "labels.server", "http://attacker.example"
    file = shallow(
        compile_pipeline,
        "training",
        parse_config({"name": "shoes", "labels": {"server": value}}),
        tmp_path / "t.yaml",
    )
    spec = Spec.from_text(file.read_bytes()).values()
    assert httpx.post(engine.url + RUNS, json=body(spec)).status_code == 403
    with quiet():
        client = client_of(engine.url)
        kept = client.upload_pipeline(str(file), "with-a-place")
        versions = client.list_pipeline_versions(kept.pipeline_id).pipeline_versions
        reference = {
            "pipeline_id": kept.pipeline_id,
            "pipeline_version_id": versions[0].pipeline_version_id,
        }
    by_reference = {"display_name": "x", "pipeline_version_reference": reference}
    assert httpx.post(engine.url + RUNS, json=by_reference).status_code == 403
    again = body(specs["training"], key, value, trigger={"periodic_schedule": {"interval_second": "60"}})
    assert httpx.post(f"{engine.url}/apis/v2beta1/recurringruns", json=again).status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../../outside", "/etc/x", "a/b", "", "..", "A b", "x\n", "é"])
def test_name_that_is_no_config_name_is_refused_by_anybody(
    engine: RunningEngine, specs: dict[str, dict[str, Any]], name: str
) -> None:
    """It becomes a part of paths."""
    wanted = body(specs["monitoring"])
    wanted["runtime_config"]["parameters"]["name"] = name
    for headers in ({}, owner(engine)):
        answer = httpx.post(engine.url + RUNS, json=wanted, headers=headers, timeout=150)
        assert answer.status_code == 400 and "name" in answer.json()["message"], answer.text


@pytest.mark.slow
def test_guest_may_take_what_a_config_on_disk_names(
    engine: RunningEngine, specs: dict[str, dict[str, Any]]
) -> None:
    """`pipelines/training.py` with the config of this repository, by the SDK's client without a token."""
    config = Config.parse({"name": "shoes", "data": {"location": "data.dvc"}})
    wanted = body(specs["monitoring"])
    wanted["runtime_config"]["parameters"] = {"registry": config.registry.values()}
    answer = httpx.post(engine.url + RUNS, json=wanted, timeout=150)
    assert answer.status_code == 200, answer.text


@pytest.mark.slow
def test_owner_may_name_anything(engine: RunningEngine, specs: dict[str, dict[str, Any]]) -> None:
    wanted = body(specs["monitoring"], "registry.tracking_uri", "http://127.0.0.1:1")
    answer = httpx.post(engine.url + RUNS, json=wanted, headers=owner(engine), timeout=150)
    assert answer.status_code == 200, answer.text


@pytest.mark.slow
def test_address_and_token_of_two_configs_are_not_mixed(
    tmp_path: Path, specs: dict[str, dict[str, Any]]
) -> None:
    """Each is on the disk, but the one's token is not for the other's server."""
    for name in ("one", "two"):
        text = f'name = "{name}"\n[labels]\nserver = "https://{name}.example"\ntoken_file = "/{name}.token"\n'
        (tmp_path / f"{name}.toml").write_text(text)
    settings = {"allow_uploads": False, "trusted_configs": [str(tmp_path / "*.toml")]}
    running = RunningEngine(tmp_path / "state", settings).start()
    try:
        for server, token, status in (("one", "one", 200), ("one", "two", 403), ("two", "one", 403)):
            labels = {"server": f"https://{server}.example", "token_file": f"/{token}.token"}
            wanted = body(specs["training"])
            wanted["runtime_config"]["parameters"] = {"labels": labels}
            assert httpx.post(running.url + RUNS, json=wanted, timeout=150).status_code == status
            for run in client_of(running.url).list_runs().runs or []:
                if run.state in ("PENDING", "RUNNING"):
                    client_of(running.url).terminate_run(run.run_id)
        bare = body(specs["training"], "labels.server", "https://one.example")  # LABEL_STUDIO_TOKEN's content
        assert httpx.post(running.url + RUNS, json=bare, timeout=150).status_code == 403
    finally:
        running.stop()


@pytest.mark.slow
def test_answers_are_no_pages_of_the_engines_origin(engine: RunningEngine) -> None:
    for path in (RUNS, "/apis/v2beta1/healthz", "/nowhere"):
        headers = httpx.get(engine.url + path).headers
        assert "sandbox" in headers["content-security-policy"]
        assert "allow" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.slow
def test_owners_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "engine"
    folder.mkdir(parents=True)
    (folder / "owner.token").write_text("a-token-that-somebody-else-laid-here")
    (folder / "owner.token").chmod(0o644)
    said = subprocess.run(
        [sys.executable, "-m", "linnet.engine", "--config-json", json.dumps({"port": 0})],
        env={**os.environ, "LINNET_HOME": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert said.returncode == 1 and "owner.token" in said.stderr and "Traceback" not in said.stderr


def test_owners_token_is_sent_to_nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from linnet.launch.client import Host
    from linnet.process.engine import EngineState, engine_state_file, owner_token

    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    monkeypatch.setenv("LINNET_ENGINE_TOKEN", "a-token-that-others-have")
    EngineState.of(os.getpid(), "http://127.0.0.1:8888", str(Path.cwd())).write(engine_state_file())
    assert Host("http://127.0.0.1:8888").token() == owner_token() != ""
    for url in ("https://kfp.example.org", "http://127.0.0.1:8889", "http://127.0.0.1:8888.attacker.example"):
        assert Host(url).token() == "a-token-that-others-have"


def test_user_of_a_socket_is_known_only_while_it_is_connected() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        caller = socket.create_connection(listening.getsockname())
        accepted, peer = listening.accept()
        assert user_of(peer, accepted.getsockname()) == os.geteuid()
        assert user_of((peer[0], 1), accepted.getsockname()) is None
        assert user_of(("10.0.0.1", peer[1]), accepted.getsockname()) is None
        caller.close()
        assert user_of(peer, accepted.getsockname()) is None
        accepted.close()


def test_every_text_setting_is_known_to_reach_out_or_not() -> None:
    """A new one is a person's decision."""

    def texts(section: Any, above: str) -> Iterator[tuple[str, bool]]:
        for name, field in section.model_fields.items():
            if name in tables(section):
                yield from texts(tables(section)[name], f"{above}{name}.")
            elif field.annotation is str or field.annotation == tuple[str, ...]:
                yield above + name, any(isinstance(mark, Reach) for mark in field.metadata)

    found = dict(one for name, section in SECTIONS.items() for one in texts(section, f"{name}."))
    assert {name for name, reaches in found.items() if not reaches} == FREE
    tested = {name for name, reaches in found.items() if reaches}
    assert {name for name in tested if not name.startswith(OWNERS)} == set(FOREIGN)


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest",
        "http://169.254.170.2",
        "http://[fe80::1]",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://METADATA.google.internal./",
        "http://user@169.254.169.254/",
        "http://100.100.100.200/",
        "169.254.169.254",
    ],
)
def test_metadata_service_is_no_setting_of_anybody(address: str) -> None:
    for section, field in (("labels", "server"), ("registry", "tracking_uri"), ("engine", "host")):
        with pytest.raises(ConfigError, match="metadata"):
            parse_config({"name": "x", section: {field: address}})


def test_recurring_run_of_an_older_engine_is_a_guests(tmp_path: Path) -> None:
    asked: list[str] = []

    class Submissions:
        def check(self, body: dict[str, Any], caller: str) -> None:
            pass

        def submit(self, body: dict[str, Any], key: str, actor: str, caller: str) -> None:
            asked.append(caller)

    store = ResourceStore(tmp_path / "engine.db")
    recurring = Recurring(store, Submissions())  # type: ignore[arg-type]
    trigger = {"periodic_schedule": {"interval_second": "60"}}
    made = recurring.create({"trigger": trigger}, "owner")
    store.change("recurring", made.id, {}, {"last": "2020-01-01T00:00:00Z"})
    recurring._make_one(store.get("recurring", made.id), recurring_moment())
    older = store.add("recurring", "older", {**made.body, "recurring_run_id": "older"}, dict(OLDER))
    recurring._make_one(older, recurring_moment())
    assert asked == ["owner", "guest"]
    store.close()


OLDER = {"last": "2020-01-01T00:00:00Z", "index": 0}


def recurring_moment() -> Any:
    from linnet.records import now

    return now()


@pytest.mark.slow
def test_sdk_says_what_to_do(engine: RunningEngine, specs: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    config = parse_config({"name": "shoes", "labels": {"server": "http://attacker.example"}})
    file = shallow(compile_pipeline, "training", config, tmp_path / "t.yaml")
    with pytest.raises(kfp_server_api.ApiException, match="trusted_configs"), quiet():
        client_of(engine.url).create_run_from_pipeline_package(str(file))
