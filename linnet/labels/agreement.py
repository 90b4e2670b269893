"""How far annotators agree, and what they hold together: pure, from answers to figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from linnet.tasks.agree import Agreement

Votes = Mapping[str, Mapping[str, str]]
"""The label that each annotator (inner key) gave a sample (outer key); no skipped answers.

How far two labels agree is the task's to say: `agree`. Of one class an image the kappas below are the
classical ones; else they are the weighted ones of Cohen (1968), doi:10.1037/h0026256, with it as weight."""


@dataclass(frozen=True, slots=True)
class AnnotatorQuality:
    """One annotator, measured."""

    annotator: str
    labels: int
    """Samples labelled."""
    gold_total: int
    gold_right: float
    """Of the gold tasks, samples whose label is known for certain: how far the answers agree, added up."""
    agreement: float | None
    """How far the other annotators' labels of the same samples agree, on average; None without any."""

    @property
    def gold_accuracy(self) -> float | None:
        """Mean agreement with the gold tasks' labels; None where none was answered."""
        return self.gold_right / self.gold_total if self.gold_total else None


def same(first: str, second: str) -> float:
    """1 for equal labels, 0 for others."""
    return float(first == second)


def cohen_kappa(votes: Votes, first: str, second: str, agree: Agreement = same) -> float | None:
    """Cohen's kappa of two annotators over the samples that both labelled; None without any.

    1 where they agree on everything, even if there was only one class to choose.
    Cohen (1960), doi:10.1177/001316446002000104.
    """
    pairs = [(given[first], given[second]) for given in votes.values() if first in given and second in given]
    if not pairs:
        return None
    observed = sum(agree(a, b) for a, b in pairs) / len(pairs)
    left, right = (Counter(side) for side in zip(*pairs, strict=True))
    expected = _by_chance(left, right, agree)
    return 1.0 if expected == 1.0 else (observed - expected) / (1.0 - expected)


def fleiss_kappa(votes: Votes, agree: Agreement = same) -> float | None:
    """Fleiss' kappa over the samples with at least two labels; None without any.

    Samples may have different numbers of labels: a sample's agreement is over its own pairs, the mean
    is over samples, and chance agreement is that of all labels together.
    Fleiss (1971), doi:10.1037/h0031619.
    """
    counts = [Counter(given.values()) for given in votes.values() if len(given) > 1]
    if not counts:
        return None
    observed = sum(_pairs_that_agree(count, agree) for count in counts) / len(counts)
    total = sum((count for count in counts), Counter[str]())
    expected = _by_chance(total, total, agree)
    return 1.0 if expected == 1.0 else (observed - expected) / (1.0 - expected)


def mean_cohen_kappa(votes: Votes, agree: Agreement = same) -> float | None:
    """The mean of Cohen's kappa over all pairs of annotators that share a sample; None without any."""
    found = [
        kappa
        for pair in combinations(annotators(votes), 2)
        if (kappa := cohen_kappa(votes, *pair, agree)) is not None
    ]
    return sum(found) / len(found) if found else None


def annotators(votes: Votes) -> list[str]:
    """Everybody who labelled a sample, sorted."""
    return sorted({who for given in votes.values() for who in given})


def quality(votes: Votes, gold: Mapping[str, str], agree: Agreement = same) -> list[AnnotatorQuality]:
    """Each annotator against the gold tasks (sample to its known label) and against the others."""
    labels: Counter[str] = Counter()
    total: Counter[str] = Counter()
    right: dict[str, float] = defaultdict(float)
    shared: dict[str, list[float]] = defaultdict(list)
    for sample, given in votes.items():
        for who, label in given.items():
            labels[who] += 1
            if sample in gold:
                total[who] += 1
                right[who] += agree(label, gold[sample])
            shared[who] += [agree(label, other) for name, other in given.items() if name != who]
    return [
        AnnotatorQuality(
            annotator=who,
            labels=labels[who],
            gold_total=total[who],
            gold_right=right[who],
            agreement=sum(shared[who]) / len(shared[who]) if shared[who] else None,
        )
        for who in sorted(labels)
    ]


def crowdlab(
    votes: Votes, probabilities: Mapping[str, Sequence[float]], classes: Sequence[str]
) -> dict[str, tuple[str, float]]:
    """Consensus label and its quality in [0, 1] of each sample, annotators weighed by their reliability.

    Every annotator, and the model, is weighed by how well it fits the others, so that two careful
    people outvote a careless third and the model breaks a tie. Goh, Tkachenko & Mueller, "CROWDLAB"
    (2022), arXiv 2210.06812; computed by cleanlab. Samples without the model's probabilities, and
    labels outside `classes`, are left out: nothing is said about them.

    Args:
        votes: The answers.
        probabilities: What a model said of each sample, K values in the order of `classes`. It must
            not have been trained on the label in question.
        classes: The K names.
    """
    import pandas as pd
    from cleanlab.multiannotator import get_label_quality_multiannotator

    index = {name: k for k, name in enumerate(classes)}
    known = {sample: {w: index[v] for w, v in given.items() if v in index} for sample, given in votes.items()}
    samples = [
        s for s in sorted(known) if known[s] and len(probabilities.get(s, ())) == len(classes) and votes[s]
    ]
    people = sorted({who for sample in samples for who in known[sample]})
    if len(people) < 2 or not any(len(known[sample]) > 1 for sample in samples):
        return {}  # one opinion a sample is no crowd: its method has nothing to weigh
    table = pd.DataFrame(
        [[known[sample].get(who, np.nan) for who in people] for sample in samples],
        columns=people,
        dtype=float,
    )
    said: npt.NDArray[np.float64] = np.array([probabilities[sample] for sample in samples], np.float64)
    said = np.clip(said, 1e-6, None)
    said /= said.sum(axis=1, keepdims=True)
    found = get_label_quality_multiannotator(table, said, verbose=False)["label_quality"]
    labels, scores = found["consensus_label"], found["consensus_quality_score"]
    return {sample: (classes[int(labels.iloc[i])], float(scores.iloc[i])) for i, sample in enumerate(samples)}


def votes_of(rows: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Votes from (sample, annotator, label) rows; a later row of the same two wins."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for sample, annotator, label in rows:
        found[sample][annotator] = label
    return dict(found)


def _pairs_that_agree(count: Counter[str], agree: Agreement) -> float:
    """How far two labels of a sample agree, on average over its pairs of different people."""
    size = count.total()
    pairs = sum(n * m * agree(a, b) for a, n in count.items() for b, m in count.items())
    return (pairs - size) / (size * (size - 1))  # nobody is paired with himself


def _by_chance(first: Counter[str], second: Counter[str], agree: Agreement) -> float:
    """How far a label of each, drawn at random, would agree."""
    pairs = sum(n * m * agree(a, b) for a, n in first.items() for b, m in second.items())
    return pairs / (first.total() * second.total())
