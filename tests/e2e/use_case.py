"""A use case small enough to be run whole in a test: its images, its config, and the real command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLORS = {"brick": (220, 50, 40), "grass": (50, 200, 60), "water": (40, 70, 220)}

CONFIG = """\
name = "photos"
[data]
location = "photos"
height = 12
width = 12
color = "rgb"
validation_fraction = 0.1
production_fraction = 0.15
test_fraction = 0.25
[train]
epochs = 8
batch_size = 16
learning_rate = 0.06
width = 8
flip_average = false
[gates]
min_accuracy = 0.6
min_macro_f1 = 0.6
min_worst_recall = 0.3
min_auc = 0.5
max_ece = 0.2
max_cohort_gap = 0.5
max_latency_p95_ms = 1000
non_inferiority_margin = 0.2
[release]
steps = [50, 100]
replay_rps = 300
min_requests = 10
min_step_seconds = 0.2
max_error_increase = 0.05
max_accuracy_drop = 0.2
max_latency_ratio = 20
metrics = ["errors", "validity", "median", "agreement", "accuracy"]
median_floor_ms = 100
latency_floor_ms = 1000
first_release_latency_p95_ms = 1000
[serving]
port = 0
[engine]
mirror_runs = false
"""


def write_photos(folder: Path, each: int = 50, noise: int = 25) -> None:
    """Colored blobs on dark noise, in mixed sizes: any classifier that works tells them apart."""
    rng = np.random.default_rng(7)
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            height, width = rng.integers(9, 25, 2)
            pixels = rng.integers(0, 60, (height, width, 3))
            blob = np.asarray(color) + rng.integers(-noise, noise, 3)
            pixels[height // 4 : -height // 4, width // 4 : -width // 4] = blob
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / name / f"{number:03}.png")


@dataclass
class UseCase:
    """A folder that a person works in, with a state folder of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_photos(cls, folder: Path, **photos: int) -> UseCase:
        """The folder with `photos/` and a `photos.toml` that is quick to run."""
        folder.mkdir(parents=True, exist_ok=True)
        write_photos(folder / "photos", **photos)
        (folder / "photos.toml").write_text(CONFIG)
        (folder / ".gitignore").write_text("/state/\n/configs/\n")
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "photos"]):
            subprocess.run(["git", *words], cwd=folder, check=True)
        return cls(folder)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def linnet(self, *words: str | Path, timeout: float = 200) -> subprocess.CompletedProcess[str]:
        """Runs `linnet WORDS` to its end."""
        return subprocess.run(
            self._command(words),
            **self.place(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """Starts `linnet WORDS` as the leader of a process group, as a shell does on a terminal."""
        return subprocess.Popen(
            self._command(words), **self.place(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, process_group=0,
        )  # fmt: skip

    def _command(self, words: tuple[str | Path, ...]) -> list[str]:
        return [sys.executable, "-m", "linnet", *map(str, words)]

    def place(self) -> dict[str, Any]:
        """Folder and environment of its commands, for subprocess."""
        environment = {**os.environ, "LINNET_HOME": str(self.state), "COLUMNS": "200", **self.environment}
        return {"cwd": self.folder, "env": environment}

    def runs(self) -> list[Path]:
        """The folders of all runs, the oldest first."""
        return sorted((file.parent for file in self.state.glob("runs/*/run.json")), key=_begun)

    def record(self, run: Path | None = None) -> dict[str, Any]:
        """run.json of a run, or of the last one."""
        found: dict[str, Any] = json.loads(((run or self.runs()[-1]) / "run.json").read_text())
        return found

    def stages(self, run: Path | None = None) -> dict[str, dict[str, Any]]:
        """The stage records of a run, or of the last one."""
        files = ((run or self.runs()[-1]) / "stages").glob("[!.]*.json")
        return {file.stem: json.loads(file.read_text()) for file in files}

    def ledger(self) -> list[dict[str, Any]]:
        """All lines of the promotion ledger."""
        lines = (self.state / "ledger" / "promotions.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def wait_for_stage(self, stage: str, process: subprocess.Popen[str], seen: int) -> Path:
        """Waits until `stage` of the run after the first `seen` ones is under way; the run's folder."""
        until = time.monotonic() + 300
        while time.monotonic() < until:
            runs = self.runs()
            if len(runs) > seen and self.stages(runs[-1]).get(stage, {}).get("state") == "running":
                return runs[-1]
            assert process.poll() is None, f"ended before {stage}: {process.communicate()}"
            time.sleep(0.02)
        raise AssertionError(f"{stage} did not begin")

    def processes(self) -> dict[int, str]:
        """Command lines of the processes that this use case has running, by process id."""
        mark = f"LINNET_HOME={self.state}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                    if command:  # a zombie has none
                        found[int(entry.name)] = command[:150]
            except OSError:
                continue
        return found

    def versions(self) -> list[dict[str, Any]]:
        """Version and aliases of all model versions, read from the registry itself."""
        program = (
            "import json\n"
            "from linnet.config import RegistryConfig\n"
            "from linnet.registry.connect import connect\n"
            "r = connect(RegistryConfig())\n"
            "versions = [v for m in r.store.models() for v in r.versions(m)]\n"
            "print(json.dumps([v.model_dump(mode='json') for v in versions]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], **self.place(), capture_output=True, text=True, check=True
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found


def refused(case: UseCase, *words: str | Path, status: int, says: tuple[str, ...]) -> str:
    """Runs `linnet WORDS`, which must end with `status` and say all of `says`; returns what it said."""
    done = case.linnet(*words)
    told = " ".join((done.stdout + done.stderr).replace("│", " ").split())
    assert done.returncode == status, told
    for text in says:
        assert text in told, f"{text!r} is not in {told!r}"
    assert "Traceback" not in told, told
    left = case.processes()
    assert left == {}, left
    return told


def interrupt(process: subprocess.Popen[str], whole_group: bool) -> None:
    """Ctrl-C: a terminal tells the whole foreground group, `kill -INT` only the one process."""
    if whole_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        os.kill(process.pid, signal.SIGINT)


def _begun(run: Path) -> str:
    """When a run began; ISO 8601 in UTC sorts as time does."""
    return str(json.loads((run / "run.json").read_text())["started_at"])
