"""N images with true and answered maps: what is counted of them, an image and class at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from linnet.statistics.metrics import equal_mass_bins
from linnet.statistics.spread import spread
from linnet.tasks.answer import Output
from linnet.tasks.score import Floats
from linnet.tasks.segmentation.answer import CLASS, PROBABILITY
from linnet.tasks.target import Targets

Counts = npt.NDArray[np.int64]
MOST_CLAIMS = 2_000_000
"""Pixels that calibration is measured on, spread over all."""


@dataclass(frozen=True)
class Maps:
    """True maps uint8 [N, H, W], and what was answered of them, float [N, 2, H, W]; K classes."""

    targets: Targets
    output: Output
    classes: int

    @property
    def samples(self) -> int:
        """N."""
        return len(self.targets)

    @cached_property
    def finite(self) -> npt.NDArray[np.bool_]:
        """Images whose answers are numbers: [N]."""
        return np.asarray(np.isfinite(self.output).all(axis=(1, 2, 3)))

    @property
    def not_finite(self) -> int:
        """Images with an answer that holds no number."""
        return int((~self.finite).sum())

    @cached_property
    def named(self) -> Counts:
        """The class of each pixel that is answered: int64 [N, H, W]."""
        return np.clip(np.nan_to_num(self.output[:, CLASS]), 0, self.classes).astype(np.int64)

    @cached_property
    def hits(self) -> Counts:
        """Pixels a class that are answered correctly: [N, K]."""
        return self._pixels(np.where(self.named == self.targets, self.named, 0))

    @cached_property
    def actual(self) -> Counts:
        """Pixels a class: [N, K]."""
        return self._pixels(self.targets.astype(np.int64))

    @cached_property
    def answered(self) -> Counts:
        """Pixels that are answered to be of a class: [N, K]."""
        return self._pixels(self.named)

    @cached_property
    def dice(self) -> Floats:
        """The Dice coefficient a class, [N, K]; NaN where the class is in neither map."""
        return shares(2 * self.hits, self.actual + self.answered)

    @cached_property
    def scores(self) -> Floats:
        """The mean Dice coefficient over the classes that either map has, [N]; 1 where neither has any."""
        there = np.isfinite(self.dice)
        total = np.where(there, self.dice, 0.0).sum(axis=1)
        found = np.where(there.any(axis=1), total / np.maximum(there.sum(axis=1), 1), 1.0)
        return np.where(self.finite, found, 0.0)

    @cached_property
    def confidence(self) -> Floats:
        """How sure the answer is, on average over its pixels: [N]."""
        sure: Floats = self.output[:, PROBABILITY].reshape(self.samples, -1).mean(axis=1, dtype=np.float64)
        return sure

    @cached_property
    def boundary(self) -> Floats:
        """The mean distance of outlines in pixels, both ways, [N]; see `outline_distance`."""
        pairs = zip(self.targets, self.named, strict=True)
        return np.array([outline_distance(truth, said) for truth, said in pairs])

    def claims(self) -> tuple[Floats, npt.NDArray[np.bool_], Counts]:
        """Of pixels: how sure the answer is, whether it is right, and the image it belongs to."""
        each = max(1, int(np.prod(self.targets.shape[1:])))
        places = spread(self.samples * each, MOST_CLAIMS)
        sure = self.output[:, PROBABILITY].reshape(-1)[places].astype(np.float64)
        right = (self.named == self.targets).reshape(-1)[places]
        return sure, right, places // each

    def gaps(self, bins: int) -> Floats:
        """Probability minus truth, summed over an image's pixels a bin, as shares of all: [N, bins]."""
        sure, right, image = self.claims()
        which = image * bins + equal_mass_bins(sure, bins)
        found = np.bincount(which, sure - right, minlength=self.samples * bins)
        return found.reshape(self.samples, bins) / max(len(sure), 1)

    def _pixels(self, maps: Counts) -> Counts:
        each = self.classes + 1
        places = maps.reshape(len(maps), -1) + np.arange(len(maps))[:, None] * each
        found = np.bincount(places.ravel(), minlength=len(maps) * each)
        return found.reshape(len(maps), each)[:, 1:]


def shares(part: npt.NDArray[np.generic], whole: npt.NDArray[np.generic]) -> Floats:
    """The quotient; NaN where there is nothing to divide by."""
    top, bottom = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    found: Floats = np.full(np.broadcast(top, bottom).shape, np.nan)
    return np.divide(top, bottom, out=found, where=bottom > 0)


def outline_distance(truth: npt.NDArray[np.generic], said: npt.NDArray[np.generic]) -> float:
    """The mean distance from the pixels of either outline to the nearest of the other one, in pixels.

    The outline of a map: pixels with a neighbor below or to the right of another class. 0 where neither has
    any; the diagonal of the image where one alone has.
    """
    from scipy.ndimage import distance_transform_edt

    one, other = _outline(truth), _outline(said)
    if not one.any() and not other.any():
        return 0.0
    if not one.any() or not other.any():
        return float(np.hypot(*truth.shape))
    there, back = distance_transform_edt(~other)[one], distance_transform_edt(~one)[other]
    return float((there.sum() + back.sum()) / (len(there) + len(back)))


def _outline(indices: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    found = np.zeros(indices.shape, np.bool_)
    found[:-1] |= indices[:-1] != indices[1:]
    found[:, :-1] |= indices[:, :-1] != indices[:, 1:]
    return found
