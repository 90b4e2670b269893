"""After the promotion: is the new champion proven worse than the last one, by what it serves to everybody?

Pure, and judged by the evidence of the canary's judge, which may be looked at any time (see `sequential`):

- errors, validity: as in a canary, against what the last champion served before it.
- p95: against absolute limits, since traffic and load are of another hour: what the last champion's package
  measured alone (as for a first release), and not less than what it took in production.
- accuracy: on labelled requests. Two comparisons must both prove a loss where both can be made: with the last
  champion's labelled requests (or, where these are few, its evaluation), and with what the last champion
  says of the very same images. Either alone may mislead: the first where the traffic became harder, so that
  going back helps nobody; the second where people send labels of mistakes alone, which are the new
  champion's.

How alike the two answer is no evidence here: a model that learnt something new is meant to answer otherwise.
"Bad" is proven to `alpha` divided by the number of metrics, over all looks; so a champion that is no worse is
taken back with probability of at most `alpha`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from linnet.config import ReleaseConfig
from linnet.deployment.evidence import GroupCounts, VersionEvidence, share
from linnet.deployment.findings import percent
from linnet.deployment.first_release import FirstReleaseBaseline, judge_p95
from linnet.deployment.groups import worse_groups
from linnet.deployment.sequential import FREQUENT, RARE, MeanEvidence, difference_bounds, share_bounds
from linnet.records import MetricJudgement

METRICS = 4
MIN_REFERENCE_LABELS = 100
"""Fewest labels of the last champion's own requests to be compared with; of fewer, its evaluation counts."""
_BLOCK = 20
_P95 = 0.95
Word = Literal["good", "bad", "unknown"]


@dataclass(slots=True)
class BakeEvidence:
    """What is known of a champion since its promotion, and of the last one before it."""

    served: VersionEvidence = field(default_factory=VersionEvidence)
    before: VersionEvidence = field(default_factory=VersionEvidence)
    """What the last champion served; its fields that nobody fills are 0."""
    gains: MeanEvidence = field(default_factory=MeanEvidence.empty)
    """Of labelled images that both answered: (1 + score of the new - score of the last champion) / 2."""
    groups: dict[str, GroupCounts] = field(default_factory=dict)
    """By `segment=value`; the last champion's of before the promotion."""

    def add_pairs(self, new: npt.ArrayLike, last: npt.ArrayLike) -> None:
        """Takes in scores in [0, 1] of both versions on the same labelled images, in the order of arrival."""
        values = (1.0 + np.asarray(new, float) - np.asarray(last, float)) / 2.0
        for start in range(0, len(values), _BLOCK):
            part = values[start : start + _BLOCK]
            self.gains.add(len(part), part.sum(), (part**2).sum())


def judge_bake(
    evidence: BakeEvidence, config: ReleaseConfig, last: FirstReleaseBaseline
) -> tuple[MetricJudgement, ...]:
    """Judges errors, validity, p95 and accuracy; `last`: what the last champion's package says of itself."""
    levels = config.alpha / (METRICS + bool(evidence.groups)), config.beta
    new, before = evidence.served, evidence.before
    errors = _share_judgement(
        "errors", (new.failed, new.requests), (before.failed, before.requests), config, levels
    )
    validity = _share_judgement(
        "validity", (new.invalid, new.answers), (before.invalid, before.answers), config, levels
    )
    tolerated = config.max_latency_ratio * float(np.nan_to_num(before.latencies.quantile(_P95)))
    p95 = judge_p95(new, config, last, levels, tolerated)
    accuracy = _accuracy(evidence, config, last, levels)
    return errors, validity, p95, accuracy, *worse_groups(evidence.groups, config, levels[0])


def bake_verdict(
    judgements: tuple[MetricJudgement, ...], *, over: bool
) -> tuple[Literal["rollback", "kept"] | None, str]:
    """Verdict and reason; None: it is judged on. `over`: no evidence comes any more."""
    bad = [item for item in judgements if item.verdict == "bad"]
    if bad:
        return "rollback", "; ".join(item.evidence for item in bad)
    unseen = [item.metric for item in judgements if item.verdict == "unknown"]
    told = f"; too little was seen to prove {', '.join(unseen)} within the margin" if unseen else ""
    return ("kept" if over else None), f"nothing is proven worse{told}"


