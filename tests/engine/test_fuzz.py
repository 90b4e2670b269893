"""Schema-driven fuzzing of every route of the engine."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linnet.config import EngineConfig
from linnet.engine.app import build_engine, create_app
from linnet.engine.security import Guard
from tests.engine.engines import RunningEngine
from tests.fuzzing import Fuzzer, counts, requests_of

MOST_GROWTH_MB = 120.0
NAMES = {"type": "string"}
ANY = {"type": "object"}
CRON = {"type": "object", "properties": {"cron": NAMES}}
PERIOD = {"type": "object", "properties": {"interval_second": NAMES}}
BODY = {
    "type": "object",
    "properties": {
        "display_name": NAMES, "description": NAMES, "experiment_id": NAMES, "name": NAMES,
        "page_size": {"type": "integer"}, "pipeline_spec": ANY, "alerts": {"type": "array"},
        "runtime_config": {"type": "object", "properties": {"parameters": ANY}},
        "pipeline_version_reference": {"type": "object", "properties": {"pipeline_id": NAMES}},
        "trigger": {"type": "object", "properties": {"cron_schedule": CRON, "periodic_schedule": PERIOD}},
        "max_concurrency": NAMES, "mode": {"enum": ["ENABLE", "DISABLE"]}, "no_catchup": {"type": "boolean"},
        "package_url": {"type": "object", "properties": {"pipeline_url": NAMES}},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    started = RunningEngine(tmp_path_factory.mktemp("fuzz") / "state").start()
    yield started
    started.stop()


def description(folder: Path) -> dict[str, Any]:
    """The OpenAPI description that FastAPI has of the routes; bodies are read by hand, so they are added."""
    built = build_engine(folder, EngineConfig())
    spec: dict[str, Any] = create_app(built, Guard.of("127.0.0.1", (), "", 1.0)).openapi()
    built.store.close()
    for item in spec["paths"].values():
        for method in {"post", "put", "patch"} & set(item):
            item[method].setdefault("requestBody", {"content": {"application/json": {"schema": BODY}}})
    return spec


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("count", "part"), counts())
def test_no_request_makes_the_engine_fail_grow_or_speak_python(
    engine: RunningEngine, tmp_path: Path, count: int, part: int
) -> None:
    assert engine.process is not None
    experiments = engine.client().list_experiments().experiments or []
    ids = [one.experiment_id for one in experiments]

    def known(parameters: dict[str, Any], draw: random.Random) -> None:
        for name in parameters:
            if draw.random() < 0.3 and ids:
                parameters[name] = draw.choice(ids)

    fuzzer = Fuzzer(engine.url)
    before = memory_mb(engine.process.pid)
    for one in requests_of(description(tmp_path / "other"), count, part, known, 2):
        route = one.target.split("?")[0]
        if not route.endswith(("/keep-alive", "/exit-when-idle")):  # an order to end is obeyed
            fuzzer.send(one)
    print(fuzzer.statuses, f"{memory_mb(engine.process.pid) - before:.0f} MB more")
    assert not fuzzer.faults, f"{len(fuzzer.faults)} faults: " + "\n".join(sorted(set(fuzzer.faults))[:12])
    assert fuzzer.statuses[200] and fuzzer.statuses[400] and fuzzer.statuses[404], fuzzer.statuses
    assert engine.process.poll() is None
    assert memory_mb(engine.process.pid) - before < MOST_GROWTH_MB
    fuzzer.close()


def memory_mb(number: int) -> float:
    lines = Path(f"/proc/{number}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
