"""The default preset for photos beside what else people do with the same network, on real pictures.

All sides get the same splits of the sets of `benchmarks.transfer_sets`, at several split seeds, and the same
weights. (a) is what people do by hand: scikit-learn's logistic regression (C = 1, standardized) on the
activations of timm's EfficientNet-Lite0, from the training and the validation split. What the frozen backbone
makes of a picture depends on no split, so it is computed once; its share stands in the seconds of both. A
difference comes with its interval: paired, over the test pictures of all seeds.

    python -m benchmarks transfer                          all sets, five seeds
    python -m benchmarks transfer --sets icons --seeds 3   this set, three seeds
    python -m benchmarks transfer --peers timm=train.py,fastai=PYTHON   also, at the first seed: timm's own
        training script (a file of its repository), and fastai, of the Python that it is installed for
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import describe
from benchmarks.transfer_peers import Peer, asked
from benchmarks.transfer_sets import SIDE, PictureSet, fetch, picture_sets
from linnet.artifacts.activations import pooled_activations
from linnet.config import TrainConfig
from linnet.data.presets import train_section
from linnet.progress import silent
from linnet.statistics.paired import paired_difference
from linnet.tasks.classification.model import MODEL
from linnet.training.dataset import SplitData, TrainingSet
from linnet.training.frozen import fit_frozen
from linnet.training.prepare import prepare_network
from linnet.training.train import class_weights
from linnet.vision.fusion import FusionNetwork
from linnet.vision.statistics import FEATURES, image_statistics

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
_LEVEL = 0.95
_CPU, _FLOAT = torch.device("cpu"), torch.float32


@dataclass
class Clock:
    """Seconds of the wall and of the processor, added up."""

    wall: float = 0.0
    processor: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.processor += time.process_time() - processor


@dataclass(frozen=True)
class Answers:
    """Classes that one side named on the test split, and the seconds that it took to learn."""

    named: np.ndarray
    clock: Clock


@dataclass(frozen=True)
class Seen:
    """What every split of a set is cut from: pictures, statistics, and the frozen backbone's activations."""

    pictures: PictureSet
    everything: SplitData
    clock: Clock = field(default_factory=Clock)
    """Of the activations of all pictures."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sets", default="", help="such as icons,textures; else all")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--first", type=int, default=100, help="the first of them")
    parser.add_argument("--peers", default="", help="timm=FILE and fastai=PYTHON, with a comma between")
    parser.add_argument("--packages", type=Path, help="where the packages are, or are fetched to")
    options = parser.parse_args(arguments)
    wanted = tuple(filter(None, options.sets.split(",")))
    peers = [Peer(*one.split("=", 1)) for one in filter(None, options.peers.split(","))]
    print(describe("torch", "timm", "scikit-learn"), flush=True)
    with tempfile.TemporaryDirectory(prefix="linnet-transfer-") as scratch:
        packages = options.packages or Path(scratch) / "packages"
        fetch(packages)
        for pictures in picture_sets(packages, wanted):
            seen = looked_at(pictures)
            rows = [compare(seen, seed) for seed in range(options.first, options.first + options.seeds)]
            print(json.dumps(summary(seen, rows)), flush=True)
            for peer in peers:
                said = asked(peer, pictures, split(len(pictures.labels), options.first), Path(scratch))
                print(json.dumps(said), flush=True)


def preset(pictures: PictureSet) -> TrainConfig:
    """What `linnet init` writes for these pictures."""
    counts = np.bincount(pictures.labels)
    section = train_section("fast", int(counts.sum()), SIDE, SIDE, counts.max() / counts.min())
    return TrainConfig.parse({**tomllib.loads(section)["train"], "precision": "fp32"})


def looked_at(pictures: PictureSet) -> Seen:
    """The frozen backbone's activations of all pictures, and the seconds of that."""
    everything = SplitData(
        torch.from_numpy(pictures.images),
        torch.from_numpy(image_statistics(pictures.images)),
        torch.from_numpy(pictures.labels),
        mapped=False,
    )
    network, clock = _network(_training_set(pictures, everything, everything), preset(pictures)), Clock()
    with clock.running():
        pooled = pooled_activations(network, everything.images, "", _CPU, _FLOAT, None, silent)
    return Seen(
        pictures, SplitData(everything.images, everything.features, everything.labels, False, pooled), clock
    )


