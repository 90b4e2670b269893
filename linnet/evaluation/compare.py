"""Candidate against champion on the same samples: a paired comparison."""

from __future__ import annotations

from linnet.records import Comparison
from linnet.statistics.metrics import Ints
from linnet.statistics.paired import paired_difference


def compare_to_champion(
    candidate: Ints, champion: Ints, labels: Ints, version: str, confidence: float
) -> Comparison:
    """Difference in accuracy of predicted classes [N] each; a class of -1 counts as wrong."""
    candidate_right, champion_right = candidate == labels, champion == labels
    only_candidate = int((candidate_right & ~champion_right).sum())
    only_champion = int((champion_right & ~candidate_right).sum())
    return Comparison(
        champion=version,
        difference=paired_difference(only_candidate, only_champion, len(labels), confidence),
        agreement=float((candidate == champion).mean()),
        candidate_only_right=only_candidate,
        champion_only_right=only_champion,
    )
