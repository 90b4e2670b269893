"""The default preset for photos beside logistic regression on the same frozen backbone, on real pictures.

Both sides get the same splits of the sets of `benchmarks.transfer_sets`, at several split seeds. (a) is what
people do by hand: scikit-learn's logistic regression (C = 1, standardized) on the activations of timm's
EfficientNet-Lite0, from the training and the validation split. A difference comes with its interval: paired,
over the test pictures of all seeds.

    python -m benchmarks transfer                     all sets, three seeds
    python -m benchmarks transfer icons,textures 5    these sets, five seeds
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import describe
from benchmarks.transfer_sets import SIDE, PictureSet, fetch, picture_sets
from linnet.artifacts.activations import Kept, pooled_activations
from linnet.cache.store import Cache
from linnet.config import TrainConfig
from linnet.data.presets import train_section
from linnet.progress import silent
from linnet.statistics.paired import paired_difference
from linnet.tasks.model import model_of
from linnet.training.dataset import read_training_set
from linnet.training.prepare import prepare_network
from linnet.training.train import train
from linnet.vision.networks import load_model
from linnet.vision.statistics import FEATURES, image_statistics

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
_LEVEL = 0.95


@dataclass(frozen=True)
class Answers:
    """Classes that one side named on the test split, and the seconds that it took to learn."""

    named: np.ndarray
    seconds: float


def main(arguments: list[str] | None = None) -> None:
    wanted = tuple(arguments[0].split(",")) if arguments else ()
    seeds = int(arguments[1]) if arguments and len(arguments) > 1 else 3
    print(describe("torch", "timm", "scikit-learn"))
    with tempfile.TemporaryDirectory(prefix="linnet-transfer-") as scratch:
        fetch(Path(scratch) / "packages")
        for pictures in picture_sets(Path(scratch) / "packages", wanted):
            rows = [compare(pictures, Path(scratch), seed) for seed in range(seeds)]
            print(json.dumps(summary(pictures, rows)), flush=True)


def compare(pictures: PictureSet, scratch: Path, seed: int) -> tuple[np.ndarray, Answers, Answers]:
    """Labels of the test split of a seed, and what Linnet and (a) say."""
    folder = scratch / f"{pictures.name}-{seed}"
    write_training_set(folder, pictures, seed)
    config, cache = preset(pictures), Cache(scratch / "cache")
    labels = np.load(folder / "labels-test.npy")
    return labels, linnet(folder, config, cache), logistic_regression(folder, config)


def preset(pictures: PictureSet) -> TrainConfig:
    """What `linnet init` writes for these pictures."""
    counts = np.bincount(pictures.labels)
    section = train_section("fast", int(counts.sum()), SIDE, SIDE, counts.max() / counts.min())
    return TrainConfig.parse({**tomllib.loads(section)["train"], "precision": "fp32"})


def write_training_set(folder: Path, pictures: PictureSet, seed: int) -> None:
    """The arrays that `build_features` writes, of pictures split at random."""
    folder.mkdir(parents=True)
    order, start = np.random.default_rng(seed).permutation(len(pictures.labels)), 0
    counts = {}
    for split, share in SHARES.items():
        stop = len(order) if split == "test" else start + round(share * len(order))
        rows, start = order[start:stop], stop
        counts[split] = len(rows)
        np.save(folder / f"images-{split}.npy", pictures.images[rows])
        np.save(folder / f"labels-{split}.npy", pictures.labels[rows])
        np.save(folder / f"features-{split}.npy", image_statistics(pictures.images[rows]))
    about = {
        "classes": list(pictures.classes), "features": list(FEATURES), "feature_service": "benchmark",
        "height": SIDE, "width": SIDE, "channels": 3,
        "dataset_digest": folder.name, "labels_digest": "", "counts": counts,
    }  # fmt: skip
    (folder / "training_set.json").write_text(json.dumps(about), "utf-8")


def linnet(folder: Path, config: TrainConfig, cache: Cache) -> Answers:
    """The preset, from images to a model, and its answers."""
    began = time.perf_counter()
    train(folder, config, folder / "out", folder / "work", None, cache)
    seconds = time.perf_counter() - began
    network = load_model(folder / "out")
    kept = Kept(cache, folder)
    pooled = pooled_activations(
        network, np.load(folder / "images-test.npy"), "test", torch.device("cpu"), torch.float32, kept, silent
    )
    with torch.no_grad():
        logits, _ = network.classify(pooled, torch.from_numpy(np.load(folder / "features-test.npy")))
    return Answers(logits.argmax(dim=1).numpy(), seconds)


def logistic_regression(folder: Path, config: TrainConfig) -> Answers:
    """(a), with its own pass of the backbone over the pictures, one way round."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, cpu = read_training_set(folder), torch.device("cpu")
    plain = config.model_copy(update={"flip_average": False})
    network, _, _ = prepare_network(data, model_of(data.task), plain, cpu, torch.float32)

    def seen(images: torch.Tensor) -> np.ndarray:
        return pooled_activations(network, images, "", cpu, torch.float32, None, silent).numpy()

    began = time.perf_counter()
    known = np.concatenate([seen(part.images) for part in (data.train, data.validation)])
    labels = np.concatenate([part.labels.numpy() for part in (data.train, data.validation)])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(known, labels)
    seconds = time.perf_counter() - began
    return Answers(model.predict(seen(torch.from_numpy(np.load(folder / "images-test.npy")))), seconds)


def summary(pictures: PictureSet, rows: list[tuple[np.ndarray, Answers, Answers]]) -> dict[str, object]:
    """Means over the seeds, and the difference of accuracy with its interval."""
    right = [(labels == ours.named, labels == theirs.named) for labels, ours, theirs in rows]
    ours_only = sum(int((a & ~b).sum()) for a, b in right)
    theirs_only = sum(int((b & ~a).sum()) for a, b in right)
    asked = sum(len(labels) for labels, _, _ in rows)
    difference = paired_difference(ours_only, theirs_only, asked, _LEVEL)
    return {
        "set": pictures.name, "pictures": len(pictures.labels), "classes": len(pictures.classes),
        "unreadable": pictures.unreadable, "seeds": len(rows), "test pictures, all seeds": asked,
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
        "macro F1, lowest seed": round(min(f1), 4),
        "seconds": round(float(np.mean([one.seconds for _, one in answers])), 1),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
