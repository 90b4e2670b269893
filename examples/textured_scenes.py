"""Makes scenes with exact boxes and masks: photos of products, laid on photographs of textures.

A made set, and no photograph of anything. What it is made of is real: product photos of Fashion-MNIST
(28 x 28 pixels, MIT) at any scale, rotation and overlap, on brick, grass and gravel (scikit-image, CC0).
It is written as a COCO export, whose masks and boxes are of the pixels that show: what lies behind another
product is not told. Each split has product photos of its own, and the test split parts of the textures,
too. The same arguments give the same pixels and annotations on every machine: all of it is computed in
whole numbers.

    python examples/textured_scenes.py .linnet/textured --scenes 3000 --side 96 --kinds
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import cos, radians, sin
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from linnet.config import load_config
from linnet.data.fetch import fetch
from linnet.data.idx import read_idx
from linnet.vision.rle import box_of, encode

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
KINDS = {
    "top": ("T-shirt/top", "Pullover", "Coat", "Shirt"),
    "trouser": ("Trouser",),
    "dress": ("Dress",),
    "shoe": ("Sandal", "Sneaker", "Ankle boot"),
    "bag": ("Bag",),
}
"""Fewer classes, which even so small a photo can tell apart."""
SHARES = {"validation": Fraction(1, 10), "production": Fraction(1, 10), "test": Fraction(1, 5)}
_ROOT = Path(__file__).resolve().parent.parent
_BITS = 16
"""Places of the transforms are whole numbers of 1/65536 pixel."""
_LEAST = 3, 10
"""Of an object's pixels, this share at least must show, or it is laid elsewhere."""
_TRIES = 20
_TEST_TEXTURE = 160
"""Columns of each texture that only the test split shows."""


@dataclass(frozen=True)
class Products:
    """Photos [N, 28, 28], and what each shows."""

    photos: Pixels
    labels: Sequence[str]


@dataclass(frozen=True)
class Scene:
    """A picture [side, side], and the objects that show in it, from the back to the front."""

    pixels: Pixels
    objects: tuple[tuple[int, Mask], ...]
    """Of each its number among the products, and the pixels where it shows."""


