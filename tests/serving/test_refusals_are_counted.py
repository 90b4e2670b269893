"""What is refused before a route is found (heads, bodies, time) is answered and counted as any refusal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.serving.attacking import answers, statuses
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, running
from tests.serving.test_several_models import models_flags

COUNTED = re.compile(r'linnet_validation_failures_total\{model="(\w*)",reason="\w+",status="(\d+)"\} (\S+)')
HOST = b"Host: 127.0.0.1\r\nConnection: close\r\n"
FACES = b"POST /predict/faces HTTP/1.1\r\n" + HOST
EXPECT = b"Expect: 100-continue\r\n"
LARGE = b"Content-Length: 3000000\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """textures and faces on one worker; a body may have 2 MB, and a request half a second to come."""
    folder = tmp_path_factory.mktemp("refusals")
    flags = models_flags(
        *(
            {"name": name, "version": "1", "package": make_package(folder / name, name=name)}
            for name in ("textures", "faces")
        )
    )
    settings = {"workers": 1, "read_timeout_seconds": 0.5, "max_body_mb": 2.0}
    with running(folder / "run", None, "", *flags, "--config-json", json.dumps(settings)) as started:
        yield started


def refusals(server: RunningServer) -> dict[tuple[str, int], float]:
    """What was counted so far, by model and status."""
    found: dict[tuple[str, int], float] = {}
    for model, status, count in COUNTED.findall(server.client.metrics()):
        key = (model, int(status))
        found[key] = found.get(key, 0.0) + float(count)
    return found


@pytest.mark.parametrize(
    ("sent", "model", "status"),
    [
        pytest.param(FACES + EXPECT + LARGE, "faces", 413, id="expected body"),
        pytest.param(FACES + LARGE + bytes(3_000_000), "faces", 413, id="large body"),
        pytest.param(b"POST /v2/models/textures/infer HTTP/1.1\r\n" + HOST + LARGE + bytes(3_000_000),
                     "textures", 413, id="large tensor"),
        pytest.param(FACES + b"Content-Encoding: gzip\r\n" + EXPECT + b"\r\n", "faces", 415, id="encoded"),
        pytest.param(FACES + b"Content-Length: 9\r\n\r\nhalf", "faces", 408, id="slow body"),
        pytest.param(b"POST /predict/fa", "", 408, id="slow address, whose end may still come"),
        pytest.param(b"no request\r\n\r\n", "", 400, id="not HTTP"),
        pytest.param(FACES + b"X: " + b"A" * 40_000 + b"\r\n\r\n", "faces", 431, id="large head"),
        pytest.param(FACES + b"X: 1\nY: 2\r\n\r\n", "faces", 400, id="not HTTP behind an address"),
        pytest.param(b"POST /predict/hands HTTP/1.1\r\n" + HOST + LARGE + bytes(3_000_000),
                     "", 413, id="no model"),
    ],
)  # fmt: skip
def test_refusal_before_a_route_is_counted_once_and_by_the_model_that_the_address_names(
    server: RunningServer, sent: bytes, model: str, status: int
) -> None:
    before = refusals(server)
    said = answers(server, sent)
    assert statuses(said) == [status], said[:300]
    assert (f"linnet-model: {model}".encode() in said) is bool(model)
    after = refusals(server)
    assert {
        key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)
    } == {(model, status): 1.0}
