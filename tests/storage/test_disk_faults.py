"""Every small writer on a disk that refuses: one error, what was confirmed stays, and it goes on after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.disk_faults import MODES, FaultyDisk

PROGRAM = """
import json, os, sys
from datetime import UTC, datetime
from pathlib import Path
from linnet.errors import LinnetError
folder, switch, mode, writer = Path(sys.argv[1]), Path(os.environ["LINNET_FAULT_SWITCH"]), sys.argv[2], sys.argv[3]

def key(name):
    from linnet.serving.keys import KeyFile
    KeyFile(folder / "keys.json").create(name, ("infer",))
def keys():
    from linnet.serving.keys import KeyFile
    return [key.name for key in KeyFile(folder / "keys.json").read()]

def line(name):
    from linnet.records import LedgerEntry
    from linnet.registry.ledger import append_to_ledger
    append_to_ledger(folder, LedgerEntry(at=datetime.now(UTC), actor="a", action="canary", model="m", version=name,
                                         previous=None, reason=""))
def lines():
    from linnet.registry.ledger import Ledger
    return [entry.version for entry in Ledger(folder / "ledger" / "promotions.jsonl").entries()]

def state(name):
    from linnet.deployment.journal import Journal
    Journal(folder / "m.json").write({"candidate": name, "percent": 5, "phase": "running", "started_at": "s"})
def states():
    from linnet.deployment.journal import Journal
    return [Journal(folder / "m.json").read()["candidate"]]

def order(name):
    from linnet.deployment.journal import Journal
    if not (folder / "m.json").exists():
        state("x")
    Journal(folder / "m.json").give("pause", name)
def orders():
    from linnet.deployment.journal import Journal
    return [one.by for one in Journal(folder / "m.json").orders("s", 0)]

def text(name):
    from linnet.storage.files import write_text
    write_text(folder / "text", name)
def texts():
    return [(folder / "text").read_text()]

def server(name):
    from linnet.process.model_server import ServerState
    ServerState.of(os.getpid(), name, "token").write(folder / "server.json")
def servers():
    from linnet.process.model_server import ServerState
    return [ServerState.read(folder / "server.json").url]

write, read, all_of = {
    "API keys": (key, keys, True), "promotion ledger": (line, lines, True), "rollout state": (state, states, False),
    "rollout orders": (order, orders, True), "whole files": (text, texts, False), "server state": (server, servers, False),
}[writer]
found = {}
write("before")
switch.write_text(mode)
try:
    write("during")
except (LinnetError, OSError) as error:
    found["error"] = str(error)
found["meanwhile"] = read()
switch.write_text("-")
write("after")
found["at the end"], found["all"] = read(), all_of
found["left"] = [path.name for path in folder.rglob(".*")]
print(json.dumps(found))
"""
WRITERS = ("API keys", "promotion ledger", "rollout state", "rollout orders", "whole files", "server state")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("writer", WRITERS)
def test_writer_says_that_the_disk_refuses_keeps_what_it_confirmed_and_goes_on(
    tmp_path: Path, writer: str, mode: str
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = FaultyDisk(folder, tmp_path)
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), MODES[mode], writer],
        env={**os.environ, **disk.environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["error"], "the disk refused, and nobody was told"
    assert found["meanwhile"] == ["before"]
    assert found["at the end"] == (["before", "after"] if found["all"] else ["after"])
    assert found["left"] == [], "halves of files were left"
