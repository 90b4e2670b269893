"""Rules and dashboards ask only for metrics that the real server exposes, with the labels that they use."""

from __future__ import annotations

import re
import time

import pytest

from linnet.errors import RequestRejected
from linnet.monitoring import metric_names as names
from tests.serving.packages import make_package
from tests.serving.running import png, running


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a server says after an answer that was mirrored, and a request that was refused."""
    folder = tmp_path_factory.mktemp("names")
    package = make_package(folder / "package")
    with running(folder / "server", package, "7", "--name", "tiny", "--workers", "1") as server:
        server.client.load("8", package)
        server.client.set_routes("7", "8", 0, 1.0)
        server.client.predict(png(200))
        with pytest.raises(RequestRejected):
            server.client.predict(b"no image")
        until = time.monotonic() + 60
        while True:  # mirrored after the answer
            text = server.client.metrics()
            if f"{names.MIRRORED}{{" in text or time.monotonic() > until:
                return text


def test_server_exposes_every_metric_under_its_name(exposed: str) -> None:
    families = set(re.findall(r"^([a-z_]+?)(?:_bucket|_count|_sum)?(?:\{| )", exposed, re.MULTILINE))
    assert set(names.SERVER) - families == set()


def test_latency_buckets_are_the_servers(exposed: str) -> None:
    bounds = re.findall(
        rf'^{names.REQUEST_SECONDS}_bucket{{([^}}]*version="7"[^}}]*)}}', exposed, re.MULTILINE
    )
    found = [match[1] for labels in bounds if (match := re.search(r'le="([^"]+)"', labels))]
    assert [bound for bound in found if bound != "+Inf"] == [repr(bound) for bound in names.BUCKETS]


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        (names.REQUESTS, {"model": "tiny", "version": "7", "outcome": "failed"}, 0.0),
        (names.VALIDATION_FAILURES, {"model": "tiny", "status": "415", "reason": "type"}, 1.0),
        (names.LOADED, {"model": "tiny", "version": "7", "role": "champion"}, 1.0),
        (names.LOADED, {"model": "tiny", "version": "8", "role": "candidate"}, 1.0),
    ],
)
def test_labels_are_those_that_rules_group_by(
    exposed: str, name: str, labels: dict[str, str], value: float
) -> None:
    found = {
        frozenset(re.findall(r'(\w+)="([^"]*)"', text)): float(number)
        for text, number in re.findall(rf"^{name}{{([^}}]*)}} (\S+)", exposed, re.MULTILINE)
    }
    assert found[frozenset(labels.items())] == value
