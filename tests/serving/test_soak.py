"""Hours of half load with everything that goes on beside it: memory, descriptors, threads and disk stay flat.

The short form shows that the test works; the proof runs LINNET_SOAK_SECONDS (7,200 unless set). On a machine
that others use, LINNET_SOAK_CORES bounds what server and clients may use together, in CPU cores.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import combinations, islice
from pathlib import Path

import pytest

from linnet.serving.client import ServerClient
from linnet.serving.ring import CAPACITY
from tests.serving.attacking import memory_mb, processes, warm_up
from tests.serving.load import Load, statuses
from tests.serving.packages import CLASSES, make_package
from tests.serving.running import RunningServer, png, running

SECONDS = float(os.environ.get("LINNET_SOAK_SECONDS", "7200"))
CORES = float(os.environ.get("LINNET_SOAK_CORES", "inf"))
KEPT_FILES = 20
"""Files of the prediction log that the rotation leaves."""
RECORD_MB = 0.001
"""A served record in memory, at most; there are CAPACITY of them once the ring is full."""


@dataclass(frozen=True)
class Sample:
    at: float
    served: int
    memory_mb: float
    descriptors: int
    threads: int
    disk_mb: float


@dataclass
class Soak:
    """What goes on beside the traffic; `wrong` has what should not have happened."""

    server: RunningServer
    package: Path
    pause: float = 1.0
    """Seconds between rollouts, and between scrapes."""
    rollouts: int = 0
    labels: int = 0
    scrapes: int = 0
    served: int = 0
    rotated: int = 0
    wrong: list[str] = field(default_factory=list)

    def traffic(self, rate: float, client: ServerClient) -> None:
        began = time.perf_counter()
        answer = client.predict(png(self.served % 250))
        self.served += 1
        if self.served % 10 == 0:
            label = {"request_id": answer["request_id"], "label": CLASSES[self.served % len(CLASSES)]}
            status, _, content = client.request("POST", "/feedback", json.dumps(label).encode())
            if status != 200:
                self.wrong.append(f"feedback: {status} {content!r}")
            self.labels += 1
        time.sleep(max(0.0, 1 / rate - (time.perf_counter() - began)))

    def roll_out(self, client: ServerClient) -> None:
        """Canary, mirror, promote or take back, and forget: a version more each time."""
        champion = client.routes()["champion"]
        self.rollouts += 1
        version = f"v{self.rollouts}"
        client.load(version, self.package)
        for percent in (5, 50):
            client.set_routes(champion, version, percent, 0.5)
            time.sleep(0.3)
            client.renew(version)
        if self.rollouts % 2:
            client.set_routes(version)
            client.unload(champion)
        else:
            client.set_routes(champion)
            client.unload(version)
        time.sleep(self.pause)

    def scrape(self, client: ServerClient) -> None:
        self.scrapes += 1
        assert "linnet_requests_total" in client.metrics()
        client.records(0)
        time.sleep(self.pause)

    def rotate(self, _: ServerClient) -> None:
        """What an operator's log rotation does: the oldest files go."""
        files = sorted(self.server.log_dir.glob("served-*.parquet"))
        for path in files[:-KEPT_FILES]:
            path.unlink()
            self.rotated += 1
        for path in sorted(self.server.log_dir.glob("feedback-*.parquet"))[:-2]:
            path.unlink()
        time.sleep(0.5)


@contextmanager
def going(soak: Soak, work: Callable[[ServerClient], None]) -> Iterator[None]:
    """Does `work` over and over in a thread."""
    ended = threading.Event()

    def loop() -> None:
        (model,) = soak.server.state.models or []
        client = ServerClient(soak.server.state.url, soak.server.state.token, model=model)
        while not ended.is_set():
            try:
                work(client)
            except Exception as error:  # noqa: BLE001  whatever it is, it is told, and the work goes on
                soak.wrong.append(f"{time.monotonic():.0f} {work}: {type(error).__name__}: {error}")
                print(soak.wrong[-1], flush=True)
                time.sleep(0.2)
        client.close()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def sample(soak: Soak) -> Sample:
    numbers = processes(soak.server)
    descriptors = threads = 0
    for number in numbers:
        try:
            descriptors += sum(1 for _ in Path(f"/proc/{number}/fd").iterdir())
            threads += sum(1 for _ in Path(f"/proc/{number}/task").iterdir())
        except FileNotFoundError:
            continue
    disk = 0
    for path in soak.server.log_dir.iterdir():
        try:
            disk += path.stat().st_size
        except FileNotFoundError:
            continue
    return Sample(time.monotonic(), soak.served, memory_mb(soak.server), descriptors, threads, disk / 1e6)


