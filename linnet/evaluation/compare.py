"""Candidate against champion on the same samples: a paired comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from linnet.records import Comparison
from linnet.statistics.paired import paired_difference
from linnet.tasks.agree import agreement_of
from linnet.tasks.score import Floats


def agreements(task: str, first: Sequence[str], second: Sequence[str]) -> Floats:
    """How far two lists of labels agree, one by one: [N]. With the truth as one of them, the scores."""
    agreement = agreement_of(task)
    return np.array([agreement(one, other) for one, other in zip(first, second, strict=True)], np.float64)


def compare_to_champion(
    candidate: Floats, champion: Floats, agreement: float, version: str, confidence: float
) -> Comparison:
    """Difference of the mean score; scores [N] each, of the same samples, and how far the answers agree."""
    difference = candidate - champion
    gained, lost = np.maximum(difference, 0.0).sum(), np.maximum(-difference, 0.0).sum()
    squares = float((difference**2).sum())
    return Comparison(
        champion=version,
        difference=paired_difference(float(gained), float(lost), len(candidate), confidence, squares),
        agreement=agreement,
        candidate_only_right=int((difference > 0).sum()),
        champion_only_right=int((difference < 0).sum()),
    )
