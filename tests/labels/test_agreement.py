"""Agreement and consensus: known values, and a careless annotator who does not win."""

from __future__ import annotations

import random

import pytest
from sklearn.metrics import cohen_kappa_score

from linnet.labels.agreement import cohen_kappa, crowdlab, fleiss_kappa, mean_cohen_kappa, quality, votes_of

CLASSES = ("bag", "boot", "coat")


def test_cohen_kappa_equals_scikit_learn() -> None:
    draw = random.Random(1)
    first = [draw.choice(CLASSES) for _ in range(200)]
    second = [label if draw.random() < 0.7 else draw.choice(CLASSES) for label in first]
    votes = {str(i): {"a": x, "b": y} for i, (x, y) in enumerate(zip(first, second, strict=True))}
    assert cohen_kappa(votes, "a", "b") == pytest.approx(cohen_kappa_score(first, second))
    assert mean_cohen_kappa(votes) == cohen_kappa(votes, "a", "b")


def test_fleiss_kappa_equals_the_papers_example() -> None:
    # Fleiss (1971), table 1 as reprinted widely: 10 subjects, 14 raters, 5 categories; kappa 0.210.
    counts = [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]  # fmt: skip
    votes = {}
    for i, row in enumerate(counts):
        labels = [str(k) for k, n in enumerate(row) for _ in range(n)]
        votes[str(i)] = {f"rater {j}": label for j, label in enumerate(labels)}
    assert fleiss_kappa(votes) == pytest.approx(0.210, abs=5e-4)


def test_kappa_without_shared_samples_is_unknown_and_perfect_agreement_is_one() -> None:
    assert cohen_kappa({"s": {"a": "bag"}, "t": {"b": "bag"}}, "a", "b") is None
    assert fleiss_kappa({"s": {"a": "bag"}}) is None and mean_cohen_kappa({}) is None
    same = {"s": {"a": "bag", "b": "bag"}}
    assert cohen_kappa(same, "a", "b") == fleiss_kappa(same) == 1.0


def test_quality_measures_each_annotator_by_gold_and_by_the_others() -> None:
    votes = votes_of(
        [("s", "a", "bag"), ("s", "b", "boot"), ("t", "a", "coat"), ("t", "b", "coat"), ("u", "c", "bag")]
    )
    ann, bob, cleo = quality(votes, {"s": "bag", "t": "coat"})
    assert (ann.gold_accuracy, bob.gold_accuracy, cleo.gold_accuracy) == (1.0, 0.5, None)
    assert (ann.agreement, cleo.agreement, ann.labels) == (0.5, None, 2)


@pytest.mark.filterwarnings("ignore")  # cleanlab's own use of pandas and numpy
def test_crowdlab_careful_people_and_the_model_outweigh_a_careless_one() -> None:
    draw, truth, votes, said = random.Random(3), {}, {}, {}
    for i in range(150):
        sample = f"s{i}"
        truth[sample] = draw.choice(CLASSES)

        def opinion(noise: float, label: str = truth[sample]) -> str:
            return draw.choice([c for c in CLASSES if c != label]) if draw.random() < noise else label

        votes[sample] = {"careful": opinion(0.05), "careless": opinion(0.6)}
        guess = opinion(0.15)
        said[sample] = [0.8 if name == guess else 0.1 for name in CLASSES]
    found = crowdlab(votes, said, CLASSES)
    right = sum(found[s][0] == truth[s] for s in truth) / len(truth)
    ties = [s for s in truth if votes[s]["careful"] != votes[s]["careless"]]
    assert set(found) == set(truth) and right > 0.8
    assert sum(found[s][0] == truth[s] for s in ties) / len(ties) > 0.7, "a coin would give less than half"
    assert all(0 <= score <= 1 for _, score in found.values())


def test_crowdlab_without_a_crowd_says_nothing() -> None:
    assert crowdlab({"s": {"a": "bag"}}, {"s": [0.5, 0.3, 0.2]}, CLASSES) == {}
    assert crowdlab({"s": {"a": "bag", "b": "boot"}}, {}, CLASSES) == {}
