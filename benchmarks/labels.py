"""Are chosen labels worth more than random ones? `python -m benchmarks.labels [--seeds 0 1 2]`.

Two measurements on Fashion-MNIST, both with the product's own selection, training and suspects list,
and a narrow network of few epochs: two plans times five trainings a seed are compared with one
another, not with a record. What the budget goes to and how suspects are ranked was settled on seeds
100 and 101, which are not among those reported. One process per core, each with one thread.

* Active learning: from 2,000 labelled images, four rounds of 500 that `linnet.labels.select` chose,
  against four rounds of 500 at random; test accuracy after each, mean over seeds, plotted.
* Planted errors: 8 % of 12,000 labels are wrong on purpose, with any other class or (harder) with the
  one that is most like it; how many of them stand in the first 8 % of the suspects list of a model
  that was trained on those very labels.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import describe
from linnet.artifacts.training_set import HeldOut
from linnet.config import DEFAULT_TASK, TrainConfig
from linnet.data.fetch import fetch
from linnet.data.idx import read_idx
from linnet.evaluation.predict import predict
from linnet.labels.select import CandidatePool, select
from linnet.statistics.metrics import Predictions
from linnet.tasks.classification.doubt import rank_by_label_error
from linnet.tasks.classification.score import softmax
from linnet.training.train import train
from linnet.vision.networks import load_model
from linnet.vision.statistics import FEATURES, image_statistics

Ints = npt.NDArray[np.int64]
START, ROUND, ROUNDS, POOL, TUNE = 2_000, 500, 4, 12_000, 500
PLANTED, ERRORS = 12_000, 960
KINDS = ("any class", "the class most like it")
ALIKE = np.array([6, 3, 4, 6, 2, 7, 0, 9, 6, 7])
"""By class: that which people take it for. Shirts and T-shirts, coats and pullovers, shoes."""
CHOSEN = {"margin": 1.0}
"""What the budget goes to: labels to learn from. Audit, gold and suspects serve other ends."""
TRAIN: dict[str, Any] = {"epochs": 8, "width": 8, "flip": True, "shift": 0, "flip_average": False}
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
        return HeldOut(DEFAULT_TASK, names, FEATURES, self.images[rows], labels, self.features[rows], ids, {})


@functools.cache
def _sets() -> tuple[Images, Images]:
    """The official training and test images, read once a process."""
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


def learn(seed: int, shares: dict[str, float], settings: dict[str, Any]) -> list[float]:
    """Test accuracy at the start and after each round."""
    data, test = _sets()
    order = np.random.default_rng(seed).permutation(len(data.labels))
    tune, pool = order[:TUNE], order[TUNE : TUNE + POOL]
    known = pool[:START]
    network = fit(data, known, tune, data.labels, {**settings, "seed": seed})
    found = [accuracy(network, test)]
    for number in range(ROUNDS):
        open_rows = np.setdiff1d(pool, known)
        said = predict(network, data.held_out(open_rows), "pool")
        asked = CandidatePool([str(i) for i in open_rows], softmax(said.logits), said.embeddings)
        chosen = select(asked, ROUND, shares, seed=seed * 100 + number)
        known = np.concatenate([known, [int(choice.sample_id) for choice in chosen]])
        network = fit(data, known, tune, data.labels, {**settings, "seed": seed})
        found.append(accuracy(network, test))
    return found


def plant(seed: int, kind: str, settings: dict[str, Any]) -> float:
    """Share of the planted errors that stand in as many first suspects as there are errors."""
    data, _ = _sets()
    random = np.random.default_rng(1000 + seed)
    rows = random.permutation(len(data.labels))[: PLANTED + TUNE]
    rows, tune = rows[:PLANTED], rows[PLANTED:]
    wrong = random.choice(PLANTED, ERRORS, replace=False)
    given, true = data.labels.copy(), data.labels[rows[wrong]]
    any_other = (true + random.integers(1, 10, len(wrong))) % 10
    given[rows[wrong]] = any_other if kind == "any class" else ALIKE[true]
    network = fit(data, rows, tune, given, {**settings, "seed": seed})
    said = softmax(predict(network, data.held_out(rows), "suspects").logits)
    listed = rank_by_label_error(Predictions(given[rows], said.astype(np.float64)))[:ERRORS]
    return len(np.intersect1d(listed, wrong)) / len(wrong)


def active(workers: Executor, seeds: Sequence[int], shares: dict[str, float]) -> None:
    plans = {"random": {"random": 1.0}, "chosen": shares}
    jobs = {(n, s): workers.submit(learn, s, plan, TRAIN) for s in seeds for n, plan in plans.items()}
    curves: dict[str, list[list[float]]] = {name: [] for name in plans}
    for (name, seed), job in jobs.items():
        curves[name].append(job.result())
        print(f"seed {seed} {name:<8} " + " ".join(f"{x:.4f}" for x in curves[name][-1]), flush=True)
    for name, rows in curves.items():
        _summary(f"{name}: accuracy after {START + ROUND * ROUNDS:,} labels", [row[-1] for row in rows])
    pairs = list(zip(curves["chosen"], curves["random"], strict=True))
    _summary("chosen - random", [chosen[-1] - drawn[-1] for chosen, drawn in pairs])
    _plot(curves)


def planted(workers: Executor, seeds: Sequence[int]) -> None:
    for kind in KINDS:
        jobs = [workers.submit(plant, seed, kind, TRAIN) for seed in seeds]
        what = f"{ERRORS} of {PLANTED:,} labels wrong ({kind}): found in the first {ERRORS} suspects"
        _summary(what, [job.result() for job in jobs])


def _summary(what: str, values: Sequence[float]) -> None:
    spread = statistics.stdev(values) if len(values) > 1 else float("nan")
    each = " ".join(f"{value:.4f}" for value in values)
    print(f"{what}: n={len(values)} mean {statistics.mean(values):.4f} sd {spread:.4f} ({each})", flush=True)


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
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    fetch(Path("data.dvc"))
    print(f"{describe('torch', 'numpy')}; load before {os.getloadavg()[0]:.1f}")
    print(f"{TRAIN}; shares {options.shares}", flush=True)
    os.environ["OMP_NUM_THREADS"] = "1"  # so small a network loses more to a second thread than it wins
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as workers:
        if options.only != "planted":
            active(workers, options.seeds, options.shares)
        if options.only != "active":
            planted(workers, options.seeds)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
