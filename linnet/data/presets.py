"""How a model is trained, chosen by looking at the data: the [train] section that `linnet init` writes."""

from __future__ import annotations

import json
from typing import Literal

from linnet.config import PHOTO_BACKBONE, SMALL_SIDE

Preset = Literal["fast", "balanced", "best"]
PHOTO_SIDE = 224
"""Side in pixels that photos are brought to: what the pretrained backbone was trained with."""
_STEPS = 1000
"""Training steps to aim at: on a CPU a small network takes them in well under a minute."""
_LONGER: dict[Preset, int] = {"fast": 1, "balanced": 2, "best": 4}
_MANY_LONG = 0.1
"""Share of long images from which they are padded."""
_IMBALANCED = 3.0
"""Ratio of the biggest class to the smallest from which classes weigh the same in the loss."""


def quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes, and DEL, which TOML alone forbids."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def are_photos(height: int, width: int) -> bool:
    """Whether images of a typical size are worth a pretrained backbone, as `train.backbone = "auto"` says."""
    return min(height, width) > SMALL_SIDE


def choose_fit(height: int, width: int, long: float) -> tuple[str, str]:
    """`data.fit` and the reason; `long` is the share of images beyond 2:1."""
    if not are_photos(height, width):
        return "squash", "both sides are scaled by themselves; crop and pad keep the proportions"
    if long > _MANY_LONG:
        return "pad", f"{long:.0%} of the images are more than 2:1, of which a crop would lose most"
    return "crop", "the middle, in its own proportions; pad keeps the edges too, with bars"


def train_section(preset: Preset, rows: int, height: int, width: int, imbalance: float) -> str:
    """The [train] section as TOML, with the reasons as comments; sizes are those that a model is fed."""
    even = str(imbalance > _IMBALANCED).lower()
    why = f"the biggest class is {imbalance:.0f} times the smallest" if imbalance > _IMBALANCED else ""
    if are_photos(height, width):
        weights = f"class_weights = {even}" + (f"  # {why}: small classes weigh more" if why else "")
        weights += "\nclass_weight_power = 0.5  # the square root of that" if why else ""
        return f"[train]\n{_photos(preset, rows)}{weights}\n"
    weights = f"class_weights = {even}" + (f"  # {why}: all classes weigh the same" if why else "")
    return f"[train]\n{_small(preset, rows, min(height, width))}{weights}\n"


def _photos(preset: Preset, rows: int) -> str:
    start = f'backbone = "auto"  # {PHOTO_BACKBONE}, with the ImageNet weights of a package (Apache-2.0)\n'
    mirror = (
        "flip = {}  # mirror photos at random\n"
        "flip_average = {}  # answer for photo and mirror image together: twice the work, mostly more\n"
        "# accurate, never where left and right tell classes apart, as in writing\n"
    )
    if preset == "fast":
        return (
            f"# Preset fast: {rows:,} photos. Only a head is fitted, on a frozen pretrained backbone, which\n"
            "# looks at each photo once. `linnet init --preset balanced` then moves the whole network.\n"
            f"{start}epochs = 0\n{mirror.format('false', 'false')}"
        )
    epochs, patience, average = (5, 2, 0.0) if preset == "balanced" else (30, 6, 0.99)
    return (
        f"# Preset {preset}: {rows:,} photos. First a head on a frozen backbone, then the whole\n"
        f"# network for up to {epochs} epochs, which are slow without a GPU.\n"
        f"{start}epochs = {epochs}\n"
        f"patience = {patience}  # stop after so many epochs without a better one, and keep the best\n"
        'watch = "macro_f1"\n'
        "batch_size = 32\n"
        'optimizer = "adamw"\nlearning_rate = 0.001  # of the head; the backbone learns at a tenth, or less\n'
        "weight_decay = 0.01\n"
        'schedule = "cosine"\nclip_norm = 1.0\n'
        f"ema_decay = {average}\nshift = 0\n"
        'augment = "photo"  # random crops, colors and shapes\n'
        f"{mirror.format('true', str(preset == 'best').lower())}"
    )


def _small(preset: Preset, rows: int, side: int) -> str:
    """Batch size, epochs and augmentation by the amount of data and the size of the images."""
    trained = max(1, int(rows * 0.7))
    batch = next((size for size in (128, 64, 32) if trained // size >= 20), 16)
    epochs = min(max(round(_STEPS / max(1, trained // batch)), 8), 60) * _LONGER[preset]
    stop = "" if preset == "fast" else f"patience = {max(4, epochs // 4)}  # then the best weights are kept\n"
    return (
        f"# Preset {preset}: images of at most {SMALL_SIDE} pixels; a small network learns them.\n"
        f"epochs = {epochs}\n{stop}"
        f"batch_size = {batch}\n"
        f"learning_rate = {round(0.5 * batch / 128, 4)}  # in proportion to the batch\n"
        "width = 32  # channels of the first stage; more is slower and may be more accurate\n"
        f"shift = {1 if side < 16 else side // 14}  # random shifts of up to this many pixels\n"
        "# Mirror images: false, because they would make digits, letters and all that has a left and right\n"
        "# wrong. Set both to true if a mirrored image shows the same class (most photos): it helps.\n"
        "flip = false\nflip_average = false\n"
    )
