"""Time and peak memory of ingest, validation and the decoding for features, by the number of images.

`python -m benchmarks scale [10000 100000 ...]`: images of Fashion-MNIST, each shifted, mirrored, darkened and
marked with its number until there are enough, as PNG files in class folders. Every step runs in a process of
its own, whose peak the kernel tells. Near duplicates are not looked for. Time should grow in proportion to
the images, and memory by no more than the small columns of each (an id, a label, a path).
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.machine import describe

_CLASSES = 10
_STEPS = ("ingest", "validate", "decode")


def write(folder: Path, count: int) -> None:
    """`count` different pictures of 28 x 28 in ten class folders."""
    from linnet.data.fetch import fetch
    from linnet.data.idx import read_idx
    from linnet.vision.decode import encode_png

    raw = read_idx(fetch(Path("data.dvc")), ())
    rng = np.random.default_rng(0)
    for label in raw.classes:
        (folder / label.replace("/", "-")).mkdir(parents=True)
    for number in range(count):
        row = raw.rows[number % len(raw.rows)]
        assert isinstance(row.source, np.ndarray)
        moved = np.roll(row.source, rng.integers(-3, 4, 2), (0, 1))
        picture = (moved[:, :: rng.choice((1, -1))] * rng.uniform(0.6, 1)).astype(np.uint8)
        picture[0, :24, 0] = [255 * (number >> bit & 1) for bit in range(24)]  # no two are equal
        name = f"{number:08}.png"
        (folder / row.label.replace("/", "-") / name).write_bytes(encode_png(np.ascontiguousarray(picture)))


def step(name: str, folder: Path) -> None:
    """One step, in this process; prints its seconds and its peak in MB."""
    from linnet.config import DataConfig, ValidationConfig
    from linnet.data.ingest import ingest
    from linnet.data.validate import validate
    from linnet.features.pixels import decode_samples
    from linnet.records import DatasetManifest

    data = DataConfig(
        location=str(folder / "images"), height=28, width=28, color="gray", near_duplicates="ignore"
    )
    samples = folder / "samples"

    def decode() -> None:
        (folder / "arrays").mkdir()
        decode_samples(samples, DatasetManifest.load(samples / "manifest.json"), data, folder / "arrays")

    steps: dict[str, Callable[[], object]] = {
        "ingest": lambda: ingest(data, "scale", samples),
        "validate": lambda: validate(samples, ValidationConfig(), data, folder / "report"),
        "decode": decode,
    }
    began = time.perf_counter()
    steps[name]()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.perf_counter() - began:.1f} {peak:.0f}")


def main(arguments: list[str] | None = None) -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--step", nargs=2, metavar=("STEP", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.step:
        step(options.step[0], Path(options.step[1]))
        return
    print("| images | " + " | ".join(f"{name}: s, MB" for name in _STEPS) + " |")
    print("|--:|" + "--:|" * len(_STEPS))
    for count in options.counts:
        with tempfile.TemporaryDirectory(prefix="linnet-scale-") as scratch:
            write(Path(scratch) / "images", count)
            cells = []
            for name in _STEPS:
                command = [sys.executable, "-m", "benchmarks", "scale", "--step", name, scratch]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(done.stderr)
                seconds, peak = done.stdout.split()[-2:]
                cells.append(f"{seconds}, {peak}")
            print(f"| {count:,} | " + " | ".join(cells) + " |", flush=True)
    print(describe())