def _share_judgement(
    metric: str,
    new: tuple[Any, Any],
    before: tuple[Any, Any],
    config: ReleaseConfig,
    levels: tuple[float, float],
) -> MetricJudgement:
    """A share of mishaps, against what the last champion had; where it served nothing, against none."""
    margin = config.max_error_increase
    bounds = difference_bounds(new, before, levels, RARE) if before[1] else share_bounds(*new, levels, RARE)
    low, high = (float(bound) for bound in bounds)
    word: Word = "bad" if low > margin else "good" if new[1] and high <= margin else "unknown"
    what = "errors" if metric == "errors" else "invalid answers"
    return MetricJudgement(
        metric=metric, champion=share(*before), candidate=share(*new), low=low, high=high, margin=margin,
        verdict=word,
        evidence=f"{what} {percent(*new)} against {percent(*before)}: between {low:+.2%} and {high:+.2%}, "
        f"at most {margin:+.2%} is allowed",
    )  # fmt: skip


def _accuracy(
    evidence: BakeEvidence, config: ReleaseConfig, last: FirstReleaseBaseline, levels: tuple[float, float]
) -> MetricJudgement:
    """The loss of accuracy: bad where every comparison that can be made proves it."""
    margin, new, before = -config.max_accuracy_drop, evidence.served, evidence.before
    found = [_against_labels(new, before, last, levels)]
    pairs = int(evidence.gains.n)
    if pairs:
        found.append(_on_same_images(evidence.gains, levels))
    low, high = min(one.low for one in found), max(one.high for one in found)
    proven = all(one.high < margin for one in found) and _more_mistakes(new, before, levels[0])
    refuted = all(one.low >= margin for one in found)
    word: Word = "unknown" if not new.answered else "bad" if proven else "good" if refuted else "unknown"
    return MetricJudgement(
        metric="accuracy", champion=found[0].last, candidate=share(new.correct, new.answered), low=low,
        high=high, margin=margin, verdict=word,
        evidence=f"accuracy {percent(new.correct, new.answered)} labelled: "
        + ", and ".join(one.told for one in found) + f"; at most {-margin:.2%} may be lost",
    )  # fmt: skip


def _more_mistakes(new: VersionEvidence, before: VersionEvidence, alpha: float) -> bool:
    """Whether more of its answers are known to be wrong than of the last champion's; True: nobody can say.

    Where people send labels of mistakes alone, all labelled answers are wrong, of any version.
    """
    if before.answered >= MIN_REFERENCE_LABELS or not before.answers:
        return True
    ours, theirs = ((side.answered - side.correct, side.answers) for side in (new, before))
    return float(difference_bounds(ours, theirs, (alpha, alpha), RARE)[0]) > 0.0


@dataclass(frozen=True, slots=True)
class _Change:
    """Bounds on accuracy gained since the last champion: proven, at the levels of bad and of good."""

    last: float
    low: float
    high: float
    told: str


def _against_labels(
    new: VersionEvidence, before: VersionEvidence, last: FirstReleaseBaseline, levels: tuple[float, float]
) -> _Change:
    ours = new.correct, new.answered
    if before.answered >= MIN_REFERENCE_LABELS:
        theirs = before.correct, before.answered
        low, high = (float(bound) for bound in difference_bounds(ours, theirs, levels[::-1], FREQUENT))
        told = f"{low:+.2%} to {high:+.2%} against the last champion's {percent(*theirs)}"
        return _Change(share(*theirs), low, high, told)
    least, most = (float(bound) for bound in share_bounds(*ours, levels[::-1], FREQUENT))
    low, high = least - last.accuracy, most - last.accuracy
    told = f"{low:+.2%} to {high:+.2%} against the last champion's evaluation, {last.accuracy:.2%}"
    return _Change(last.accuracy, low, high, told)


def _on_same_images(gains: MeanEvidence, levels: tuple[float, float]) -> _Change:
    ends = gains.bounds(2 * levels[1])[0], gains.bounds(2 * levels[0])[1]  # a side each
    low, high = (2.0 * float(end) - 1.0 for end in ends)
    told = f"{low:+.2%} to {high:+.2%} on {int(gains.n):,} of these images, which the last champion saw too"
    return _Change(float("nan"), low, high, told)
