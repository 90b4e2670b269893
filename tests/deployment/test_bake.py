"""The judge after a promotion: what begins later is taken back, and what is sound stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from linnet.config import ReleaseConfig
from linnet.deployment.bake import BakeEvidence, bake_verdict, judge_bake
from linnet.deployment.evidence import VersionEvidence
from linnet.deployment.first_release import FirstReleaseBaseline

CONFIG = ReleaseConfig()
LAST = FirstReleaseBaseline(latency_p95_ms=4.0, accuracy=0.93, samples=10_000)
LOOKS, PER_LOOK, BEGINS = 12, 1500, 3
"""Looks of a day, images each, and the look at which what goes wrong begins."""


@dataclass(frozen=True)
class World:
    """What a champion does from look `BEGINS` on; before that it is as good as the last one."""

    accuracy: float = 0.93
    last_accuracy: float = 0.93
    """The last champion's, on the same images."""
    errors: float = 0.001
    invalid: float = 0.0
    slow: float = 1.0
    """Times the latency."""
    labelled: float = 0.1
    kept: float = 0.3
    """Share of labelled images that were kept."""
    mistakes_only: bool = False
    """Whether people send labels of mistakes alone."""
    late: int = 0
    """Looks until a label comes."""


def count(
    side: VersionEvidence, rng: np.random.Generator, world: World, images: int, accuracy: float
) -> np.ndarray:
    """Adds what `images` requests bring but labels; the scores that people will tell."""
    failed = rng.binomial(images, world.errors)
    answered = images - failed
    side.requests += images
    side.failed += failed
    side.answers += answered
    side.invalid += rng.binomial(answered, world.invalid)
    side.latencies.add(rng.lognormal(np.log(3.0 * world.slow), 0.4, answered))
    right = rng.random(answered) < accuracy
    told = rng.random(answered) < world.labelled
    return right[told & ~right] if world.mistakes_only else right[told]


def played(world: World, seed: int, start: World | None = None) -> tuple[str | None, int, str]:
    """Verdict, the look at which it fell, and its reason; the judge looks after every part of the traffic."""
    rng = np.random.default_rng(seed)
    before = start or World(labelled=world.labelled, kept=world.kept, mistakes_only=world.mistakes_only)
    evidence = BakeEvidence()
    scores = count(evidence.before, rng, before, 7 * PER_LOOK, before.accuracy)
    evidence.before.answered, evidence.before.correct = len(scores), float(scores.sum())
    waiting: list[tuple[int, np.ndarray, np.ndarray]] = []
    verdict, reason = None, ""
    for look in range(LOOKS + world.late):
        if look < LOOKS:
            now = world if look >= BEGINS else before
            given = count(evidence.served, rng, now, PER_LOOK, now.accuracy)
            pairs = given[rng.random(len(given)) < world.kept]
            waiting.append((look + world.late, given, pairs))
        for _, given, pairs in [one for one in waiting if one[0] == look]:
            evidence.served.answered += len(given)
            evidence.served.correct += float(given.sum())
            evidence.add_pairs(pairs, rng.random(len(pairs)) < now.last_accuracy)
        judged = judge_bake(evidence, CONFIG, LAST)
        verdict, reason = bake_verdict(judged, over=look == LOOKS + world.late - 1)
        if verdict is not None:
            return verdict, look, reason
    return verdict, LOOKS, reason


REGRESSIONS = {
    "errors": World(errors=0.03),
    "many errors": World(errors=0.3),
    "a few errors": World(errors=0.02),
    "half fails": World(errors=0.5),
    "invalid": World(invalid=0.05),
    "all invalid": World(invalid=1.0),
    "slow": World(slow=30.0),
    "very slow": World(slow=200.0),
    "slow, no labels": World(slow=40.0, labelled=0.0),
    "accuracy": World(accuracy=0.7),
    "collapse": World(accuracy=0.1),
    "late labels": World(accuracy=0.6, late=9),
    "nothing kept": World(accuracy=0.7, kept=0.0),
    "few labels": World(accuracy=0.4, labelled=0.02, kept=1.0),
    "drift that the last champion withstands": World(accuracy=0.65, last_accuracy=0.9),
}
SOUND = {
    "equal": World(),
    "better": World(accuracy=0.97),
    "a little worse": World(accuracy=0.92),
    "no labels": World(labelled=0.0),
    "nothing kept": World(kept=0.0),
    "drift that both suffer from": World(accuracy=0.6, last_accuracy=0.6, kept=0.5),
    "drift that it was trained for": World(accuracy=0.9, last_accuracy=0.5),
    "mistakes alone are labelled": World(mistakes_only=True, kept=1.0),
    "a busy hour": World(slow=3.0),
    "late labels": World(late=9),
}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_regression_that_begins_after_the_promotion_is_rolled_back(name: str) -> None:
    """Two of each: thirty."""
    for seed in (1, 2):
        verdict, look, reason = played(REGRESSIONS[name], seed)
        assert verdict == "rollback", reason
        assert look >= BEGINS, "it was as good as the last one until then"


def taken_back(seeds: range) -> list[tuple[str, int, str]]:
    """Sound promotions that were rolled back, and why."""
    return [
        (name, seed, reason)
        for name, world in SOUND.items()
        for seed in seeds
        for verdict, _, reason in [played(world, seed)]
        if verdict != "kept"
    ]


def test_sound_promotions_stay() -> None:
    """Twenty, of ten kinds."""
    assert not taken_back(range(100, 102))


@pytest.mark.proof
def test_two_hundred_sound_promotions_stay() -> None:
    assert not taken_back(range(100, 120))


def test_model_of_harder_traffic_is_held_against_what_the_last_one_did_there() -> None:
    """Drift had taken the last champion to 0.6: 0.8 is no loss, though its evaluation said 0.93."""
    drifted = World(accuracy=0.6, last_accuracy=0.6)
    assert played(World(accuracy=0.8, last_accuracy=0.6), 3, drifted)[0] == "kept"


def test_first_mishaps_prove_nothing_and_are_told() -> None:
    evidence = BakeEvidence()
    evidence.served.requests, evidence.served.failed = 3, 2
    verdict, reason = bake_verdict(judge_bake(evidence, CONFIG, LAST), over=False)
    assert verdict is None
    verdict, reason = bake_verdict(judge_bake(evidence, CONFIG, LAST), over=True)
    assert verdict == "kept" and "too little was seen to prove errors, validity, p95, accuracy" in reason


def test_reason_names_figures_bounds_and_margin() -> None:
    _, _, reason = played(World(errors=0.3), 1)
    assert "errors" in reason and "against" in reason and "+0.50% is allowed" in reason
