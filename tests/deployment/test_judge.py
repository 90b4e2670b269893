from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from linnet.config import ReleaseConfig
from linnet.deployment.evidence import LabeledOutcome, RolloutEvidence
from linnet.deployment.false_positive_study import (
    INCONCLUSIVE,
    LATENCY,
    PROMOTE,
    ROLLBACK,
    StudyResult,
    Version,
    simulate,
)
from linnet.deployment.first_release import FirstReleaseBaseline
from linnet.deployment.judge import judge, rollout_verdict
from linnet.records import ServedRecord

CONFIG = ReleaseConfig()


def served(version: str, count: int, **fields: Any) -> list[ServedRecord]:
    values = {"at": 0.0, "ok": True, "latency_ms": 2.0, "predicted": "a", "confidence": 0.9, "agrees": None}
    return [ServedRecord(version=version, **{**values, **fields}) for _ in range(count)]


def gathered(records: Iterable[ServedRecord], outcomes: Iterable[LabeledOutcome] = ()) -> RolloutEvidence:
    evidence = RolloutEvidence("1", "2", CONFIG)
    evidence.add(mixed(records))
    evidence.add_outcomes(outcomes)
    return evidence


def mixed(records: Iterable[ServedRecord]) -> list[ServedRecord]:
    """The records in a random order, as routed traffic has it."""
    shuffled = list(records)
    random.Random(1).shuffle(shuffled)
    return shuffled


def verdicts(evidence: RolloutEvidence, reference: FirstReleaseBaseline | None = None) -> dict[str, str]:
    return {item.metric: item.verdict for item in judge(evidence, CONFIG, reference)}


def labelled(version: str, count: int, correct: int) -> list[LabeledOutcome]:
    return [LabeledOutcome(version, index < correct) for index in range(count)]


def test_judge_without_requests_knows_nothing() -> None:
    assert set(verdicts(gathered([])).values()) == {"unknown"}
    assert set(verdicts(gathered([]), FirstReleaseBaseline(2.0, 0.9, 1000)).values()) == {"unknown"}


def test_judge_with_much_equal_traffic_finds_all_good() -> None:
    records = served("1", 2000, agrees=True) + served("2", 2000)
    outcomes = labelled("1", 2000, 1880) + labelled("2", 2000, 1880)
    assert set(verdicts(gathered(records, outcomes)).values()) == {"good"}


def test_judge_with_a_silent_champion_proves_nothing() -> None:
    found = verdicts(gathered(served("2", 5000), labelled("2", 5000, 4700)))
    assert set(found.values()) == {"unknown"}


def test_judge_with_a_silent_candidate_proves_nothing() -> None:
    found = verdicts(gathered(served("1", 5000), labelled("1", 5000, 4700)))
    assert set(found.values()) == {"unknown"}


@pytest.mark.parametrize(
    ("fields", "metric"),
    [
        ({"ok": False}, "errors"),
        ({"latency_ms": float("nan")}, "errors"),
        ({"predicted": None}, "validity"),
        ({"confidence": float("nan")}, "validity"),
        ({"confidence": float("inf")}, "validity"),
        ({"confidence": 1.5}, "validity"),
        ({"confidence": -0.1}, "validity"),
    ],
)
def test_judge_with_invalid_answers_finds_them_bad(fields: dict[str, Any], metric: str) -> None:
    records = served("1", 1000) + served("2", 970) + served("2", 30, **fields)
    assert verdicts(gathered(records))[metric] == "bad"


def test_judge_with_requests_that_nobody_answered_blames_the_candidate() -> None:
    records = served("1", 1000) + served("2", 1000)
    assert verdicts(gathered(records, [LabeledOutcome(None, None)] * 40))["errors"] == "bad"


def test_judge_with_the_same_errors_on_both_sides_does_not_blame_the_candidate() -> None:
    failing = [record for version in ("1", "2") for record in served(version, 50, ok=False)]
    records = served("1", 950) + served("2", 950) + failing
    assert verdicts(gathered(records))["errors"] == "unknown"


