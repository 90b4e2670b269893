"""Are chosen labels worth more than random ones? `python -m benchmarks.labels [--seeds 0 1 2]`.

Two measurements on Fashion-MNIST, both with the product's own selection, training and suspects list:

* Active learning: from 2,000 labelled images, four rounds of 500 that `linnet.labels.select` chose,
  against four rounds of 500 at random; test accuracy after each, mean over seeds, plotted.
* Planted errors: 8 % of 12,000 labels are wrong on purpose; how many of them stand in the first 8 % of
  the suspects list of a model that was trained on those very labels.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import describe
from linnet.config import TrainConfig
from linnet.data.fetch import fetch
from linnet.data.idx import read_idx
from linnet.evaluation.calibration import softmax
from linnet.evaluation.evaluate import predict
from linnet.evaluation.metrics import Predictions
from linnet.evaluation.suspects import by_doubt
from linnet.evaluation.training_set import HeldOut
from linnet.labels.select import Pool, select
from linnet.training.train import train
from linnet.vision.networks import load_model
from linnet.vision.statistics import FEATURES, image_statistics

Ints = npt.NDArray[np.int64]
START, ROUND, ROUNDS, POOL, TUNE = 2_000, 500, 4, 12_000, 500
PLANTED, NOISE = 12_000, 0.08
CHOSEN = {"margin": 1.0}
"""What the budget goes to: labels to learn from. Audit, gold and suspects serve other ends."""
TRAIN: dict[str, Any] = {"epochs": 8, "width": 8, "flip": True, "shift": 0, "flip_average": False}
"""Small and quick: eight trainings a seed are compared with eight others, not with a record."""
PICTURE = Path("docs/images/active-learning.png")


@dataclass(frozen=True)
class Images:
    """Images uint8 [N, 28, 28, 1], labels [N] and statistics float32 [N, F]."""

    images: npt.NDArray[np.uint8]
    labels: Ints
    features: npt.NDArray[np.float32]

    def held_out(self, rows: Any = slice(None)) -> HeldOut:
        labels = self.labels[rows]
        ids = tuple(str(i) for i in range(len(labels)))
        names = tuple(str(k) for k in range(10))
        return HeldOut(names, FEATURES, self.images[rows], labels, self.features[rows], ids, {})


def read() -> tuple[Images, Images]:
    """The official training and test images."""
    rows = read_idx(fetch(Path("data.dvc")), ()).rows
    found = {}
    for split in ("train", "test"):
        part = [row for row in rows if row.split == split]
        images = np.stack([np.asarray(row.source) for row in part]).astype(np.uint8)
        found[split] = Images(images, np.array([int(row.label) for row in part]), image_statistics(images))
    return found["train"], found["test"]


def fit(data: Images, rows: Ints, tune: Ints, labels: Ints, settings: dict[str, Any]) -> Any:
    """Trains on `rows` with `labels` [N of data]; the network."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for split, chosen in (("train", rows), ("validation", tune)):
            np.save(folder / f"images-{split}.npy", data.images[chosen])
            np.save(folder / f"features-{split}.npy", data.features[chosen])
            np.save(folder / f"labels-{split}.npy", labels[chosen])
        about = {
            "classes": [str(k) for k in range(10)],
            "features": list(FEATURES),
            "height": 28,
            "width": 28,
        }
        about |= {"channels": 1, "dataset_digest": "benchmark", "labels_digest": "benchmark"}
        (folder / "training_set.json").write_text(json.dumps(about))
        train(folder, TrainConfig.parse(settings), folder / "out", folder / "work")
        return load_model(folder / "out")


def accuracy(network: Any, test: Images) -> float:
    logits = predict(network, test.held_out(), "test").logits
    return float((logits.argmax(axis=1) == test.labels).mean())


def learn(data: Images, test: Images, seed: int, shares: dict[str, float], first: Any) -> list[float]:
    """Test accuracy at the start and after each round."""
    order = np.random.default_rng(seed).permutation(len(data.labels))
    tune, pool = order[:TUNE], order[TUNE : TUNE + POOL]
    known, found, network = pool[:START], [], first(pool[:START], tune)
    found.append(accuracy(network, test))
    for number in range(ROUNDS):
        open_rows = np.setdiff1d(pool, known)
        said = predict(network, data.held_out(open_rows), "pool")
        asked = Pool([str(i) for i in open_rows], softmax(said.logits), said.embeddings)
        chosen = select(asked, ROUND, shares, seed=seed * 100 + number)
        known = np.concatenate([known, [int(choice.sample_id) for choice in chosen]])
        network = fit(data, known, tune, data.labels, {**TRAIN, "seed": seed})
        found.append(accuracy(network, test))
    return found


