"""Test accuracy over seeds: `python -m benchmarks.accuracy TRAINING_SET [--seeds N] [--set KEY=VALUE]`.

Prints n, mean, standard deviation and minimum with seconds, device and versions. Seconds of a busy
machine say little: the load average before the run is printed beside them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from linnet.config import TrainConfig
from linnet.storage.paths import state_dir
from linnet.training.__main__ import read_config
from linnet.training.train import train
from linnet.vision.networks import load_model

LATEST = state_dir() / "latest" / "build-features" / "training_set"


def test_accuracy(training_set: Path, model: Path) -> float:
    names = ("images", "features", "labels")
    images, features, labels = (torch.from_numpy(np.load(training_set / f"{n}-test.npy")) for n in names)
    network, right = load_model(model), 0
    with torch.no_grad():
        for start in range(0, len(labels), 1000):
            part = slice(start, start + 1000)
            right += int((network(images[part], features[part])[0].argmax(1) == labels[part]).sum())
    return right / len(labels)


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("training_set", type=Path, nargs="?", default=LATEST)
    parser.add_argument("--toml", type=Path, default=Path("configs/fashion.toml"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    if not options.training_set.exists():
        sys.exit(f"{options.training_set}: no training set; `make run` makes one")
    given = tomllib.loads(options.toml.read_text("utf-8")).get("train", {})
    wanted = {**given, **read_config(None, options.set).model_dump(mode="json", exclude_unset=True)}
    found, load = [], os.getloadavg()[0]
    for seed in range(options.seeds):
        config = TrainConfig.parse({**wanted, "seed": seed})
        wall, cpu = time.perf_counter(), time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            report = train(options.training_set, config, Path(folder) / "out", Path(folder) / "work")
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            found.append(test_accuracy(options.training_set, Path(folder) / "out"))
        print(f"seed {seed}: test accuracy {found[-1]:.4f}, {wall:.1f} s, {cpu:.1f} CPU s", flush=True)
    spread = statistics.stdev(found) if len(found) > 1 else float("nan")
    print(f"n={len(found)} mean {statistics.mean(found):.4f} sd {spread:.4f} min {min(found):.4f}")
    print(f"load before {load:.1f}; {report.device}; {report.precision}; {report.versions}; {wanted}")


if __name__ == "__main__":
    main(sys.argv[1:])
