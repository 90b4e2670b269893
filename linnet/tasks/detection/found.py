"""What a model found in images with labels, matched with what is there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from linnet.tasks.detection.answer import CLASS, FAINT, SCORE
from linnet.tasks.detection.boxes import Box, Floats, quality
from linnet.tasks.detection.precision import ClassBoxes, class_boxes
from linnet.tasks.target import Targets


@dataclass(frozen=True)
class Found:
    """N images: their boxes, and what a model says of them."""

    targets: Targets
    """float32 [N, 100, 5], as `target` has them."""
    output: Floats
    """[N, 100, 6], as `answer` has it, with calibrated scores."""
    thresholds: Floats
    """[K]"""

    @property
    def samples(self) -> int:
        """N."""
        return len(self.targets)

    @property
    def classes(self) -> int:
        """K."""
        return len(self.thresholds)

    @cached_property
    def finite(self) -> npt.NDArray[np.bool_]:
        """Images whose boxes are numbers: [N]."""
        return np.asarray(np.isfinite(self.output).all(axis=(1, 2)))

    @property
    def not_finite(self) -> int:
        """Images with a number that is none or infinite."""
        return int((~self.finite).sum())

    @cached_property
    def scores(self) -> Floats:
        """The quality of what is answered, [N]: see `boxes.quality`; 0 for no numbers."""
        found = np.zeros(self.samples)
        for row in np.flatnonzero(self.finite):
            there = self.targets[row][self.targets[row, :, 0] >= 0].astype(np.float64)
            said = self.output[row][self.answered[row]]
            truth = [Box(str(int(one[0])), *one[1:].tolist()) for one in there]
            found[row] = quality([Box(str(int(one[CLASS])), *one[:4].tolist()) for one in said], truth)
        return found

    @cached_property
    def objects(self) -> npt.NDArray[np.int64]:
        """Objects by image and class: [N, K]."""
        counts = (self.targets[..., 0, None] == np.arange(self.classes)).sum(axis=1)
        return np.asarray(counts, np.int64)

    @cached_property
    def named(self) -> npt.NDArray[np.int64]:
        """Boxes that are answered, by image and class: [N, K]."""
        own = self.answered[..., None] & (self.output[..., CLASS, None] == np.arange(self.classes))
        return np.asarray(own.sum(axis=1), np.int64)

    @cached_property
    def hits(self) -> npt.NDArray[np.int64]:
        """Boxes that are answered and right at an overlap of 0.5, by image and class: [N, K]."""
        hits = np.zeros((self.samples, self.classes), np.int64)
        for k in range(self.classes):
            one = self.of_class(k)
            right = one.right[0] & (one.score >= self.thresholds[k])
            hits[:, k] = np.bincount(one.image[right], minlength=self.samples)
        return hits

    @cached_property
    def claims(self) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Scores of boxes that are more than faint, and whether they are right at an overlap of 0.5: [D]."""
        seen = [(one.score, one.right[0]) for one in self._by_class]
        claimed = np.concatenate([score[score >= FAINT] for score, _ in seen])
        return claimed, np.concatenate([right[score >= FAINT] for score, right in seen])

    @cached_property
    def claiming(self) -> npt.NDArray[np.int64]:
        """The image of each of `claims`: [D]."""
        return np.concatenate([one.image[one.score >= FAINT] for one in self._by_class])

    @cached_property
    def unknown(self) -> Floats:
        """The highest score of a box that is no object of the label: [N]."""
        highest = np.zeros(self.samples)
        for one in self._by_class:
            np.maximum.at(highest, one.image[~one.right[0]], one.score[~one.right[0]])
        return highest

    def of_class(self, k: int) -> ClassBoxes:
        """The boxes and objects of a class, matched."""
        return self._by_class[k]

    @cached_property
    def answered(self) -> npt.NDArray[np.bool_]:
        """Which boxes are: [N, 100]."""
        scores = np.nan_to_num(self.output[..., SCORE])
        number = np.clip(np.nan_to_num(self.output[..., CLASS]).astype(np.int64), 0, self.classes - 1)
        return np.asarray((scores > 0) & (scores >= self.thresholds[number]))

    @cached_property
    def _by_class(self) -> list[ClassBoxes]:
        output = np.nan_to_num(self.output)
        return [
            class_boxes(
                [row[(row[:, CLASS] == k) & (row[:, SCORE] > 0)][:, :CLASS] for row in output],
                [row[row[:, 0] == k][:, 1:].astype(np.float64) for row in self.targets],
            )
            for k in range(self.classes)
        ]


def rescaled(output: Floats, temperature: float) -> Floats:
    """Output whose scores' logits are divided by a temperature; no box stays none."""
    scaled = np.array(output, np.float64)
    score = scaled[..., SCORE]
    with np.errstate(divide="ignore"):
        logits = (np.log(score) - np.log1p(-score)) / temperature
    scaled[..., SCORE] = np.where(score > 0, 1 / (1 + np.exp(-logits)), score)
    return scaled
