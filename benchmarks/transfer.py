"""The default preset for photos beside logistic regression on the same frozen backbone, on real pictures.

Pictures come from Debian packages, fetched by `apt-get download` and unpacked beside each other: icons by
category (oxygen-icon-theme, mate-icon-theme), and pictures cut into tiles, one class a picture
(gnome-backgrounds). Both sides get the same splits and the same activations, whose time is counted for both;
the logistic regression (scikit-learn, C = 1, standardised) learns from the validation split, too.

    python -m benchmarks transfer           at most 60 pictures a class
    python -m benchmarks transfer 300       more
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import describe
from linnet.cache.store import Cache
from linnet.config import TrainConfig
from linnet.data.presets import PHOTO_SIDE, train_section
from linnet.training.dataset import read_training_set
from linnet.training.frozen import Kept, pooled_activations
from linnet.training.prepare import prepare_network
from linnet.training.train import train
from linnet.vision.decode import decode, resize
from linnet.vision.networks import load_model
from linnet.vision.statistics import FEATURES, image_statistics

PACKAGES = ("oxygen-icon-theme", "mate-icon-theme", "gnome-backgrounds")
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
_ICONS = {"oxygen": "usr/share/icons/oxygen/base/128x128", "mate": "usr/share/icons/mate/48x48"}
_TILE = 320
Pictures = dict[str, list[np.ndarray]]


def main(arguments: list[str] | None = None) -> None:
    most = int((arguments or ["60"])[0])
    print(describe("torch", "timm", "scikit-learn"))
    with tempfile.TemporaryDirectory(prefix="linnet-transfer-") as scratch:
        root = Path(scratch)
        for package in PACKAGES:
            subprocess.run(["apt-get", "download", "-q", package], cwd=root, check=True, capture_output=True)
        for archive in root.glob("*.deb"):
            subprocess.run(["dpkg", "-x", archive, root / "files"], check=True)
        for name, pictures in _sets(root / "files", most):
            folder = root / name
            write_training_set(folder, pictures)
            print(json.dumps({"set": name, **compare(folder)}), flush=True)


def _sets(files: Path, most: int) -> Iterator[tuple[str, Pictures]]:
    for theme, place in _ICONS.items():
        folders = sorted(folder for folder in (files / place).iterdir() if folder.is_dir())
        own = {folder.name: _icons(folder, most) for folder in folders}
        yield f"{theme} icons", {name: icons for name, icons in own.items() if len(icons) >= 20}
    photographs = sorted([*files.rglob("*.jpg"), *files.rglob("*.webp")])
    tiles = {path.stem: _tiles(path, most) for path in photographs if "backgrounds" in str(path)}
    yield "picture tiles", {name: parts for name, parts in tiles.items() if len(parts) >= 20}


def _icons(folder: Path, most: int) -> list[np.ndarray]:
    """Icons that are no links to others, evenly spread over the names."""
    files = sorted(path for path in folder.glob("*.png") if not path.is_symlink())
    return [decode(path.read_bytes()).pixels for path in files[:: max(1, len(files) // most)][:most]]


def _tiles(path: Path, most: int) -> list[np.ndarray]:
    """Tiles that do not overlap."""
    pixels = decode(path.read_bytes(), max_pixels=1 << 27).pixels
    rows, columns = (side // _TILE for side in pixels.shape[:2])
    tiles = [
        pixels[y * _TILE : (y + 1) * _TILE, x * _TILE : (x + 1) * _TILE]
        for y in range(rows)
        for x in range(columns)
    ]
    return tiles[:: max(1, len(tiles) // most)][:most]


def write_training_set(folder: Path, pictures: Pictures) -> None:
    """The arrays that `build_features` writes, of pictures split at random (seed 0)."""
    folder.mkdir(parents=True)
    flat = [(label, picture) for label, name in enumerate(pictures) for picture in pictures[name]]
    order, start = np.random.default_rng(0).permutation(len(flat)), 0
    for split, share in SHARES.items():
        chosen = [flat[row] for row in order[start : start + round(share * len(flat))]]
        start += len(chosen)
        images = np.stack([resize(picture, PHOTO_SIDE, PHOTO_SIDE, "rgb", "crop") for _, picture in chosen])
        np.save(folder / f"images-{split}.npy", images)
        np.save(folder / f"labels-{split}.npy", np.array([label for label, _ in chosen], np.int64))
        np.save(folder / f"features-{split}.npy", image_statistics(images))
    about = {
        "classes": list(pictures), "features": list(FEATURES), "feature_service": "benchmark",
        "height": PHOTO_SIDE, "width": PHOTO_SIDE, "channels": 3,
        "dataset_digest": folder.name, "labels_digest": "",
        "counts": {split: round(share * len(flat)) for split, share in SHARES.items()},
    }  # fmt: skip
    (folder / "training_set.json").write_text(json.dumps(about), "utf-8")


def compare(folder: Path) -> dict[str, object]:
    """Seconds, accuracy and macro F1 of both on the test split."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    config, data = _preset(folder), read_training_set(folder)
    cache, device = Cache(folder / "cache"), torch.device("cpu")
    network, origin, _ = prepare_network(data, config, device, torch.float32)
    assert origin is not None
    kept = Kept(cache, folder, origin.sha256)
    began, splits = time.perf_counter(), {}
    for split, images in (("train", data.train.images), ("validation", data.validation.images)):
        splits[split] = pooled_activations(
            network, images, split, device, torch.float32, kept, _silent
        ).numpy()
    looking = time.perf_counter() - began
    test = torch.from_numpy(np.load(folder / "images-test.npy"))
    seen = pooled_activations(network, test, "test", device, torch.float32, kept, _silent)
    labels = np.load(folder / "labels-test.npy")

    began = time.perf_counter()
    known = np.concatenate([data.train.labels.numpy(), data.validation.labels.numpy()])
    peer = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    peer.fit(np.concatenate(list(splits.values())), known)
    peer_seconds = looking + time.perf_counter() - began

    began = time.perf_counter()
    train(
        folder, config.model_copy(update={"precision": "fp32"}), folder / "out", folder / "work", None, cache
    )
    own_seconds = looking + time.perf_counter() - began
    features = torch.from_numpy(np.load(folder / "features-test.npy"))
    with torch.no_grad():
        own = load_model(folder / "out").classify(seen, features)[0].argmax(dim=1).numpy()
    return {
        "pictures": sum(len(part.labels) for part in (data.train, data.validation)) + len(labels),
        "classes": len(data.classes),
        "test": len(labels),
        "linnet fast": _score(labels, own, own_seconds),
        "logistic regression": _score(labels, peer.predict(seen.numpy()), peer_seconds),
    }


def _preset(folder: Path) -> TrainConfig:
    import tomllib

    counts = np.bincount(np.load(folder / "labels-train.npy"))
    section = train_section("fast", int(counts.sum()), PHOTO_SIDE, PHOTO_SIDE, counts.max() / counts.min())
    return TrainConfig.parse(tomllib.loads(section)["train"])


def _score(labels: np.ndarray, named: np.ndarray, seconds: float) -> dict[str, float]:
    from sklearn.metrics import f1_score

    return {
        "accuracy": round(float((labels == named).mean()), 4),
        "macro F1": round(float(f1_score(labels, named, average="macro")), 4),
        "seconds": round(seconds, 1),
    }


def _silent(what: str, done: int, total: int) -> None:
    """Says nothing."""


if __name__ == "__main__":
    main(sys.argv[1:])
