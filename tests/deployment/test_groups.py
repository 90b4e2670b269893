"""Groups of users under the judge: a candidate that fails one of them is rolled back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from linnet.config import ReleaseConfig
from linnet.deployment.bake import BakeEvidence, bake_verdict, judge_bake
from linnet.deployment.evidence import RolloutEvidence
from linnet.deployment.first_release import FirstReleaseBaseline
from linnet.deployment.judge import judge, rollout_verdict
from linnet.records import ServedRecord

CONFIG = ReleaseConfig()
GROUPS = {"de": 0.75, "fr": 0.2, "none": 0.05}


def evidence_of(count: int, broken: float, seed: int, base: float = 0.001) -> RolloutEvidence:
    """Half the requests each; group `none`, 5 % of the traffic, fails on the candidate with `broken`."""
    rng = np.random.default_rng(seed)
    seen = RolloutEvidence("1", "2", CONFIG, band=False)
    stores = rng.choice(list(GROUPS), count, p=list(GROUPS.values()))
    records = [
        ServedRecord(
            at=float(k),
            version="2" if k % 2 else "1",
            ok=bool(rng.random() > (broken if k % 2 and store == "none" else base)),
            latency_ms=1.0,
            predicted="a",
            confidence=0.9,
            agrees=None,
            segments={"store": str(store)},
        )
        for k, store in enumerate(stores)
    ]
    seen.add(records)
    return seen


def verdict_of(seen: RolloutEvidence) -> tuple[str | None, str]:
    judged = judge(seen, CONFIG, verdict_only=False)
    return rollout_verdict(judged, CONFIG, seconds=9.0, requests=3000, proof=False, last=False)


def test_candidate_that_fails_a_twentieth_of_the_traffic_is_rolled_back_by_its_group() -> None:
    seen = evidence_of(4000, 0.35, 1, 0.03)
    errors = next(one for one in judge(seen, CONFIG) if one.metric == "errors")
    assert errors.verdict != "bad", "of all it is one and a half percent more, which proves nothing yet"
    verdict, reason = verdict_of(seen)
    assert verdict == "rollback" and "errors of store=none" in reason and "+0.50% is allowed" in reason
    assert any(one.metric == "errors of store=none" for one in judge(seen, CONFIG, verdict_only=True))


def test_equal_candidates_are_not_rolled_back_by_any_group() -> None:
    assert not [
        seed for seed in range(20) if verdict_of(evidence_of(2000, 0.01, seed, 0.01))[0] == "rollback"
    ]


def test_groups_outlive_the_process_and_an_older_state_has_none() -> None:
    seen = evidence_of(400, 0.5, 3)
    again = RolloutEvidence("1", "2", CONFIG, band=False)
    again.restore(json.loads(json.dumps(seen.state())))
    assert again.groups == seen.groups and set(again.groups) == {f"store={name}" for name in GROUPS}
    older = json.loads(json.dumps(seen.state()))
    del older["groups"]
    again.restore(older)
    assert again.groups == {}


@pytest.mark.parametrize(("broken", "expected"), [(0.3, "rollback"), (0.0, None)])
def test_champion_on_trial_that_fails_a_group_is_rolled_back(broken: float, expected: str | None) -> None:
    seen, found = evidence_of(4000, broken, 5, 0.0), BakeEvidence()
    found.groups = seen.groups
    for side, of in ((found.served, seen.candidate), (found.before, seen.champion)):
        side.requests, side.failed, side.answers = 40_000, int(of.failed), 40_000
    judged = judge_bake(found, CONFIG, FirstReleaseBaseline(4.0, 0.9, 1000))
    verdict, reason = bake_verdict(judged, over=False)
    assert verdict == expected and ("store=none" in reason) == (expected == "rollback")