def test_judge_with_a_mirrored_failure_counts_it_but_not_its_latency() -> None:
    shadows = served("2", 30, ok=False, shadow=True) + served("2", 970, shadow=True, latency_ms=900.0)
    evidence = gathered(served("1", 1000, agrees=True) + shadows)
    assert verdicts(evidence)["errors"] == "bad"
    assert evidence.candidate.latencies.total() == 0
    assert evidence.candidate.seen == 1000


LATENCIES = ("median", "p95", "p99")


def latencies(version: str, count: int, factor: float = 1.0, seed: int = 0) -> list[ServedRecord]:
    """Answers with log-normal latencies around 10 ms."""
    draws = np.random.default_rng(seed).lognormal(np.log(10.0), 0.5, count) * factor
    return [record for draw in draws for record in served(version, 1, latency_ms=float(draw))]


def test_judge_with_ten_times_the_latency_finds_it_bad() -> None:
    found = verdicts(gathered(latencies("1", 800) + latencies("2", 800, 10.0, seed=1)))
    assert found["median"] == "bad"


def test_judge_with_a_tail_that_is_slow_blames_the_tail_and_not_the_median() -> None:
    ordinary, slow = latencies("2", 3600, seed=1), latencies("2", 400, 10.0, seed=2)
    found = verdicts(gathered(latencies("1", 4000) + ordinary + slow))
    assert [found[metric] == "bad" for metric in LATENCIES] == [False, True, True]


def test_judge_with_a_difference_below_the_floor_does_not_find_it_bad() -> None:
    records = served("1", 4000, latency_ms=0.2) + served("2", 4000, latency_ms=0.9)
    assert [verdicts(gathered(records))[metric] for metric in LATENCIES] == ["good"] * 3


def test_judge_on_a_machine_whose_load_comes_in_bursts_blames_nobody() -> None:
    """One request in four is slow, in long runs, and meets both versions alike."""
    evidence = RolloutEvidence("1", "2", CONFIG)
    rng = np.random.default_rng(4)
    ever = set()
    for burst in range(60):
        slow = 10.0 if burst % 4 == 3 else 1.0
        records = [
            record
            for value, ours in zip(rng.lognormal(2, 0.5, 200) * slow, rng.random(200) < 0.5, strict=True)
            for record in served("2" if ours else "1", 1, latency_ms=float(value))
        ]
        evidence.add(records)
        ever |= {item.metric for item in judge(evidence, CONFIG) if item.verdict == "bad"}
    assert not ever


def test_judge_bounds_of_latency_hold_the_ratio_and_narrow() -> None:
    records = gathered(latencies("1", 6000) + latencies("2", 6000, 1.5, seed=1))
    (median,) = [item for item in judge(records, CONFIG) if item.metric == "median"]
    assert 1.15 < median.low < 1.5 < median.high < 1.9
    assert median.verdict == "bad"


def test_judge_with_predictions_that_moved_to_another_class_finds_the_class_mix_bad() -> None:
    ours = served("2", 700) + served("2", 300, predicted="b")
    records = served("1", 950) + served("1", 50, predicted="b") + ours
    found = {item.metric: item for item in judge(gathered(records), CONFIG)}
    assert found["class_mix"].verdict == "bad"
    assert "30.0% of 1,000 predictions are b against 5.0%" in found["class_mix"].evidence or (
        "70.0% of 1,000 predictions are a against 95.0%" in found["class_mix"].evidence
    )


@pytest.mark.parametrize("confidence", [0.6, 1.0])
def test_judge_with_confidence_that_shifted_finds_it_bad(confidence: float) -> None:
    records = served("1", 2000, confidence=0.8) + served("2", 2000, confidence=confidence)
    assert verdicts(gathered(records))["confidence"] == "bad"
    same = served("1", 2000, confidence=0.8) + served("2", 2000, confidence=0.82)
    assert verdicts(gathered(same))["confidence"] == "good"


