"""A label is a map of classes: `masks` has the text; uint8 [N, H, W] in arrays, 0 for background."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.config import DataConfig
from linnet.errors import ConfigError
from linnet.tasks.segmentation.coco import mask_of_coco
from linnet.tasks.segmentation.masks import MOST_CLASSES, of_indices, of_masks, parsed, read, resized, text_of
from linnet.tasks.target import (
    COCO_MASK,
    Cohorts,
    Object,
    Target,
    Targets,
    UnknownClass,
    by_size,
    rarest_classes,
)
from linnet.vision import rle


class _Masks:
    spatial = several = True
    mark = COCO_MASK
    gates = """\
min_accuracy = 0.3
min_mean_iou = 0.3
min_worst_recall = 0.0  # a rare class may have too few test images for a floor
max_ece = 0.1
max_cohort_gap = 0.35
"""
    training = ""

    def check(self, config: DataConfig) -> None:
        """Masks are stretched with their images: other fits would cut or frame them."""
        if config.fit != "squash":
            problem = (
                f"is '{config.fit}', and masks are brought to the size of the images by stretching alone"
            )
            raise ConfigError("data.fit", problem, 'set it to "squash"')

    def read(self, cell: Any) -> str:
        return read(json.dumps(cell) if isinstance(cell, dict) else "" if cell is None else str(cell)).text

    def joined(self, labels: Sequence[str]) -> str:
        """Of one image; the masks of the later ones lie on top."""
        parts = [parsed(label) for label in labels]
        if len({(one.height, one.width) for one in parts}) > 1:
            raise ValueError("masks of several sizes")
        masks = [(name, one.mask(name)) for one in parts for name in one.runs]
        return _laid(masks, parts[0].height, parts[0].width)

    def problem_of(self, name: str) -> str:  # noqa: ARG002  every name is one in JSON
        return ""

    def cell(self, label: str) -> str:
        return label

    def label(self, names: Sequence[str]) -> str:
        raise ValueError(f"no masks of {', '.join(names) or 'nothing'}: names alone are no segmentation")

    def of_objects(self, objects: Sequence[Object], height: int, width: int) -> str:
        """Later objects lie on top of earlier ones."""
        masks = [(name, mask_of_coco(about, height, width)) for name, about in objects]
        if empty := next((name for name, mask in masks if not mask.any()), ""):
            raise ValueError(f"an empty mask of {empty!r}")
        return _laid(masks, height, width)

    def renamed(self, label: str, name_of: Callable[[str], str]) -> str:
        one = parsed(label)
        names = {name: name_of(name) for name in one.runs}
        if len(set(names.values())) < len(names):
            masks = [(names[name], one.mask(name)) for name in one.runs]
            return of_masks(masks, one.height, one.width)[0].text
        return text_of(one.height, one.width, {names[name]: runs for name, runs in one.runs.items()})

    def misfit(self, label: str, height: int, width: int) -> str:
        one = parsed(label)
        if not one.runs or (one.height, one.width) == (height, width):  # nothing is nothing at any size
            return ""
        return f"its masks have {one.height} x {one.width} pixels, and the image {height} x {width}"

    def classes(self, label: str) -> tuple[str, ...]:
        return tuple(parsed(label).runs)

    def known(self, labels: Sequence[str], classes: Sequence[str]) -> list[str]:
        return [label for label in labels if set(self.classes(label)) <= set(classes)]

    def encode(self, labels: Sequence[str], classes: Sequence[str], height: int, width: int) -> Targets:
        found = np.zeros((len(labels), height, width), np.uint8)
        known = set(classes)
        for row, label in enumerate(labels):
            one = parsed(label)
            if other := sorted(one.runs.keys() - known):
                raise UnknownClass(row, other[0])
            found[row] = resized(one.indices(classes), height, width)
        return found

    def decode(self, row: Any, classes: Sequence[str]) -> str:
        return of_indices(row, classes).text

    def problem(self, targets: Targets, classes: int) -> str:
        if targets.dtype != np.uint8 or targets.ndim != 3 or classes > MOST_CLASSES:
            return f"{targets.dtype} {list(targets.shape)} are no maps of {classes} classes"
        return "holds a pixel of no class" if targets.size and int(targets.max()) > classes else ""

    def groups(self, targets: Targets) -> npt.NDArray[np.int64]:
        """The rarest class that a sample has; one more than the last class where it has none."""
        return rarest_classes(self.matrix(targets, int(targets.max(initial=0))))

    def matrix(self, targets: Targets, classes: int) -> npt.NDArray[np.bool_]:
        flat = targets.reshape(len(targets), -1)
        found = np.zeros((len(targets), classes + 1), np.bool_)
        found[np.repeat(np.arange(len(flat)), flat.shape[1]), flat.ravel()] = True
        return found[:, 1:]

    def cohorts(self, targets: Targets) -> Cohorts:
        """By the class that covers least of an image."""
        known = range(1, int(targets.max(initial=0)) + 1)
        shares = np.array([(targets == k).mean(axis=(1, 2)) for k in known]).reshape(len(known), len(targets))
        least = np.where(shares > 0, shares, np.inf).min(axis=0, initial=np.inf)
        return by_size(np.where(np.isfinite(least), least, np.nan))

    def counts(self, targets: Targets, classes: int) -> npt.NDArray[np.int64]:
        counts: npt.NDArray[np.int64] = self.matrix(targets, classes).sum(axis=0, dtype=np.int64)
        return counts


def _laid(masks: Sequence[tuple[str, rle.Mask]], height: int, width: int) -> str:
    """The label of objects laid over one another, the later ones on top.

    Raises:
        ValueError: a class lies wholly under others, and would not be there.
    """
    found, _ = of_masks(masks, height, width)
    if hidden := sorted({name for name, mask in masks if mask.any()} - found.runs.keys()):
        raise ValueError(f"{hidden[0]!r} lies wholly under what is marked after it")
    return found.text


TARGET: Target = _Masks()