def cpu_seconds(server: RunningServer) -> float:
    """CPU time of the server's processes and of this one, which sends."""
    ticks = 0
    for number in processes(server):
        try:
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        ticks += int(fields[11]) + int(fields[12])  # utime and stime
    return ticks / os.sysconf("SC_CLK_TCK") + time.process_time()


def half_load(server: RunningServer) -> tuple[float, float]:
    """Half of the requests a second that the server can answer, or what CORES pay for; and cores at it."""
    before, seconds, most, answered = cpu_seconds(server), 2.0, 0, 0
    for _ in range(4):  # whoever else uses the machine does not make the server's capacity less
        with Load(server.state.url, [png(level) for level in range(0, 250, 10)], 4) as load:
            time.sleep(seconds)
        assert statuses(load.answers) == {200}
        most, answered = max(most, len(load.answers)), answered + len(load.answers)
    each = (cpu_seconds(server) - before) / answered
    rate = min(most / seconds / 2, 0.7 * CORES / each)  # the rest is for rollouts and scrapes
    return rate, rate * each


def slope(points: list[tuple[float, float]]) -> float:
    """The median of the slopes of all pairs (Theil, 1950; Sen, 1968): a few outliers do not move it."""
    few = points[:: max(1, len(points) // 300)]
    found = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(few, 2) if b[0] > a[0]]
    return statistics.median(found)


def test_slope_finds_a_leak_and_no_noise() -> None:
    noise = [(float(i), 100 + (i * 7919 % 13)) for i in range(200)]
    assert abs(slope(noise)) < 0.01
    assert abs(slope([(at, value + 0.5 * at) for at, value in noise]) - 0.5) < 0.01


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(20.0, marks=pytest.mark.slow),
        pytest.param(SECONDS, marks=[pytest.mark.proof, pytest.mark.timeout(SECONDS + 900)]),
    ],
)
def test_hours_of_half_load_leave_memory_descriptors_threads_and_disk_flat(
    tmp_path: Path, seconds: float
) -> None:
    package = make_package(tmp_path / "package")
    settings = {"workers": 2, "feedback_labels": 1_000, "log_images": 0.1}
    with running(tmp_path / "run", package, "v0", "--config-json", json.dumps(settings)) as server:
        warm_up(server)
        rate, cores = half_load(server)
        soak = Soak(server, package, pause=1.0 if CORES > 1 else 10.0)
        works = [soak.roll_out, soak.scrape, soak.rotate]
        works += [lambda client: soak.traffic(rate / 2, client)] * 2
        samples: list[Sample] = []
        began, used = time.monotonic(), cpu_seconds(server)
        until = began + seconds
        print(f"{rate:.0f} requests/s, {cores:.2f} cores", flush=True)
        with ExitStack() as stack:
            for work in works:
                stack.enter_context(going(soak, work))
            while time.monotonic() < until:
                samples.append(sample(soak))
                if len(samples) % 100 == 0:
                    print(samples[-1], f"{len(soak.wrong)} wrong", flush=True)
                time.sleep(max(0.25, seconds / 2_000))
            used = (cpu_seconds(server) - used) / (time.monotonic() - began)
        errors = server.errors.read_text()
    print([round(one.memory_mb) for one in samples[:: max(1, len(samples) // 40)]])
    print(
        f"{soak.served} requests at {rate:.0f}/s, {used:.2f} cores, {soak.rollouts} rollouts, {soak.labels} labels, "
        f"{soak.scrapes} scrapes, {soak.rotated} files rotated; {samples[0]} ... {samples[-1]}"
    )
    assert not soak.wrong, soak.wrong[:5]
    assert soak.rollouts >= seconds / 30 and soak.labels and soak.scrapes and soak.rotated
    assert "Traceback" not in errors and "cannot be written" not in errors
    settled = samples[len(samples) // 3 :]  # what a first minute makes is not growth
    lasted = settled[-1].at - settled[0].at
    filling = max(0, min(CAPACITY, settled[-1].served * 2) - min(CAPACITY, settled[0].served * 2)) * RECORD_MB

    def grown(name: str) -> float:
        return slope([(one.at, float(getattr(one, name))) for one in settled]) * lasted

    assert grown("memory_mb") < 15 + filling, [one.memory_mb for one in islice(settled, 0, None, 20)]
    assert grown("descriptors") < 4, [one.descriptors for one in settled]
    assert grown("threads") < 2, [one.threads for one in settled]
    assert grown("disk_mb") < 2, [one.disk_mb for one in settled]
