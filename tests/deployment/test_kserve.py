"""The KServe adapter against a stand-in of the Kubernetes API, its metrics through a real Prometheus."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from linnet.config import KServeConfig, ReleaseConfig
from linnet.deployment.kserve import CANDIDATE, CHAMPION, KServeTarget
from linnet.deployment.prometheus import DIALECTS, PrometheusRecords
from linnet.deployment.rollout import Candidate, Rollout
from linnet.deployment.traffic import LoadRefused
from linnet.errors import ConfigError, RolloutError
from tests.deployment.kubernetes import PATH, Behavior, Cluster, serving

ONE, TWO = "pvc://models/photos/1", "pvc://models/photos/2"
RELEASE = ReleaseConfig(
    steps=(10, 50, 100),
    metrics=("errors", "median", "p95", "p99"),
    min_step_seconds=0.5,
    deadline_seconds=60.0,
    check_interval_seconds=0.5,
    max_latency_ratio=1.5,
    latency_floor_ms=5.0,
    max_error_increase=0.02,
)


def settings(api: str, prometheus: str = "http://127.0.0.1:9") -> KServeConfig:
    return KServeConfig(
        service="photos", namespace="shop", api_url=api, prometheus_url=prometheus, metrics="knative",
        token_file="", ca_file="", ready_seconds=5.0,
    )  # fmt: skip


@contextmanager
def target(cluster: Cluster, prometheus: str = "http://127.0.0.1:9") -> Iterator[KServeTarget]:
    with serving(cluster) as api:
        found = KServeTarget(settings(api, prometheus), "photos", "2")
        try:
            yield found
        finally:
            found.close()


def pair(**two: float | bool) -> Cluster:
    return Cluster({ONE: Behavior(), TWO: Behavior(**two)})  # type: ignore[arg-type]


def test_service_that_linnet_never_saw_is_adopted_as_it_is() -> None:
    cluster = pair()
    with target(cluster) as kserve:
        assert kserve.champion() is None
        kserve.adopt("1")
        assert kserve.champion() == "1"
        kserve.adopt("7")
        assert kserve.champion() == "1"
    assert cluster.shares() == {"photos-predictor-00001": 1.0}


def test_candidate_is_loaded_without_traffic_routed_and_promoted() -> None:
    cluster = pair()
    with target(cluster) as kserve:
        kserve.adopt("1")
        kserve.load("2", Path("package"))
        kserve.load("2", Path("package"))
        assert cluster.predictor["model"]["storageUri"] == TWO
        assert cluster.shares() == {"photos-predictor-00001": 1.0, "photos-predictor-00002": 0.0}
        kserve.route("2", 25, 0.5)
        assert cluster.shares() == {"photos-predictor-00001": 0.75, "photos-predictor-00002": 0.25}
        kserve.promote("2")
        kserve.promote("2")
        assert kserve.champion() == "2"
    assert cluster.shares() == {"photos-predictor-00002": 1.0}
    assert "canaryTrafficPercent" not in cluster.predictor
    assert CANDIDATE not in cluster.service["metadata"]["annotations"]


def test_rollback_gives_traffic_back_at_once_and_then_restores_the_package() -> None:
    cluster = pair()
    with target(cluster) as kserve:
        kserve.adopt("1")
        kserve.load("2", Path("package"))
        kserve.route("2", 50, 0.0)
        kserve.route(None, 0, 0.0)
        assert cluster.shares()["photos-predictor-00001"] == 1.0
        kserve.unload("2")
        kserve.unload("2")
        assert kserve.champion() == "1"
    assert cluster.predictor["model"]["storageUri"] == ONE
    assert {cluster.revisions[name] for name, share in cluster.shares().items() if share} == {ONE}


def test_candidate_that_does_not_become_ready_is_refused_and_taken_back() -> None:
    cluster = pair(loads=False)
    with target(cluster) as kserve:
        kserve.adopt("1")
        with pytest.raises(LoadRefused, match=r"as version 2: model\.onnx is damaged"):
            kserve.load("2", Path("package"))
    assert cluster.predictor["model"]["storageUri"] == ONE
    assert {cluster.revisions[name] for name, share in cluster.shares().items() if share} == {ONE}


def test_change_that_meets_others_changes_reads_again() -> None:
    cluster = pair()
    with target(cluster) as kserve:
        kserve.adopt("1")
        kserve.load("2", Path("package"))
        cluster.rivals = 3
        kserve.route("2", 10, 0.0)
        assert cluster.shares()["photos-predictor-00002"] == 0.1
        cluster.rivals = 100
        with pytest.raises(RolloutError, match="changed by others all the time"):
            kserve.route("2", 20, 0.0)
    assert cluster.shares()["photos-predictor-00002"] == 0.1


def test_change_of_a_stale_object_is_refused_by_the_stand_in() -> None:
    cluster = pair()
    with serving(cluster) as api:
        read = httpx.get(api + PATH).json()
        assert httpx.put(api + PATH, json=read).status_code == 200
        assert httpx.put(api + PATH, json=read).status_code == 409


def test_champion_that_somebody_else_changed_meanwhile_stops_the_rollout() -> None:
    class Contested(Cluster):
        def put(self, body: Any) -> tuple[int, dict[str, Any]]:
            if self.rivals:
                self.service["metadata"]["annotations"][CHAMPION] = "9"
            return super().put(body)

    cluster = Contested({ONE: Behavior(), TWO: Behavior()})
    with target(cluster) as kserve:
        kserve.adopt("1")
        kserve.load("2", Path("package"))
        cluster.rivals = 1
        with pytest.raises(RolloutError, match="somebody made 9 the champion"):
            kserve.route("2", 50, 0.0)


@pytest.mark.parametrize(
    "change",
    [
        {"canaryTrafficPercent": 101},
        {"canaryTrafficPercent": 2.5},
        {"canaryTrafficPercent": "10"},
        {"canaryTraffic": 10},
    ],
)
def test_stand_in_refuses_what_is_not_in_the_schema(change: dict[str, object]) -> None:
    with serving(pair()) as api:
        read = httpx.get(api + PATH).json()
        read["spec"]["predictor"].update(change)
        assert httpx.put(api + PATH, json=read).status_code == 422


def test_api_that_does_not_answer_or_refuses_is_one_clear_error() -> None:
    lost = KServeTarget(settings("http://127.0.0.1:9"), "photos", "2")
    with pytest.raises(RolloutError, match=r"the Kubernetes API at http://127.0.0.1:9 does not answer"):
        lost.champion()
    lost.close()
    with serving(pair()) as api:
        other = settings(api).model_copy(update={"service": "paintings"})
        stranger = KServeTarget(other, "photos", "2")
        with pytest.raises(RolloutError, match=r"shop/paintings was refused \(404\)"):
            stranger.champion()
        stranger.close()


def test_config_that_asks_kserve_for_what_it_does_not_show_is_refused() -> None:
    with pytest.raises(ConfigError, match="KServe's revisions do not show agreement"):
        ReleaseConfig.parse({"kserve": {"service": "photos"}, "metrics": ["errors", "agreement"]})


def test_records_without_prometheus_are_silence() -> None:
    records = PrometheusRecords("http://127.0.0.1:9", "shop", DIALECTS["knative"])
    with pytest.raises(RolloutError, match="does not answer"):
        records.between(0, 1000, {"photos-predictor-00001": "1"})
    records.close()


@contextmanager
def prometheus(program: str, folder: Path, scraped: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The real Prometheus, scraping a URL's host twice a second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "prometheus.yml"
    host = scraped.removeprefix("http://")
    config.write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n"
        f"scrape_configs: [{{job_name: cluster, static_configs: [{{targets: ['{host}']}}]}}]\n"
    )
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(lambda: httpx.get(f"{url}/-/ready").status_code == 200)
        yield url, process
    finally:
        process.kill()
        process.wait()


def _wait(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < until, "it did not come up in time"
        time.sleep(0.1)


@contextmanager
def rollout(
    cluster: Cluster, folder: Path, debian: Callable[[str, str], str]
) -> Iterator[tuple[Rollout, subprocess.Popen[bytes]]]:
    """A rollout of version 2 with everything running."""
    program = debian("prometheus", "prometheus")
    with serving(cluster) as api, prometheus(program, folder, api) as (url, process):
        kserve = KServeTarget(settings(api, url), "photos", "2")
        kserve.adopt("1")
        _wait(lambda: bool(httpx.get(f"{url}/api/v1/query?query=up").json()["data"]["result"]))
        candidate = Candidate("photos", "2", folder / "package")
        try:
            yield Rollout(kserve, candidate, RELEASE, list, folder / "photos.json"), process
        finally:
            kserve.close()


@pytest.mark.slow
def test_rollout_of_a_good_revision_is_promoted_on_prometheus_s_word(
    tmp_path: Path, debian: Callable[[str, str], str]
) -> None:
    cluster = pair()
    with rollout(cluster, tmp_path, debian) as (release, _):
        decision = release.run()
    assert decision.verdict == "promote", decision.reason
    assert [percent for percent in cluster.percents if percent] == [10, 50, 100]
    assert cluster.service["metadata"]["annotations"][CHAMPION] == "2"
    assert cluster.shares() == {"photos-predictor-00002": 1.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behavior", "reason"), [({"error_rate": 0.15}, "errors"), ({"median_ms": 60.0}, "latency")]
)
def test_rollout_of_a_bad_revision_is_rolled_back_on_prometheus_s_word(
    tmp_path: Path, behavior: dict[str, float], reason: str, debian: Callable[[str, str], str]
) -> None:
    cluster = pair(**behavior)
    with rollout(cluster, tmp_path, debian) as (release, _):
        decision = release.run()
    assert decision.verdict == "rollback"
    assert reason in decision.reason
    assert cluster.predictor["model"]["storageUri"] == ONE
    assert {cluster.revisions[name] for name, share in cluster.shares().items() if share} == {ONE}


@pytest.mark.slow
def test_rollout_whose_prometheus_dies_is_inconclusive_and_gives_back(
    tmp_path: Path, debian: Callable[[str, str], str]
) -> None:
    cluster = pair()
    with rollout(cluster, tmp_path, debian) as (release, process):
        progress: list[str] = []

        def killing(what: str, done: int, total: int) -> None:
            progress.append(what)
            if done == 1:
                process.kill()

        release.progress = killing
        decision = release.run()
    assert decision.verdict == "inconclusive"
    assert "could not be read" in decision.reason
    assert {cluster.revisions[name] for name, share in cluster.shares().items() if share} == {ONE}
