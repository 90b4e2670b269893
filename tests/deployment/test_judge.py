from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from linnet.config import ReleaseConfig
from linnet.deployment.evidence import Evidence, Outcome
from linnet.deployment.judge import Reference, decide, judge
from linnet.deployment.simulated import Behaviour, SimulatedTarget
from linnet.records import ServedRecord

CONFIG = ReleaseConfig()


def served(version: str, count: int, **fields: Any) -> list[ServedRecord]:
    values = {"at": 0.0, "ok": True, "latency_ms": 2.0, "predicted": "a", "confidence": 0.9, "agrees": None}
    return [ServedRecord(version=version, **{**values, **fields}) for _ in range(count)]


def gathered(records: Iterable[ServedRecord], outcomes: Iterable[Outcome] = ()) -> Evidence:
    evidence = Evidence("1", "2")
    evidence.add(records)
    evidence.add_outcomes(outcomes)
    return evidence


def verdicts(evidence: Evidence, reference: Reference | None = None) -> dict[str, str]:
    return {item.metric: item.verdict for item in judge(evidence, CONFIG, reference)}


def labelled(version: str, count: int, correct: int) -> list[Outcome]:
    return [Outcome(version, index < correct) for index in range(count)]


def test_judge_without_requests_knows_nothing() -> None:
    assert set(verdicts(gathered([])).values()) == {"unknown"}
    assert set(verdicts(gathered([]), Reference(2.0, 0.9)).values()) == {"unknown"}


def test_judge_with_much_equal_traffic_finds_all_good() -> None:
    records = served("1", 2000, agrees=True) + served("2", 2000)
    outcomes = labelled("1", 2000, 1880) + labelled("2", 2000, 1880)
    assert set(verdicts(gathered(records, outcomes)).values()) == {"good"}


def test_judge_with_a_silent_champion_proves_nothing() -> None:
    found = verdicts(gathered(served("2", 5000), labelled("2", 5000, 4700)))
    assert found["median"] == found["p95"] == found["agreement"] == found["accuracy"] == "unknown"


def test_judge_with_a_silent_candidate_proves_nothing() -> None:
    found = verdicts(gathered(served("1", 5000), labelled("1", 5000, 4700)))
    assert set(found.values()) == {"unknown"}


@pytest.mark.parametrize(
    "fields",
    [
        {"ok": False},
        {"predicted": None},
        {"confidence": float("nan")},
        {"confidence": float("inf")},
        {"latency_ms": float("nan")},
    ],
)
def test_judge_with_invalid_answers_finds_errors_bad(fields: dict[str, Any]) -> None:
    records = served("1", 1000) + served("2", 970) + served("2", 30, **fields)
    assert verdicts(gathered(records))["errors"] == "bad"


def test_judge_with_requests_that_nobody_answered_blames_the_candidate() -> None:
    records = served("1", 1000) + served("2", 1000)
    assert verdicts(gathered(records, [Outcome(None, None)] * 40))["errors"] == "bad"


def test_judge_with_the_same_errors_on_both_sides_does_not_blame_the_candidate() -> None:
    failing = [record for version in ("1", "2") for record in served(version, 50, ok=False)]
    records = served("1", 950) + served("2", 950) + failing
    assert verdicts(gathered(records))["errors"] == "unknown"


def test_judge_with_a_mirrored_failure_counts_it_but_not_its_latency() -> None:
    shadows = served("2", 30, ok=False, shadow=True) + served("2", 970, shadow=True, latency_ms=900.0)
    evidence = gathered(served("1", 1000, agrees=True) + shadows)
    assert verdicts(evidence)["errors"] == "bad"
    assert evidence.candidate.latencies == []
    assert evidence.candidate.seen == 1000


def test_judge_with_ten_times_the_latency_finds_it_bad() -> None:
    records = served("1", 300, latency_ms=2.0) + served("2", 200, latency_ms=20.0)
    found = verdicts(gathered(records))
    assert (found["median"], found["p95"]) == ("bad", "bad")


def test_judge_with_a_tail_that_is_slow_finds_only_the_p95_bad() -> None:
    slow = served("2", 180, latency_ms=2.0) + served("2", 40, latency_ms=40.0)
    found = verdicts(gathered(served("1", 400, latency_ms=2.0) + slow))
    assert (found["median"], found["p95"]) == ("good", "bad")


def test_judge_with_a_difference_below_the_floor_does_not_find_it_bad() -> None:
    records = served("1", 1000, latency_ms=0.2) + served("2", 1000, latency_ms=0.9)
    found = verdicts(gathered(records))
    assert (found["median"], found["p95"]) == ("good", "good")


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
    reference = Reference(latency_p95_ms=2.0, accuracy=0.94)
    good = gathered(served("2", 2000), labelled("2", 2000, 1880))
    assert set(verdicts(good, reference).values()) == {"good"}
    permuted = gathered(served("2", 100), labelled("2", 100, 10))
    assert verdicts(permuted, reference)["accuracy"] == "bad"
    slow = gathered(served("2", 300, latency_ms=80.0))
    assert verdicts(slow, reference)["p95"] == "bad"
    failing = gathered(served("2", 500) + served("2", 20, ok=False))
    assert verdicts(failing, reference)["errors"] == "bad"


