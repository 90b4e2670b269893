"""Margins of a release whose traffic is a small set of images, drawn again and again.

However many requests are sent, they show what a version does on those images; on a hundred others it may be
a few right answers more or less. The judge's bounds are of the requests, so without this a candidate that is
no worse is rolled back because of which images happened to be held out: of 26 with an accuracy of 70 %, as
often as not. A margin is therefore never smaller than what chance makes of so few images with the
probability that the judge may be wrong with.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from linnet.config import ReleaseConfig
from linnet.deployment.first_release import METRICS, FirstReleaseBaseline
from linnet.statistics.intervals import wilson


def replay_margins(
    config: ReleaseConfig, images: int, reference: FirstReleaseBaseline | None = None
) -> ReleaseConfig:
    """`config` with the margins that so many different images can show; the given ones where they are wider.

    Args:
        config: its margins hold as they are for traffic that does not repeat.
        images: different images that are replayed.
        reference: what a first candidate is held against; None: there is a champion, on the same images.
    """
    if reference is not None:
        chance = _two_samples(reference.accuracy, (reference.samples, images), config.alpha / METRICS)
        return config.model_copy(update={"max_accuracy_drop": _wider(config.max_accuracy_drop, chance)})
    agree = config.min_agreement  # two versions that differ more often than this are not promoted anyhow
    level = NormalDist().inv_cdf(1 - config.alpha / len(config.metrics))
    differing = level * math.sqrt((1 - agree) / images) + 1 / images  # a correction for continuity
    return config.model_copy(
        update={
            "max_accuracy_drop": _wider(config.max_accuracy_drop, differing),
            "max_class_shift": _wider(config.max_class_shift, differing),
            "min_agreement": max(0.0, agree - level * math.sqrt(agree * (1 - agree) / images) - 1 / images),
        }
    )


def _two_samples(share: float, sizes: tuple[int, int], tail: float) -> float:
    """How far below `share`, seen in the first sample, the second may fall by chance.

    Both lower halves of score intervals, added as Newcombe does (Statistics in Medicine 17, 1998).
    """
    bounds = [wilson(round(share * size), size, 1 - 2 * tail) for size in sizes]
    return math.hypot(*(bound.value - bound.low for bound in bounds)) + 1 / (2 * sizes[1])


def _wider(margin: float, chance: float) -> float:
    return min(1.0, max(margin, chance))
