"""Scenes made of products on textures: the same everywhere, exact, and of other photos in each split."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.textured_scenes import SHARES, Products, divided, main, outline, scenes, write_split
from linnet.data.exports import find_export
from linnet.data.folder_tree import walk
from linnet.vision.rle import box_of, decode

SIDE, MOST = 48, 4
DIGEST = "f632f190782e79daa1e1034c2d278dc0a1f7fdb6323fe8dc65666d6fd179d660"
"""Of pixels and annotations: whoever changes it changes the scenes of every config that uses them."""


def _products() -> Products:
    """Filled shapes with a hole: no real photos, whose presence a fast test does not ask for."""
    rng = np.random.default_rng(5)
    photos = np.zeros((60, 28, 28), np.uint8)
    for photo in photos:
        top, left, low, right = rng.integers(1, 10), rng.integers(1, 10), *rng.integers(18, 27, 2)
        photo[top:low, left:right] = rng.integers(60, 255, (low - top, right - left))
        photo[13:15, 13:15] = 0
    return Products(photos, ["bag", "shoe", "top"] * 20)


def _textures() -> list[np.ndarray]:
    return [np.random.default_rng(6).integers(20, 200, (80, 160), np.uint8) for _ in range(2)]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, products = tmp_path_factory.mktemp("scenes"), _products()
    photos = divided(range(60), {"validation": Fraction(1, 10), "test": Fraction(1, 5)}, 0)
    for place, (split, count) in enumerate({"train": 20, "validation": 5, "test": 9}.items()):
        made = scenes(products, photos[split], _textures(), count, SIDE, MOST, (0, 2, place))
        write_split(out, split, made, products, {"split": split})
    return out


def _told(out: Path) -> dict[str, dict]:
    return {
        split: json.loads((out / "annotations" / f"instances_{split}.json").read_text("utf-8"))
        for split in ("train", "validation", "test")
    }


def test_the_same_arguments_give_the_same_pixels_and_annotations(export: Path) -> None:
    digest = hashlib.sha256()
    for content in _told(export).values():
        digest.update(json.dumps(content, sort_keys=True).encode())
        for image in content["images"]:
            digest.update(np.asarray(Image.open(export / image["file_name"])).tobytes())
    assert digest.hexdigest() == DIGEST


def test_boxes_and_masks_are_of_the_pixels_that_show(export: Path) -> None:
    for content in _told(export).values():
        seen: dict[int, np.ndarray] = {}
        for one in content["annotations"]:
            mask = decode(one["segmentation"]["counts"], *one["segmentation"]["size"])
            assert mask.any() and int(mask.sum()) == one["area"] and list(box_of(mask)) == one["bbox"]
            covered = seen.setdefault(one["image_id"], np.zeros_like(mask))
            assert not (covered & mask).any()
            covered |= mask
        assert len(content["annotations"]) > len(content["images"])


def test_splits_share_no_photo_of_a_product(export: Path) -> None:
    photos = {
        split: {one["photo"] for one in content["annotations"]} for split, content in _told(export).items()
    }
    assert all(photos.values())
    assert sum(map(len, photos.values())) == len(set().union(*photos.values()))
    shares = divided(range(1000), SHARES, 3)
    assert {split: len(part) for split, part in shares.items()} == {
        "train": 600, "validation": 100, "production": 100, "test": 200,
    }  # fmt: skip
    assert sorted(number for part in shares.values() for number in part) == list(range(1000))


def test_coco_reader_takes_them_with_their_splits(export: Path) -> None:
    found = find_export(walk(export), "auto").export
    assert found is not None and found.kind == "coco"
    splits = Counter(Path(one.reference).parent.name for one in found.told)
    assert splits == {"train": 20, "validation": 5, "test": 9}
    assert {name for one in found.told for name in one.classes} == {"bag", "shoe", "top"}


def test_an_object_lies_where_its_mask_says(export: Path) -> None:
    """Another ground leaves the masked pixels as they were, but for their edge."""
    products = _products()
    dark, light = [np.full((80, 160), 20, np.uint8)], [np.full((80, 160), 200, np.uint8)]
    one, other = (next(iter(scenes(products, [7], ground, 1, SIDE, 1, (1,)))) for ground in (dark, light))
    (_, mask), (_, same) = *one.objects, *other.objects
    assert (mask == same).all()
    moved = abs(one.pixels.astype(int) - other.pixels)
    assert moved[mask].mean() < 0.2 * moved[~mask].mean()
    assert outline(products.photos[7])[14, 14] == 255, "a hole of a product is the product's"


@pytest.mark.slow
def test_real_photos_make_a_whole_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fashion_mnist: Path
) -> None:
    main([str(tmp_path / "scenes"), "--scenes", "40", "--kinds", "--side", "64"])
    assert "train           24 scenes" in capsys.readouterr().out
    found = find_export(walk(tmp_path / "scenes"), "auto").export
    assert found is not None and len(found.told) == 40
    with pytest.raises(SystemExit):
        main([str(tmp_path / "scenes"), "--scenes", "40"])
    assert "holds scenes already" in capsys.readouterr().err