def decision(evidence: Evidence, **values: Any) -> str | None:
    situation = {"seconds": 5.0, "requests": 100, "proof": False, "last": False, **values}
    return decide(judge(evidence, CONFIG), CONFIG, **situation)[0]


def proven() -> Evidence:
    records = served("1", 2000, agrees=True) + served("2", 2000)
    return gathered(records, labelled("1", 2000, 1880) + labelled("2", 2000, 1880))


def test_decide_on_silence_holds_on_and_never_promotes() -> None:
    silence = gathered([])
    for last in (False, True):
        assert decision(silence, requests=0, proof=last, last=last) is None
        assert decision(silence, requests=0, proof=last, last=last, seconds=60.0) == "inconclusive"


def test_decide_on_an_early_step_goes_on_without_proof_but_not_without_requests() -> None:
    few = gathered(served("1", 300) + served("2", 40))
    assert decision(few) == "proceed"
    assert decision(few, requests=29) is None
    assert decision(few, seconds=1.9) is None


def test_decide_before_full_traffic_demands_proof() -> None:
    few = gathered(served("1", 300) + served("2", 40))
    assert decision(few, proof=True) is None
    assert decision(few, proof=True, seconds=61.0) == "inconclusive"
    assert decision(proven(), proof=True) == "proceed"


def test_decide_at_the_last_step_promotes_what_is_proven() -> None:
    assert decision(proven(), proof=True, last=True) == "promote"
    assert decision(proven(), proof=True, last=True, requests=0) is None


def test_decide_on_anything_bad_rolls_back_at_once() -> None:
    evidence = proven()
    evidence.add_outcomes([Outcome(None, None)] * 100)
    assert decision(evidence, proof=True, last=True, seconds=0.1, requests=1) == "rollback"


def simulate(behaviour: Behaviour, config: ReleaseConfig, seed: int) -> tuple[str, int]:
    """One rollout, looked at every 50 requests: verdict and the requests it took, champion's included."""
    target = SimulatedTarget("1", {"1": Behaviour(), "2": behaviour}, seed=seed)
    target.load("2", Path())
    evidence, total = Evidence("1", "2"), 0
    for number, percent in enumerate(config.steps):
        target.route("2", percent, config.mirror)
        last, before, sent = number == len(config.steps) - 1, evidence.candidate.seen, 0
        verdict: str | None = None
        while verdict is None:
            _, records = target.records(0)
            evidence.add(records)
            evidence.add_outcomes(target.outcomes())
            sent += len(records)
            verdict, _ = decide(
                judge(evidence, config),
                config,
                seconds=sent / config.rate,
                requests=evidence.candidate.seen - before,
                proof=last or config.steps[number + 1] == 100,
                last=last,
            )
        total += sent
        if verdict != "proceed":
            return verdict, total
    raise AssertionError("the last step never proceeds")


def simulation(behaviour: Behaviour, trials: int, config: ReleaseConfig = CONFIG) -> Counter[str]:
    results = [simulate(behaviour, config, seed) for seed in range(trials)]
    median = sorted(total for _, total in results)[trials // 2]
    counts = Counter(verdict for verdict, _ in results)
    print(f"\n{behaviour}: {dict(counts)} of {trials}, median {median} requests to the verdict")
    return counts


@pytest.mark.parametrize(
    "trials", [pytest.param(60, id="short"), pytest.param(2000, marks=pytest.mark.proof)]
)
def test_simulated_identical_models_are_promoted_and_rarely_rolled_back(trials: int) -> None:
    counts = simulation(Behaviour(), trials)
    assert counts["rollback"] <= CONFIG.alpha * trials
    assert counts["promote"] >= 0.98 * trials


@pytest.mark.parametrize(
    "trials", [pytest.param(20, id="short"), pytest.param(1000, marks=pytest.mark.proof)]
)
@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(error_rate=0.02),
        Behaviour(slowness=10.0),
        Behaviour(agreement=0.02, accuracy=0.02),
        Behaviour(accuracy=0.8, agreement=0.85),
    ],
    ids=["two points of errors", "ten times slower", "permuted labels", "less accurate"],
)
def test_simulated_bad_candidate_is_rolled_back(behaviour: Behaviour, trials: int) -> None:
    counts = simulation(behaviour, trials)
    assert counts["rollback"] + counts["inconclusive"] >= 0.99 * trials
    assert counts["rollback"] >= 0.95 * trials


def test_simulated_identical_models_under_a_strict_alpha_take_longer() -> None:
    quick, strict = (
        sum(simulate(Behaviour(), ReleaseConfig(alpha=alpha), seed)[1] for seed in range(5))
        for alpha in (0.2, 0.001)
    )
    assert strict > quick