def test_judge_asked_for_few_metrics_gives_each_a_larger_share_of_the_budget() -> None:
    config = CONFIG.model_copy(update={"metrics": ("errors", "p99")})
    evidence = gathered(served("1", 500) + served("2", 500))
    assert [item.metric for item in judge(evidence, config)] == ["errors", "p99"]
    records = served("1", 200) + served("2", 190) + served("2", 10, ok=False)
    assert verdicts(gathered(records))["errors"] == "unknown"
    wide = config.model_copy(update={"metrics": ("errors",), "alpha": 0.2})
    assert judge(gathered(records), wide)[0].verdict == "bad"


def test_judge_in_brief_says_the_same() -> None:
    evidence = gathered(latencies("1", 900) + latencies("2", 900, 3.0, seed=1))
    verdict_only, full = (
        judge(evidence, CONFIG, verdict_only=verdict_only) for verdict_only in (True, False)
    )
    assert [(item.metric, item.verdict) for item in verdict_only] == [
        (item.metric, item.verdict) for item in full
    ]


def test_evidence_that_was_written_down_and_read_says_the_same() -> None:
    first = gathered(
        latencies("1", 900) + latencies("2", 900, 1.4, seed=1) + served("1", 40, agrees=True),
        labelled("1", 100, 90),
    )
    again = RolloutEvidence("1", "2", CONFIG)
    again.restore(json.loads(json.dumps(first.state())))
    for evidence in (first, again):
        evidence.add(mixed(latencies("1", 300, seed=7) + latencies("2", 300, 1.4, seed=8)))
    assert judge(again, CONFIG) == judge(first, CONFIG)
    for broken in ({}, {"unanswered": 1}, {**first.state(), "tails": {}}):
        with pytest.raises(ValueError, match="not the evidence"):
            RolloutEvidence("1", "2", CONFIG).restore(broken)


def test_judge_with_other_answers_finds_agreement_bad() -> None:
    records = served("1", 30, agrees=False)
    assert verdicts(gathered(records))["agreement"] == "bad"


def test_judge_with_a_pair_recorded_on_both_sides_counts_it_once() -> None:
    evidence = gathered(served("1", 10, agrees=True) + served("2", 10, agrees=True, shadow=True))
    assert (evidence.mirrored, evidence.candidate.seen, evidence.champion.seen) == (10, 10, 10)


def test_judge_with_lower_accuracy_finds_it_bad() -> None:
    outcomes = labelled("1", 1000, 940) + labelled("2", 1000, 800)
    assert verdicts(gathered([], outcomes))["accuracy"] == "bad"


def test_judge_of_a_first_candidate_holds_it_against_absolute_limits() -> None:
    reference = FirstReleaseBaseline(latency_p95_ms=2.0, accuracy=0.94, samples=1000)
    good = gathered(served("2", 2000), labelled("2", 2000, 1880))
    assert set(verdicts(good, reference).values()) == {"good"}
    permuted = gathered(served("2", 100), labelled("2", 100, 10))
    assert verdicts(permuted, reference)["accuracy"] == "bad"
    slow = gathered(served("2", 300, latency_ms=80.0))
    assert verdicts(slow, reference)["p95"] == "bad"
    failing = gathered(served("2", 500) + served("2", 20, ok=False))
    assert verdicts(failing, reference)["errors"] == "bad"


def decision(evidence: RolloutEvidence, **values: Any) -> str | None:
    situation = {"seconds": 5.0, "requests": 100, "proof": False, "last": False, **values}
    return rollout_verdict(judge(evidence, CONFIG), CONFIG, **situation)[0]


def proven() -> RolloutEvidence:
    records = served("1", 2000, agrees=True) + served("2", 2000)  # all equal: soon proven
    return gathered(records, labelled("1", 2000, 1880) + labelled("2", 2000, 1880))


def test_decide_on_silence_holds_on_and_never_promotes() -> None:
    silence = gathered([])
    for last in (False, True):
        assert decision(silence, requests=0, proof=last, last=last) is None
        assert decision(silence, requests=0, proof=last, last=last, seconds=300.0) == "inconclusive"


def test_decide_on_an_early_step_goes_on_without_proof_but_not_without_requests() -> None:
    few = gathered(served("1", 300) + served("2", 40))
    assert decision(few) == "proceed"
    assert decision(few, requests=29) is None
    assert decision(few, seconds=1.9) is None


