"""Makes the scenes of `configs/multilabel.toml`: two or three photos of Fashion-MNIST beside each other.

A made set, and no photograph of anything: real product photos (28 x 28 pixels), scaled and laid on a dark
canvas of 48 x 48 at random, where they may overlap. Each scene is labelled with the classes of its products.
The same numbers give the same files, byte by byte, on every machine.

    python examples/product_scenes.py .linnet/scenes
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from linnet.config import load_config
from linnet.data.fetch import fetch
from linnet.data.idx import read_idx

SIDE, SCENES, SEED = 48, 6000, 0
_FASHION = Path(__file__).resolve().parent.parent / "configs" / "fashion.toml"


def scene(
    photos: npt.NDArray[np.uint8], chosen: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """A canvas [48, 48] with the chosen photos, each at 20 to 30 pixels a side; the brighter pixel shows."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    for index in chosen:
        side = int(rng.integers(20, 31))
        small = np.asarray(Image.fromarray(photos[index]).resize((side, side), Image.Resampling.BILINEAR))
        y, x = rng.integers(0, SIDE - side + 1, 2)
        part = canvas[y : y + side, x : x + side]
        np.maximum(part, small, out=part)
    return canvas


def make(out: Path, scenes: int = SCENES, seed: int = SEED) -> None:
    """Writes `manifest.csv` and the images below `out`."""
    raw = read_idx(fetch(Path("data.dvc"), "", None), load_config(_FASHION).data.classes)
    rows = [row for row in raw.rows if row.split != "test"]
    photos = np.stack([np.asarray(row.source)[:, :, 0] for row in rows])
    rng = np.random.default_rng(seed)
    (out / "images").mkdir(parents=True, exist_ok=True)
    with (out / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["path", "label"])
        for number in range(scenes):
            chosen = rng.choice(len(rows), int(rng.integers(2, 4)), replace=False)
            name = f"images/{number:05d}.png"
            Image.fromarray(scene(photos, chosen, rng)).save(out / name)
            table.writerow([name, "|".join(sorted({rows[index].label for index in chosen}))])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes scenes of several product photos each.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=SCENES)
    make(parser.parse_args().folder, parser.parse_args().scenes)
