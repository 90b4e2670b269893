"""A cache that is full, broken or read-only: a step says so in one error, with what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.disk_faults import MODES, FaultyDisk

PROGRAM = """
import json, sys
from pathlib import Path
from linnet.cache.store import Cache
from linnet.errors import StorageError
from linnet.run.step import run_step
from linnet.cache import store
import os
switch, mode = Path(os.environ["LINNET_FAULT_SWITCH"]), sys.argv[1]
acts, outputs = sys.argv[2] == "acts", Path(sys.argv[3])

class Out:
    path, metadata = str(outputs / "out"), {}

def work(out):
    out["out"].write_text("made")
    return {}

switch.write_text(mode)
try:
    out = {"out": Out}
    run_step("ingest", work, code=store.__file__, parameters={}, inputs={}, outputs=out, side_effects=acts)
    print(json.dumps(["done", ""]))
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


@pytest.mark.parametrize("kind", ["cached", "acts"])
@pytest.mark.parametrize("mode", ["read-only", "full"])
def test_step_whose_cache_refuses_says_so_with_a_remedy(tmp_path: Path, mode: str, kind: str) -> None:
    cache = tmp_path / "home" / "cache"
    cache.mkdir(parents=True)
    disk = FaultyDisk(cache, tmp_path)
    command = [sys.executable, "-c", PROGRAM, MODES[mode], kind, str(tmp_path / "outputs")]
    environment = {**os.environ, **disk.environment, "LINNET_HOME": str(tmp_path / "home")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout, done.stderr
    kind_of, told = json.loads(done.stdout.splitlines()[-1])
    assert kind_of == "StorageError" and str(cache) in told, told
    assert {"read-only": "LINNET_HOME", "full": "the disk is full"}[mode] in told, told
