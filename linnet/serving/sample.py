"""Which images of the traffic are kept: a bounded sample, whatever the load, and for a reason each.

Half of it is drawn at random, so that a window can be compared with the reference. The rest are those that
people should be asked about: what the model was least sure of, and what looks least like the traffic so far.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from linnet.records.prediction_log import RANDOM
from linnet.serving.predictor import Prediction
from linnet.tasks.answer import Answer

Floats = npt.NDArray[np.float32]

UNCERTAIN, UNLIKE = "uncertain", "unlike"
_SHARES = {RANDOM: 0.5, UNCERTAIN: 0.25, UNLIKE: 0.25}
_LONGEST = 60.0
"""Seconds of quiet that are made up for: a burst after them keeps no more than a minute's sample."""
_REMEMBERED = 120
"""Batches whose scores tell what is unusual."""
_LOOKED_AT = 64
"""Requests of a batch that are scored at most: the others had their chance to be drawn at random."""
_MEMORY = 0.02
"""Weight of a batch in the running mean and variance of the features."""


class Answered(Protocol):
    """What the sample looks at of a request."""

    @property
    def at(self) -> float:
        """Seconds since the epoch."""
        ...

    @property
    def prediction(self) -> Prediction | None:
        """None: it was not answered."""
        ...

    @property
    def answer(self) -> Answer:
        """Reads its output."""
        ...


class ImageSample:
    """Chooses requests of the batches that it is shown, in order; keeps no image itself."""

    def __init__(self, per_minute: float, seed: int | None = None) -> None:
        """`per_minute`: images that are kept at most; 0: none."""
        self._rates = {reason: per_minute * share / 60.0 for reason, share in _SHARES.items()}
        self._ready = {reason: rate * _LONGEST for reason, rate in self._rates.items()}
        self._random = random.Random(seed)  # noqa: S311  a sample, not a secret
        self._last: float | None = None
        self._recent = {UNCERTAIN: _Recent(), UNLIKE: _Recent()}
        self._traffic = _Traffic()

    def choose(self, entries: Sequence[Answered]) -> dict[int, str]:
        """Positions of the entries to keep, each with the reason; at most one a position.

        Costs a fraction of a millisecond a batch, however large it is.
        """
        answered = [place for place, entry in enumerate(entries) if entry.prediction is not None]
        if not answered or not any(self._rates.values()):
            return {}
        self._accrue(entries[answered[-1]].at)
        chosen: dict[int, str] = {}
        most = math.floor(self._ready[RANDOM])
        drawn = self._random.sample(answered, min(most, len(answered)))
        self._take(RANDOM, drawn, entries, chosen)
        looked_at = sorted(self._random.sample(answered, min(_LOOKED_AT, len(answered))))
        for reason, scores in self._scores(entries, looked_at).items():
            least = self._recent[reason].least(scores, self._rates[reason], self._last or 0.0)
            order = [looked_at[k] for k in np.argsort(-scores, kind="stable") if scores[k] >= least]
            self._take(reason, [place for place in order if place not in chosen], entries, chosen)
        return chosen

    def _accrue(self, at: float) -> None:
        passed = 0.0 if self._last is None else min(max(at - self._last, 0.0), _LONGEST)
        self._last = at if self._last is None else max(self._last, at)
        for reason, rate in self._rates.items():
            self._ready[reason] = min(self._ready[reason] + rate * passed, max(rate * _LONGEST, 1.0))

    def _take(
        self, reason: str, order: list[int], entries: Sequence[Answered], chosen: dict[int, str]
    ) -> None:
        """Takes the first of `order` as long as there is room; a request is kept whole or not."""
        for place in order:
            prediction = entries[place].prediction
            assert prediction is not None
            images = len(prediction.output)
            if self._ready[reason] < images:
                return
            self._ready[reason] -= images
            chosen[place] = reason

    def _scores(self, entries: Sequence[Answered], places: list[int]) -> dict[str, Floats]:
        """By reason how much each request wants to be kept [N]; of several images the first speaks."""
        found = [
            (entry, one)
            for entry in map(entries.__getitem__, places)
            if (one := entry.prediction) is not None
        ]
        said = np.concatenate([entry.answer.by_class(one.output[:1]) for entry, one in found])
        features = np.stack([one.features[0] for _, one in found])
        return {UNCERTAIN: 1.0 - said.max(axis=1), UNLIKE: self._traffic.distance(features)}


class _Recent:
    """Scores of the latest batches: what is worth keeping is worth more than most of these."""

    def __init__(self) -> None:
        self._scores: deque[Floats] = deque(maxlen=_REMEMBERED)
        self._times: deque[float] = deque(maxlen=_REMEMBERED)

    def least(self, scores: Floats, rate: float, at: float) -> float:
        """The score from which on about `rate` requests a second are kept; `scores` are remembered."""
        self._scores.append(scores)
        self._times.append(at)
        seconds = at - self._times[0]
        if seconds <= 0:
            return -math.inf
        known = np.concatenate(self._scores)
        return float(np.quantile(known, 1.0 - min(rate * seconds / len(known), 1.0)))


class _Traffic:
    """Running mean and variance of the features."""

    def __init__(self) -> None:
        self._mean: Floats | None = None
        self._variance: Floats | None = None

    def distance(self, features: Floats) -> Floats:
        """Largest distance of a feature [N, F] from the traffic before, in standard deviations: [N]."""
        mean, variance = features.mean(axis=0), features.var(axis=0)
        if self._mean is None or self._variance is None or self._mean.shape != mean.shape:
            self._mean, self._variance = mean, variance
        away = np.abs(features - self._mean) / np.sqrt(self._variance + 1e-9)
        moved = mean - self._mean
        self._variance = (1 - _MEMORY) * (self._variance + _MEMORY * moved**2) + _MEMORY * variance
        self._mean = self._mean + _MEMORY * moved
        found: Floats = np.nan_to_num(away).max(axis=1, initial=0.0)
        return found
