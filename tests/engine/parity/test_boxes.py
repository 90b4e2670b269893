"""Container components: by a real podman here, as processes of this machine, or on LINNET_PARITY_HOST.

The image is made on this machine. On a host it is `busybox`, or what LINNET_PARITY_IMAGE names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine import boxes as podman
from tests.engine.engines import RunningEngine, client_of, quiet, run_of, wait_for
from tests.engine.parity import box_parts
from tests.engine.parity.boxes import BOX_CASES
from tests.engine.parity.cases import Case
from tests.engine.parity.test_parity import HOST, check

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


@pytest.fixture(scope="module", params=["host"] if HOST else ["podman", "process"])
def submitted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, dict[str, str]]]:
    if HOST:
        client = client_of(HOST, os.environ.get("LINNET_ENGINE_TOKEN", ""))
        yield client, {case.name: run_of(client, case.pipeline()) for case in BOX_CASES}
        return
    if request.param == "podman" and (why := podman.why_no_podman(tmp_path_factory.getbasetemp())):
        pytest.skip(why)
    settings = {"concurrent_runs": 3, "containers": request.param}
    engine = RunningEngine(tmp_path_factory.mktemp("boxes") / "state", settings).start()
    client = engine.client()
    image = podman.IMAGE if request.param == "podman" else box_parts.IMAGE
    try:
        with quiet():
            runs = {case.name: podman.submit(client, case.pipeline(), image) for case in BOX_CASES}
        yield client, runs
    finally:
        engine.stop()


@pytest.mark.parametrize("case", BOX_CASES, ids=lambda case: case.name)
def test_box_does_what_it_does_on_a_cluster(case: Case, submitted: tuple[Any, dict[str, str]]) -> None:
    client, runs = submitted
    check(case, wait_for(client, runs[case.name], 900 if HOST else 300))
