"""Candidate against champion on the same samples: a paired comparison."""

from __future__ import annotations

import numpy as np

from linnet.records import Comparison
from linnet.statistics.paired import paired_difference
from linnet.tasks.score import Floats


def compare_to_champion(
    candidate: Floats, champion: Floats, agreement: float, version: str, confidence: float
) -> Comparison:
    """Difference of the mean score; scores [N] each, of the same samples, and how far the answers agree."""
    difference = candidate - champion
    gained, lost = np.maximum(difference, 0.0).sum(), np.maximum(-difference, 0.0).sum()
    return Comparison(
        champion=version,
        difference=paired_difference(float(gained), float(lost), len(candidate), confidence),
        agreement=agreement,
        candidate_only_right=int((difference > 0).sum()),
        champion_only_right=int((difference < 0).sum()),
    )
