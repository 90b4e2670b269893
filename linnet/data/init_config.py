"""The config that `linnet init NAME --data FOLDER` writes: settings chosen by looking at the images."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from linnet.config import parse_config
from linnet.data.image_folder import read_image_folder
from linnet.data.rows import RawDataset, invalid_rows
from linnet.errors import InvalidImage
from linnet.vision.decode import decode

_LOOKED_AT = 200
_SMALLEST_SIDE, _LARGEST_SIDE = 8, 64
_STEPS = 1000
"""Training steps to aim at: on a CPU a small network takes them in well under a minute."""


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """What a sample of the images shows."""

    height: int
    width: int
    color: str
    sizes: int
    """How many different sizes there are among those looked at."""


def config_for_folder(name: str, folder: Path) -> str:
    """TOML text of a config for a folder of images with one sub-folder a class.

    Raises:
        DataError: fewer than 2 classes, an empty class, or an unreadable image among the first looked at.
        ConfigError: the name is not one.
    """
    parse_config({"name": name})
    raw = read_image_folder(folder.resolve())
    look = _look(raw)
    counts = {label: sum(row.label == label for row in raw.rows) for label in raw.classes}
    return _text(name, folder.resolve(), raw, look, counts)


def _look(raw: RawDataset) -> ImageSummary:
    """Sizes and colours of up to 200 images, spread evenly over the dataset."""
    step = max(1, len(raw.rows) // _LOOKED_AT)
    heights, widths, sizes, colored, problems = [], [], set(), False, []
    for row in raw.rows[::step]:
        assert isinstance(row.source, Path)
        try:
            height, width, channels = decode(row.source.read_bytes(), row.origin).pixels.shape
        except InvalidImage as error:
            problems.append(str(error))
            continue
        heights.append(height)
        widths.append(width)
        sizes.add((height, width))
        colored = colored or channels == 3
    if problems:
        raise invalid_rows(
            raw.where, f"{len(problems)} file(s) are no image", problems, "repair or remove them"
        )
    return ImageSummary(_side(heights), _side(widths), "rgb" if colored else "gray", len(sizes))


def _side(sides: list[int]) -> int:
    return min(max(int(statistics.median(sides)), _SMALLEST_SIDE), _LARGEST_SIDE)


def _training(rows: int, side: int) -> dict[str, int]:
    """Batch size, epochs and augmentation by the amount of data and the size of the images."""
    trained = max(1, int(rows * 0.7))
    batch = next((size for size in (128, 64, 32) if trained // size >= 20), 16)
    epochs = min(max(round(_STEPS / max(1, trained // batch)), 8), 60)
    return {"batch_size": batch, "epochs": epochs, "shift": 1 if side < 16 else side // 14}


def _held_out(smallest: int) -> tuple[float, float, float]:
    """Fractions for validation, production and test: small datasets need larger shares to say much."""
    return (0.05, 0.05, 0.15) if smallest >= 500 else (0.1, 0.1, 0.2)


def _text(name: str, folder: Path, raw: RawDataset, look: ImageSummary, counts: dict[str, int]) -> str:
    smallest, biggest = min(counts.values()), max(counts.values())
    train = _training(len(raw.rows), min(look.height, look.width))
    validation, production, test = _held_out(smallest)
    own_test = "test" in {row.split for row in raw.rows}
    test_note = "  # not used: the folder has a test split" if own_test else ""
    resized = "pixels; as the images are"
    if look.sizes > 1:
        resized = f"pixels; the images have {look.sizes} sizes or more, and are all resized"
    chance = biggest / len(raw.rows)
    floor = round(min(0.8, chance + (1 - chance) * 0.5), 2)
    classes = ",\n".join(f"    {_quoted(label)}" for label in raw.classes)
    imbalance = biggest / smallest
    return f"""\
# {len(raw.rows)} images in {len(raw.classes)} classes ({smallest} to {biggest} images each).
# Run it with `linnet run`; every setting and its unit stand in linnet/config/.
name = {json.dumps(name)}

[data]
kind = "folder"
location = {_quoted(str(folder))}
classes = [
{classes},
]
height = {look.height}  # {resized}
width = {look.width}
color = "{look.color}"
validation_fraction = {validation}  # of the training images: to calibrate and to watch training
production_fraction = {production}  # of the training images: replayed as traffic in the canary
test_fraction = {test}{test_note}

[validation]
min_per_class = {max(1, min(10, smallest // 2))}
max_imbalance = {max(20.0, float(round(imbalance * 1.5)))}

[train]
epochs = {train["epochs"]}
batch_size = {train["batch_size"]}
learning_rate = {round(0.5 * train["batch_size"] / 128, 4)}  # in proportion to the batch
width = 32  # channels of the first stage; more is slower and may be more accurate
shift = {train["shift"]}  # random shifts of up to this many pixels
# Mirror images: false, because they would make digits, letters and anything with a left and a right
# wrong. Set both to true if a mirrored image shows the same class (most photos): it helps.
flip = false
flip_average = false
class_weights = {str(imbalance > 3).lower()}

[gates]
# A floor to start from; raise it to what you know the data allows.
min_accuracy = {floor}  # always naming the biggest class scores {chance:.2f}
min_macro_f1 = {round(floor * 0.95, 2)}
min_worst_recall = {round(floor * 0.6, 2)}
min_auc = {0.85 if smallest >= 200 else 0.5}  # of the lower bound, which few test images keep low
max_ece = {0.05 if smallest >= 500 else 0.1}
max_cohort_gap = {0.25 if smallest >= 500 else 0.35}
non_inferiority_margin = {0.01 if len(raw.rows) >= 5000 else 0.03}
"""


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes, and DEL, which TOML alone forbids."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