def sampled(source: Pixels, transform: Sequence[int], side: int) -> Pixels:
    """A picture [side, side] of a source [H, W]: bilinear, and 0 outside of it.

    `transform`: a, b, c, d, e, f in 1/65536; the pixel x, y shows the place a x + b y + c, d x + e y + f.
    """
    y, x = np.mgrid[:side, :side].astype(np.int64)
    a, b, c, d, e, f = transform
    u, v = a * x + b * y + c, d * x + e * y + f
    left, top = u >> _BITS, v >> _BITS
    right_share, low_share = (u >> (_BITS - 8)) & 0xFF, (v >> (_BITS - 8)) & 0xFF
    height, width = source.shape
    padded = np.pad(source, 1).astype(np.int64)

    def at(row: npt.NDArray[np.int64], column: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return padded[np.clip(row + 1, 0, height + 1), np.clip(column + 1, 0, width + 1)]

    upper = at(top, left) * (256 - right_share) + at(top, left + 1) * right_share
    lower = at(top + 1, left) * (256 - right_share) + at(top + 1, left + 1) * right_share
    return ((upper * (256 - low_share) + lower * low_share + (1 << 15)) >> 16).astype(np.uint8)


def outline(photo: Pixels) -> Pixels:
    """255 where a photo shows its product, holes filled: dark parts of a product are parts of it."""
    from scipy.ndimage import binary_fill_holes

    filled: Mask = binary_fill_holes(photo > 0)
    return filled.astype(np.uint8) * 255


def scene(
    products: Products,
    chosen: Iterator[int],
    textures: Sequence[Pixels],
    side: int,
    most: int,
    rng: np.random.Generator,
) -> Scene:
    """Lays one to `most` products on a texture; where one hides too much of another, it is laid elsewhere."""
    canvas = _ground(textures[int(rng.integers(len(textures)))], side, rng)
    laid: list[tuple[int, Mask, int]] = []
    for number in islice(chosen, int(rng.integers(1, most + 1))):
        photo = products.photos[number]
        whole = outline(photo)
        for _ in range(_TRIES):
            transform, size = _place(side, rng)
            cover = sampled(whole, transform, side)
            own = cover >= 128
            expected = int((whole > 0).sum()) * size * size // photo.size
            now = [(known & ~own, full) for _, known, full in laid] + [(own, expected)]
            if all(int(shown.sum()) * _LEAST[1] >= max(full, 1) * _LEAST[0] for shown, full in now):
                share = cover.astype(np.int64)
                over = sampled(photo, transform, side) * share + canvas * (255 - share)
                canvas = ((over + 127) // 255).astype(np.uint8)
                laid = [(index, known & ~own, full) for index, known, full in laid]
                laid.append((number, own, int(own.sum())))
                break
    return Scene(canvas, tuple((number, known) for number, known, _ in laid))


def _place(side: int, rng: np.random.Generator) -> tuple[list[int], int]:
    """A transform of a product of 28 pixels, and its size in pixels: a fifth to three fifths of the side."""
    size = int(rng.integers(side // 5, 3 * side // 5 + 1))
    x, y = rng.integers(size // 4, side - size // 4, 2).tolist()
    turn, mirrored = radians(int(rng.integers(360))), bool(rng.integers(2))
    # Rounded, so that the last digit of a sine, which differs from machine to machine, is not seen.
    across, along = round(cos(turn) * 28 / size * (1 << _BITS)), round(sin(turn) * 28 / size * (1 << _BITS))
    middle = 27 << (_BITS - 1)
    a, b, d, e = across, along, -along, across
    if mirrored:
        a, b = -a, -b
    return [a, b, middle - a * x - b * y, d, e, middle - d * x - e * y], size


def _ground(texture: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """A part of a texture at another scale, upright or turned by quarters, darker or as bright as it is."""
    height, width = texture.shape
    largest = min(height, width, 3 * side // 2)
    part = int(rng.integers(min(largest, 3 * side // 4), largest + 1))
    y, x = int(rng.integers(height - part + 1)), int(rng.integers(width - part + 1))
    step = (part << _BITS) // side
    begin = (step - (1 << _BITS)) // 2
    shown = sampled(texture[y : y + part, x : x + part], [step, 0, begin, 0, step, begin], side)
    # The outermost pixels would fade into the dark that is outside of the part.
    shown = np.pad(shown[1:-1, 1:-1], 1, mode="edge")
    turned = np.rot90(shown, int(rng.integers(4)))
    return (turned.astype(np.int64) * int(rng.integers(96, 257)) >> 8).astype(np.uint8)


def divided(numbers: Sequence[int], shares: Mapping[str, Fraction], seed: int) -> dict[str, list[int]]:
    """Photos for training and the splits carved out of it: each photo in one of them."""
    order = np.random.default_rng([seed, 1]).permutation(np.asarray(numbers)).tolist()
    found, start = {}, 0
    for split, share in shares.items():
        end = start + int(len(order) * share)
        found[split], start = order[start:end], end
    return {"train": order[start:], **found}


def scenes(
    products: Products,
    numbers: Sequence[int],
    textures: Sequence[Pixels],
    count: int,
    side: int,
    most: int,
    seed: Sequence[int],
) -> Iterator[Scene]:
    """Scenes of these products, each shown once before any is shown again."""
    rng = np.random.default_rng(list(seed))

    def endless() -> Iterator[int]:
        while True:
            yield from rng.permutation(np.asarray(numbers)).tolist()

    chosen = endless()
    for _ in range(count):
        yield scene(products, chosen, textures, side, most, rng)


def annotations(number: int, made: Scene, products: Products, ids: Mapping[str, int]) -> list[dict[str, Any]]:
    """COCO's `annotations` of a scene, without their ids."""
    height, width = made.pixels.shape
    return [
        {
            "image_id": number,
            "category_id": ids[products.labels[index]],
            "iscrowd": 0,
            "area": int(mask.sum()),
            "bbox": list(box_of(mask)),
            "segmentation": {"size": [height, width], "counts": encode(mask)},
            "photo": index,
        }
        for index, mask in made.objects
    ]


def write_split(out: Path, split: str, made: Iterator[Scene], products: Products, info: Any) -> int:
    """Writes the images of a split and its COCO file; how many objects they show."""
    names = sorted(set(products.labels))
    ids = {name: number for number, name in enumerate(names, 1)}
    images: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    (out / "images" / split).mkdir(parents=True, exist_ok=True)
    (out / "annotations").mkdir(exist_ok=True)
    for number, one in enumerate(made, 1):
        name = f"images/{split}/{number:05d}.png"
        Image.fromarray(one.pixels).save(out / name)
        height, width = one.pixels.shape
        images.append({"id": number, "file_name": name, "height": height, "width": width, "license": 1})
        for annotation in annotations(number, one, products, ids):
            told.append({"id": len(told) + 1, **annotation})
    content = {
        "info": info,
        "licenses": [{"id": 1, "name": "MIT (Fashion-MNIST) and CC0 (textures)"}],
        "images": images,
        "annotations": told,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }
    (out / "annotations" / f"instances_{split}.json").write_text(json.dumps(content), "utf-8")
    return len(told)


def make(
    out: Path,
    scenes_in_all: int,
    side: int,
    most: int,
    kinds: bool,
    seed: int,
    shares: Mapping[str, Fraction],
) -> dict[str, tuple[int, int]]:
    """Writes a COCO export below `out`; how many scenes and objects each split has."""
    classes = load_config(_ROOT / "configs" / "fashion.toml").data.classes
    rows = read_idx(fetch(_ROOT / "data.dvc"), classes).rows
    kind_of = {name: kind for kind, names in KINDS.items() for name in names}
    labels = [kind_of[row.label] if kinds else row.label for row in rows]
    products = Products(np.stack([np.asarray(row.source)[:, :, 0] for row in rows]), labels)
    folder = fetch(_ROOT / "textures.dvc")
    textures = [np.asarray(Image.open(path).convert("L")) for path in sorted(folder.glob("*.png"))]
    carved = {split: share for split, share in shares.items() if split != "test" and share}
    photos = divided([i for i, row in enumerate(rows) if row.split != "test"], carved, seed)
    photos["test"] = [i for i, row in enumerate(rows) if row.split == "test"]
    counts = {split: int(scenes_in_all * share) for split, share in shares.items() if share}
    counts = {"train": scenes_in_all - sum(counts.values()), **counts}
    info = {
        "description": "made scenes: photos of Fashion-MNIST on textures of scikit-image",
        "scenes": scenes_in_all,
        "side": side,
        "most_objects": most,
        "seed": seed,
    }
    found = {}
    for place, (split, count) in enumerate(counts.items()):
        grounds = [
            texture[:, -_TEST_TEXTURE:] if split == "test" else texture[:, :-_TEST_TEXTURE]
            for texture in textures
        ]
        made = scenes(products, photos[split], grounds, count, side, most, (seed, 2, place))
        found[split] = (count, write_split(out, split, made, products, {**info, "split": split}))
    return found


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Makes scenes of products on textures, as a COCO export.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=3000, help="in all splits together")
    parser.add_argument("--side", type=int, default=96, help="of a scene, in pixels: 32 or more")
    parser.add_argument("--most", type=int, default=4, help="objects in a scene")
    parser.add_argument("--kinds", action="store_true", help="five kinds of product, not ten categories")
    parser.add_argument("--seed", type=int, default=0)
    for split, share in SHARES.items():
        parser.add_argument(f"--{split}", type=Fraction, default=share, help="share of the scenes")
    given = parser.parse_args(words)
    shares = {split: getattr(given, split) for split in SHARES}
    if given.scenes < 1 or given.side < 32 or given.most < 1 or given.seed < 0:
        parser.error("--scenes and --most must be 1 or more, --side 32 or more, --seed 0 or more")
    if min(shares.values()) < 0 or sum(shares.values()) >= 1:
        parser.error("the shares of validation, production and test must leave some scenes to train on")
    if (given.folder / "annotations").exists():
        parser.error(f"{given.folder} holds scenes already: remove it, or name another folder")
    made = make(given.folder, given.scenes, given.side, given.most, given.kinds, given.seed, shares)
    for split, (count, objects) in made.items():
        print(f"{split:<11} {count:>6,} scenes {objects:>7,} objects")


if __name__ == "__main__":
    main()
