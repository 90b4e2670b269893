"""The judge: is the candidate as good as the champion, worse, or is it too early to say?

Pure: it reads a summary of requests that both versions answered in the same period and returns
judgements. Nine metrics, each with evidence that may be looked at any time (see `sequential` and
`latency`), so that it is asked every fraction of a second without paying for the peeking:

- errors:     share of failed requests. A request that got no answer at all counts against the
              candidate: whatever took the answers away came with it, and a release must not go on
              while requests vanish. Answered requests count, and mirrored ones where the server keeps
              records of them.
- validity:   share of answers without a prediction, or with a confidence that is no probability.
- median, p95, p99: latency of successful answered requests. (A mirrored one waits behind others, so
              its time says nothing.)
- agreement:  how far both answer mirrored requests alike, on average; a copy that fails counts
              as another class.
- class_mix:  shares of the predicted classes; the class that moved furthest speaks.
- confidence: mean of the confidence of the predicted class.
- accuracy:   share of correct answers, where the sender of the traffic knows the labels.

Where requests say which group of users they come from (`serving.segments`), the errors of each are judged
too: one that is proven worse is `bad`, though the whole looks well.

A metric is `bad` if proven worse than its margin allows, `good` if proven within it, else `unknown`.
"Bad" is proven to `alpha` divided by the number of judged metrics (Bonferroni), so that a candidate that
is no worse is ever called bad, by any metric at any of arbitrarily many looks, with probability of at
most `alpha`. "Good" is proven to `beta`: a promotion needs every metric, so a candidate that is worse
than one margin is promoted with probability of at most `beta` (an intersection-union test; Berger 1982).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, nan
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from linnet.config import JudgedMetric, ReleaseConfig
from linnet.deployment.evidence import QUANTILES, RolloutEvidence
from linnet.deployment.findings import describe_metric
from linnet.deployment.first_release import FirstReleaseBaseline, judge_alone
from linnet.deployment.groups import worse_groups
from linnet.deployment.sequential import FREQUENT, RARE, SOME, Counts, difference_evidence, share_evidence
from linnet.records import JudgeVerdict, MetricJudgement

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Budget:
    """Probabilities of error of one metric: of a wrong "bad", and of a wrong "good"."""

    alpha: float
    beta: float

    @classmethod
    def of(cls, config: ReleaseConfig, evidence: RolloutEvidence) -> Budget:
        """The share of each judged metric; all groups of users together have one, too."""
        return cls(config.alpha / (len(config.metrics) + bool(evidence.groups)), config.beta)


def judge(
    evidence: RolloutEvidence,
    config: ReleaseConfig,
    reference: FirstReleaseBaseline | None = None,
    *,
    verdict_only: bool = False,
) -> tuple[MetricJudgement, ...]:
    """Judges all metrics at this moment; takes a few milliseconds at any volume.

    With `reference` there is no champion: absolute limits hold, for errors, p95 and accuracy. `verdict_only`:
    verdicts only, without the bounds and words that cost most of the time.
    """
    if reference is not None:
        return judge_alone(evidence.candidate, evidence.unanswered, config, reference)
    budget = Budget.of(config, evidence)
    found = verdicts(evidence, config)
    groups = worse_groups(evidence.groups, config, budget.alpha)
    if verdict_only:
        return (*(_brief(metric, _word(*found[metric])) for metric in config.metrics), *groups)
    told = (
        describe_metric(metric, evidence, config, (budget.alpha, budget.beta), _word(*found[metric]))
        for metric in config.metrics
    )
    return (*told, *groups)


def verdicts(evidence: RolloutEvidence, config: ReleaseConfig) -> dict[JudgedMetric, tuple[Bools, Bools]]:
    """Per judged metric whether it is proven bad and proven good, in the shape of the evidence."""
    budget = Budget.of(config, evidence)
    ours, theirs = evidence.candidate, evidence.champion
    missed = evidence.unanswered
    found: dict[JudgedMetric, tuple[Bools, Bools]] = {}
    for metric in config.metrics:
        if metric == "errors":
            pair = (ours.failed + missed, ours.requests + missed), (theirs.failed, theirs.requests)
            found[metric] = _increase(*pair, config.max_error_increase, budget)
        elif metric == "validity":
            pair = (ours.invalid, ours.answers), (theirs.invalid, theirs.answers)
            found[metric] = _increase(*pair, config.max_error_increase, budget)
        elif metric in QUANTILES:
            slower, not_slower = evidence.tails[metric].evidence()
            found[metric] = _proven(slower, budget.alpha), _proven(not_slower, budget.beta)
        elif metric == "agreement":
            over, under = share_evidence(evidence.agreed, evidence.mirrored, config.min_agreement, FREQUENT)
            found[metric] = _proven(under, budget.alpha), _proven(over, budget.beta)
        elif metric == "class_mix":
            found[metric] = _class_mix(evidence, config.max_class_shift, budget)
        elif metric == "confidence":
            found[metric] = _confidence(evidence, config.max_confidence_shift, budget)
        else:
            pair = (ours.correct, ours.answered), (theirs.correct, theirs.answered)
            over, under = difference_evidence(*pair, -config.max_accuracy_drop, FREQUENT)
            found[metric] = _proven(under, budget.alpha), _proven(over, budget.beta)
    return found


def rollout_verdict(
    judgements: tuple[MetricJudgement, ...],
    config: ReleaseConfig,
    *,
    seconds: float,
    requests: int,
    proof: bool,
    last: bool,
) -> tuple[JudgeVerdict | None, str]:
    """Verdict on a step after `seconds` and `requests` of the candidate in it; None: hold on.

    Anything bad rolls back at once. An early step goes on after its bake time and its fewest requests
    if nothing is bad: it exposes few requests, too few to prove anything. `proof` demands that every
    metric is good: for leaving the step before 100 % (so that nobody loses the champion to a
    candidate that is not proven), and for the promotion. A step that is not decided at its deadline is
    inconclusive, which never promotes: silence, NaN and dead sources prove nothing.
    """
    bad = [item for item in judgements if item.verdict == "bad"]
    if bad:
        return "rollback", "; ".join(item.evidence for item in bad)
    unproven = [item.metric for item in judgements if item.verdict != "good"]
    waiting = []
    if requests < config.min_requests:
        waiting.append(f"only {requests} of {config.min_requests} candidate requests were seen")
    if proof and unproven:
        waiting.append(f"not proven: {', '.join(unproven)}")
    if waiting:
        if seconds < config.deadline_seconds:
            return None, "; ".join(waiting)
        return "inconclusive", f"after {seconds:.0f} s " + "; ".join(waiting)
    if seconds < min(config.min_step_seconds, config.deadline_seconds):
        return None, "baking"
    if last:
        return "promote", "every metric is proven to be within its margin"
    known = "every metric is proven to be within its margin" if not unproven else "nothing is proven bad"
    return "proceed", f"{known} after {requests} candidate requests"


def _increase(
    ours: tuple[Counts, Counts], theirs: tuple[Counts, Counts], margin: float, budget: Budget
) -> tuple[Bools, Bools]:
    over, within = difference_evidence(ours, theirs, margin, RARE)
    return _proven(over, budget.alpha), _proven(within, budget.beta)


def _class_mix(evidence: RolloutEvidence, margin: float, budget: Budget) -> tuple[Bools, Bools]:
    ours, theirs = evidence.class_counts()
    shape, classes = ours.shape[:-1], ours.shape[-1]
    if classes == 0:
        return np.zeros(shape, bool), np.zeros(shape, bool)
    pair = (ours, ours.sum(-1, keepdims=True)), (theirs, theirs.sum(-1, keepdims=True))
    more, not_more = difference_evidence(*pair, margin, SOME)
    not_less, less = difference_evidence(*pair, -margin, SOME)
    each = budget.alpha / (2 * classes)
    bad = _proven(more, each) | _proven(less, each)
    good = _proven(not_more, budget.beta) & _proven(not_less, budget.beta)
    return np.asarray(bad.any(-1)), np.asarray(good.all(-1))


def _confidence(evidence: RolloutEvidence, margin: float, budget: Budget) -> tuple[Bools, Bools]:
    ours, theirs = evidence.candidate.confidence, evidence.champion.confidence
    (a, b), (c, d) = ours.bounds(budget.alpha / 2), theirs.bounds(budget.alpha / 2)
    bad = (a - d > margin) | (b - c < -margin)
    (a, b), (c, d) = ours.bounds(budget.beta / 2), theirs.bounds(budget.beta / 2)
    return np.asarray(bad), np.asarray((b - c <= margin) & (a - d >= -margin))


def _proven(evidence: Any, level: float) -> Bools:
    proven: Bools = np.asarray(evidence >= -log(level))
    return proven


def _brief(metric: str, word: Literal["good", "bad", "unknown"]) -> MetricJudgement:
    return MetricJudgement(
        metric=metric, champion=nan, candidate=nan, low=-inf, high=inf, margin=nan, verdict=word,
        evidence=metric,
    )  # fmt: skip


def _word(bad: Bools, good: Bools) -> Literal["good", "bad", "unknown"]:
    return "bad" if bad else "good" if good else "unknown"