def test_decide_before_full_traffic_demands_proof() -> None:
    few = gathered(served("1", 300) + served("2", 40))
    assert decision(few, proof=True) is None
    assert decision(few, proof=True, seconds=301.0) == "inconclusive"
    assert decision(proven(), proof=True) == "proceed"


def test_decide_at_the_last_step_promotes_what_is_proven() -> None:
    assert decision(proven(), proof=True, last=True) == "promote"
    assert decision(proven(), proof=True, last=True, requests=0) is None


def test_decide_on_anything_bad_rolls_back_at_once() -> None:
    evidence = proven()
    evidence.add_outcomes([LabeledOutcome(None, None)] * 100)
    assert decision(evidence, proof=True, last=True, seconds=0.1, requests=1) == "rollback"


SIMULATED = [pytest.param(20, id="short"), pytest.param(2000, id="full", marks=pytest.mark.proof)]


def simulation(trials: int, candidate: Version, champion: Version = Version()) -> StudyResult:  # noqa: B008
    result = simulate(champion, candidate, CONFIG, trials, seed=11)
    print(
        f"\n{candidate}: promoted {result.share(PROMOTE):.2%}, rolled back {result.share(ROLLBACK):.2%}, "
        f"inconclusive {result.share(INCONCLUSIVE):.2%} of {trials}, median {result.median} requests"
    )
    return result


@pytest.mark.parametrize("trials", SIMULATED)
def test_simulated_identical_models_are_promoted_and_rarely_rolled_back(trials: int) -> None:
    result = simulation(trials, Version(error_rate=0.001), Version(error_rate=0.001))
    assert result.share(ROLLBACK) <= CONFIG.alpha
    assert result.share(PROMOTE) >= 0.98


@pytest.mark.parametrize("trials", SIMULATED)
@pytest.mark.parametrize(
    "candidate",
    [
        Version(error_rate=0.02),
        Version(latency=lambda z: 1.3 * LATENCY(z)),
        Version(latency=lambda z: np.where(z > 1.645, 1.3, 1.0) * LATENCY(z)),
    ],
    ids=["two points of errors", "all latencies 30 % longer", "the slowest 5 % are 30 % longer"],
)
def test_simulated_bad_candidate_is_rolled_back(candidate: Version, trials: int) -> None:
    if trials < 2000 and candidate.error_rate == 0:
        trials = 15  # these take ten thousand requests each
    assert simulation(trials, candidate).share(ROLLBACK) >= 0.99


@pytest.mark.parametrize("trials", SIMULATED)
@pytest.mark.parametrize(
    "candidate",
    [
        Version(invalid_rate=0.02),
        Version(agreement=0.02, accuracy=0.02),
        Version(accuracy=0.8, agreement=0.85),
        Version(moved=0.14),
        Version(confidence=0.7),
    ],
    ids=["invalid predictions", "permuted labels", "less accurate", "another class mix", "less confident"],
)
def test_simulated_candidate_that_answers_badly_is_rolled_back(candidate: Version, trials: int) -> None:
    assert simulation(trials, candidate).share(ROLLBACK) >= 0.99


@pytest.mark.parametrize("trials", SIMULATED)
def test_simulated_identical_models_under_bursts_of_load_are_rarely_rolled_back(trials: int) -> None:
    """The load of the machine jumps every few seconds, and triples latencies."""

    def load(look: int, rng: np.random.Generator) -> float:
        return 3.0 if (look // 12) % 3 == 0 else 1.0

    result = simulate(Version(), Version(), CONFIG, trials // 4, load=load)
    assert result.share(ROLLBACK) <= CONFIG.alpha
    assert result.share(PROMOTE) >= 0.95


def test_simulated_identical_models_under_a_strict_beta_take_longer() -> None:
    quick, strict = (
        simulate(Version(), Version(), ReleaseConfig(beta=beta), 8).median for beta in (0.2, 0.0001)
    )
    assert strict > quick