def active(data: Images, test: Images, seeds: Sequence[int], plans: dict[str, dict[str, float]]) -> None:
    curves: dict[str, list[list[float]]] = {name: [] for name in plans}
    for seed in seeds:
        start: dict[bytes, Any] = {}

        def first(rows: Ints, tune: Ints, seed: int = seed, start: dict[bytes, Any] = start) -> Any:
            key = rows.tobytes()  # all plans begin with the same images, so with the same network
            if key not in start:
                start[key] = fit(data, rows, tune, data.labels, {**TRAIN, "seed": seed})
            return start[key]

        for name, shares in plans.items():
            curves[name].append(learn(data, test, seed, shares, first))
            print(f"seed {seed} {name:<8} " + " ".join(f"{x:.4f}" for x in curves[name][-1]), flush=True)
    for name, rows in curves.items():
        last = [row[-1] for row in rows]
        spread = statistics.stdev(last) if len(last) > 1 else float("nan")
        figures = f"n={len(last)} mean {statistics.mean(last):.4f} sd {spread:.4f}"
        print(f"{name}: after {START + ROUND * ROUNDS:,} labels, {figures}")
    gains = [chosen[-1] - drawn[-1] for chosen, drawn in zip(curves["chosen"], curves["random"], strict=True)]
    print(f"chosen - random: mean {statistics.mean(gains):+.4f}, each {[round(g, 4) for g in gains]}")
    _plot(curves)


def planted(data: Images, seeds: Sequence[int]) -> None:
    found = []
    for seed in seeds:
        random = np.random.default_rng(1000 + seed)
        rows = random.permutation(len(data.labels))[: PLANTED + TUNE]
        rows, tune = rows[:PLANTED], rows[PLANTED:]
        wrong = random.choice(PLANTED, round(PLANTED * NOISE), replace=False)
        given = data.labels.copy()
        given[rows[wrong]] = (given[rows[wrong]] + random.integers(1, 10, len(wrong))) % 10
        network = fit(data, rows, tune, given, {**TRAIN, "seed": seed})
        said = softmax(predict(network, data.held_out(rows), "suspects").logits)
        listed = by_doubt(Predictions(given[rows], said.astype(np.float64)))[: len(wrong)]
        found.append(len(np.intersect1d(listed, wrong)) / len(wrong))
        what = f"{len(wrong)} planted errors in the first {len(listed)} suspects of {PLANTED:,}"
        print(f"seed {seed}: {found[-1]:.1%} of {what}", flush=True)
    print(f"planted errors found: n={len(found)} mean {statistics.mean(found):.1%} min {min(found):.1%}")


def _plot(curves: dict[str, list[list[float]]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    labels = [START + ROUND * i for i in range(ROUNDS + 1)]
    figure, axes = pyplot.subplots(figsize=(6, 3.6), dpi=110)
    for name, rows in curves.items():
        values = 100 * np.array(rows)
        (line,) = axes.plot(
            labels, values.mean(axis=0), marker="o", label=f"{name} (mean of {len(rows)} seeds)"
        )
        axes.fill_between(labels, values.min(axis=0), values.max(axis=0), alpha=0.15, color=line.get_color())
    axes.set(
        xlabel="labelled images", ylabel="test accuracy, %", title="Fashion-MNIST: which 500 to label next"
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE)
    print(f"plotted: {PICTURE}")


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", choices=("active", "planted"))
    parser.add_argument("--shares", type=json.loads, default=CHOSEN)
    parser.add_argument("--set", type=json.loads, default={})
    options = parser.parse_args(arguments)
    TRAIN.update(options.set)
    began = time.perf_counter()
    data, test = read()
    print(f"{describe('torch', 'numpy')}; load before {os.getloadavg()[0]:.1f}")
    print(f"{TRAIN}; shares {options.shares}")
    if options.only != "planted":
        active(data, test, options.seeds, {"random": {"random": 1.0}, "chosen": options.shares})
    if options.only != "active":
        planted(data, options.seeds)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