def split(count: int, seed: int) -> dict[str, np.ndarray]:
    """Rows of each split, at random."""
    order, start, rows = np.random.default_rng(seed).permutation(count), 0, {}
    for name, share in SHARES.items():
        stop = count if name == "test" else start + round(share * count)
        rows[name], start = order[start:stop], stop
    return rows


def compare(seen: Seen, seed: int) -> tuple[np.ndarray, Answers, Answers]:
    """Labels of the test split of a seed, and what Linnet and (a) say."""
    rows = split(len(seen.pictures.labels), seed)
    parts = {name: seen.everything.part(torch.from_numpy(some)) for name, some in rows.items()}
    share = sum(len(rows[name]) for name in ("train", "validation")) / len(seen.pictures.labels)

    def clock() -> Clock:
        return Clock(seen.clock.wall * share, seen.clock.processor * share)

    return parts["test"].labels.numpy(), linnet(seen.pictures, parts, clock()), by_hand(parts, clock())


def linnet(pictures: PictureSet, parts: dict[str, SplitData], clock: Clock) -> Answers:
    """The preset's head, as `linnet.training.train` fits it, and its answers."""
    config, data = preset(pictures), _training_set(pictures, parts["train"], parts["validation"])
    network = _network(data, config)
    with clock.running():
        weights = (
            class_weights(data, MODEL, config.class_weight_power, _CPU) if config.class_weights else None
        )
        fit_frozen(network, data, MODEL, weights, _CPU, _FLOAT, None, silent, final=True)
    pooled = parts["test"].pooled
    assert pooled is not None
    with torch.no_grad():
        logits, _ = network.classify(pooled, parts["test"].features)
    return Answers(logits.argmax(dim=1).numpy(), clock)


def by_hand(parts: dict[str, SplitData], clock: Clock) -> Answers:
    """(a)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def rows(*names: str) -> np.ndarray:
        return np.concatenate([np.asarray(parts[name].pooled) for name in names])

    known = np.concatenate([parts[name].labels.numpy() for name in ("train", "validation")])
    with clock.running():
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(rows("train", "validation"), known)
    return Answers(model.predict(rows("test")), clock)


def summary(seen: Seen, rows: list[tuple[np.ndarray, Answers, Answers]]) -> dict[str, object]:
    """Means over the seeds, and the difference of accuracy with its interval."""
    right = [(labels == ours.named, labels == theirs.named) for labels, ours, theirs in rows]
    ours_only = sum(int((a & ~b).sum()) for a, b in right)
    theirs_only = sum(int((b & ~a).sum()) for a, b in right)
    count = sum(len(labels) for labels, _, _ in rows)
    difference = paired_difference(ours_only, theirs_only, count, _LEVEL)
    return {
        "set": seen.pictures.name, "pictures": len(seen.pictures.labels),
        "classes": len(seen.pictures.classes), "unreadable": seen.pictures.unreadable,
        "seeds": len(rows), "test pictures, all seeds": count,
        "linnet fast": _score([(labels, ours) for labels, ours, _ in rows]),
        "logistic regression": _score([(labels, theirs) for labels, _, theirs in rows]),
        "accuracy gained": [round(value, 4) for value in (difference.low, difference.value, difference.high)],
    }  # fmt: skip


def _score(answers: list[tuple[np.ndarray, Answers]]) -> dict[str, float]:
    from sklearn.metrics import f1_score

    accuracy = [float((labels == one.named).mean()) for labels, one in answers]
    f1 = [float(f1_score(labels, one.named, average="macro")) for labels, one in answers]
    return {
        "accuracy": round(float(np.mean(accuracy)), 4),
        "macro F1": round(float(np.mean(f1)), 4),
        "macro F1, each seed": [round(one, 3) for one in f1],  # type: ignore[dict-item]
        "seconds": round(float(np.mean([one.clock.wall for _, one in answers])), 1),
        "processor seconds": round(float(np.mean([one.clock.processor for _, one in answers])), 1),
    }


def _training_set(pictures: PictureSet, train: SplitData, validation: SplitData) -> TrainingSet:
    return TrainingSet(
        MODEL_TASK, pictures.classes, FEATURES, SIDE, SIDE, 3, pictures.name, train, validation
    )


def _network(data: TrainingSet, config: TrainConfig) -> FusionNetwork:
    network, _, _ = prepare_network(data, MODEL, config, _CPU, _FLOAT)
    assert isinstance(network, FusionNetwork)
    return network


MODEL_TASK = "classification"


if __name__ == "__main__":
    main()
