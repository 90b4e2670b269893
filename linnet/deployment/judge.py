"""The judge: is the candidate as good as the champion, worse, or is it too early to say?

Pure: it reads records of requests that both versions answered in the same period and returns
judgements. Five metrics, each a share or a quantile with bounds that may be looked at any time
(see `sequential`), so that it is asked every fraction of a second without paying for the peeking:

- errors:    share of failed requests; a missing, NaN or infinite prediction is a failure, and so is
             a request that got no answer at all (counted against the candidate: whatever took the
             answers away came with it, and a release must not go on while requests vanish).
             Answered requests count, and mirrored ones where the server keeps records of them.
- median, p95: quantiles of the latency of successful answered requests, as a ratio. (A mirrored one
             waits behind others, so its time says nothing.) The p95 is what users feel, the median what
             a busy machine cannot blur.
- agreement: share of mirrored requests on which both name the same class; a copy that fails counts
             as another class.
- accuracy:  share of correct answers, where the sender of the traffic knows the labels.

A metric is `bad` if proven worse than its margin allows, `good` if proven within it, else `unknown`.
The error budget `alpha` is split evenly over the metrics (Bonferroni) and within a metric over the
two versions, so the probability that a candidate that is no worse is ever called bad, at any of
arbitrarily many looks, is at most `alpha`, as long as the requests of a version are exchangeable.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from linnet.config import ReleaseConfig
from linnet.deployment.evidence import Evidence, Tally
from linnet.deployment.sequential import FREQUENT, RARE, Prior, quantile_bounds, share_bounds
from linnet.records import JudgeVerdict, MetricJudgement

Metric = Literal["errors", "median", "p95", "agreement", "accuracy"]
_QUANTILES: dict[Metric, float] = {"median": 0.5, "p95": 0.95}


@dataclass(frozen=True, slots=True)
class Reference:
    """What a first candidate is held against, as there is no champion."""

    latency_p95_ms: float
    accuracy: float


def judge(
    evidence: Evidence, config: ReleaseConfig, reference: Reference | None = None
) -> tuple[MetricJudgement, ...]:
    """Judges all metrics at this moment; cheap (well under a millisecond at any volume).

    With `reference` there is no champion: absolute limits hold and agreement is not judged.
    """
    if reference is not None:
        return _judge_alone(evidence.candidate, evidence.unanswered, config, reference)
    alpha = config.alpha / 10  # five metrics, two versions
    return (
        _errors(evidence, config.max_error_increase, alpha),
        _latency("median", evidence, config.max_latency_ratio, config.median_floor_ms, alpha),
        _latency("p95", evidence, config.max_latency_ratio, config.latency_floor_ms, alpha),
        _agreement(evidence, config.min_agreement, 2 * alpha),
        _accuracy(evidence, config.max_accuracy_drop, alpha),
    )


def decide(
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
    if seconds < min(config.bake_seconds, config.deadline_seconds):
        return None, "baking"
    if last:
        return "promote", "every metric is proven to be within its margin"
    known = "every metric is proven to be within its margin" if not unproven else "nothing is proven bad"
    return "proceed", f"{known} after {requests} candidate requests"


def _errors(evidence: Evidence, margin: float, alpha: float) -> MetricJudgement:
    champion, candidate = evidence.champion, evidence.candidate
    failed, trials = candidate.failed + evidence.unanswered, candidate.requests + evidence.unanswered
    ours = share_bounds(failed, trials, alpha, RARE)
    theirs = share_bounds(champion.failed, champion.requests, alpha, RARE)
    low, high = ours[0] - theirs[1], ours[1] - theirs[0]
    text = f"errors {_percent(failed, trials)} against {_percent(champion.failed, champion.requests)}"
    return _judgement(
        "errors",
        (_share(champion.failed, champion.requests), _share(failed, trials)),
        (low, high),
        margin,
        bad=low > margin,
        good=high <= margin,
        evidence=f"{text}: between {low:+.2%} and {high:+.2%} more, at most {margin:+.2%} is allowed",
    )


def _latency(metric: Metric, evidence: Evidence, ratio: float, floor: float, alpha: float) -> MetricJudgement:
    ours, theirs, quantile = evidence.candidate.latencies, evidence.champion.latencies, _QUANTILES[metric]
    low, high = quantile_bounds(ours, quantile, alpha)
    least, most = quantile_bounds(theirs, quantile, alpha)
    here, there = _quantile(ours, quantile), _quantile(theirs, quantile)
    bounds = (max(low, 0.0) / most if most > 0 else 0.0, high / least if least > 0 else inf)
    text = f"{metric} latency {here:.1f} ms against {there:.1f} ms"
    return _judgement(
        metric,
        (there, here),
        bounds,
        ratio,
        bad=low > max(ratio * most, most + floor),
        good=least > 0 and high <= max(ratio * least, least + floor),
        evidence=f"{text}: ratio between {bounds[0]:.2f} and {bounds[1]:.2f}, "
        f"at most {ratio:.2f} or {floor:g} ms more is allowed",
    )


def _agreement(evidence: Evidence, floor: float, alpha: float) -> MetricJudgement:
    low, high = share_bounds(evidence.agreed, evidence.mirrored, alpha, FREQUENT)
    text = f"agreement {_percent(evidence.agreed, evidence.mirrored)}: between {low:.1%} and {high:.1%}"
    return _judgement(
        "agreement",
        (1.0, _share(evidence.agreed, evidence.mirrored)),
        (low, high),
        floor,
        bad=high < floor,
        good=low >= floor,
        evidence=f"{text}, at least {floor:.0%} is needed",
    )


def _accuracy(evidence: Evidence, margin: float, alpha: float) -> MetricJudgement:
    champion, candidate = evidence.champion, evidence.candidate
    ours = share_bounds(candidate.correct, candidate.answered, alpha, FREQUENT)
    theirs = share_bounds(champion.correct, champion.answered, alpha, FREQUENT)
    low, high = ours[0] - theirs[1], ours[1] - theirs[0]
    now, then = _percent(candidate.correct, candidate.answered), _percent(champion.correct, champion.answered)
    return _judgement(
        "accuracy",
        (_share(champion.correct, champion.answered), _share(candidate.correct, candidate.answered)),
        (low, high),
        -margin,
        bad=high < -margin,
        good=low >= -margin,
        evidence=f"accuracy {now} against {then}: between {low:+.1%} and {high:+.1%}, "
        f"at least {-margin:+.1%} is needed",
    )


def _judge_alone(
    tally: Tally, unanswered: int, config: ReleaseConfig, reference: Reference
) -> tuple[MetricJudgement, ...]:
    alpha = config.alpha / 3
    failed, trials = tally.failed + unanswered, tally.requests + unanswered
    limit, worst = (
        config.max_error_increase,
        max(config.max_latency_ratio * reference.latency_p95_ms, config.first_latency_p95_ms),
    )
    floor = max(reference.accuracy - config.max_accuracy_drop, 0.0)
    low, high = quantile_bounds(tally.latencies, _QUANTILES["p95"], alpha)
    slow = _quantile(tally.latencies, _QUANTILES["p95"])
    return (
        _absolute("errors", 0.0, (failed, trials), RARE, alpha, limit, upper=True),
        _judgement(
            "p95",
            (reference.latency_p95_ms, slow),
            (max(low, 0.0), high),
            worst,
            bad=low > worst,
            good=high <= worst,
            evidence=f"p95 latency {slow:.1f} ms: between {max(low, 0.0):.1f} and {high:.1f} ms, "
            f"at most {worst:.1f} ms is allowed",
        ),
        _absolute("accuracy", reference.accuracy, (tally.correct, tally.answered), FREQUENT, alpha, floor),
    )


def _absolute(
    metric: Metric,
    expected: float,
    counts: tuple[int, int],
    prior: Prior,
    alpha: float,
    limit: float,
    *,
    upper: bool = False,
) -> MetricJudgement:
    """A share against a limit that stands for itself: at most (`upper`) or at least `limit`."""
    low, high = share_bounds(*counts, alpha, prior)
    need = "at most" if upper else "at least"
    return _judgement(
        metric,
        (expected, _share(*counts)),
        (low, high),
        limit,
        bad=low > limit if upper else high < limit,
        good=high <= limit if upper else low >= limit,
        evidence=f"{metric} {_percent(*counts)}: between {low:.2%} and {high:.2%}, "
        f"{need} {limit:.2%} is needed",
    )


def _judgement(
    metric: Metric,
    values: tuple[float, float],
    bounds: tuple[float, float],
    margin: float,
    *,
    bad: bool,
    good: bool,
    evidence: str,
) -> MetricJudgement:
    verdict: Literal["good", "bad", "unknown"] = "bad" if bad else "good" if good else "unknown"
    champion, candidate = values
    low, high = bounds
    return MetricJudgement(
        metric=metric,
        champion=champion,
        candidate=candidate,
        low=low,
        high=high,
        margin=margin,
        verdict=verdict,
        evidence=evidence,
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.2%} of {whole}" if whole else "unknown"


def _quantile(ordered: list[float], quantile: float) -> float:
    """The empirical quantile of sorted values; NaN if there are none."""
    return ordered[min(int(quantile * len(ordered)), len(ordered) - 1)] if ordered else float("nan")
