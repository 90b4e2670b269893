"""select: each strategy takes what it should, the budget is kept, and a seed fixes the choice."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.labels.select import BY_CHANCE, SHARES, UNBIASED, CandidatePool, k_center, select, split_budget
from linnet.tasks.summary import summary_of

FIGURES = summary_of(CandidatePool([], np.zeros((0, 2))).task)


def pool(count: int = 60, seed: int = 0, **more: Any) -> CandidatePool:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(4) * 0.5, count).astype(np.float32)
    facts: dict[str, Any] = {"embeddings": random.normal(size=(count, 5)), "suspects": ("s3", "s1", "s40")}
    return CandidatePool([f"s{i}" for i in range(count)], probabilities, **(facts | more))


def test_margin_and_entropy_known_values() -> None:
    rows = np.array([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.6, 0.3, 0.1, 0.0], [np.nan, 0, 0, 1]])
    assert FIGURES.margin(rows).tolist() == pytest.approx([1.0, 0.0, 0.3, 0.0])
    assert FIGURES.entropy(rows)[[0, 1, 3]].tolist() == pytest.approx([0.0, 1.0, 1.0])


def test_select_margin_takes_the_most_uncertain() -> None:
    chosen = select(pool(), 5, {"margin": 1.0})
    expected = np.argsort(FIGURES.margin(pool().output), kind="stable")[:5]
    assert [choice.sample_id for choice in chosen] == [f"s{i}" for i in expected]
    assert all(choice.reasons == ("margin",) for choice in chosen)
    assert chosen[0].score == pytest.approx(1 - FIGURES.margin(pool().output).min())


def test_select_suspects_come_in_their_order_and_the_rest_goes_on() -> None:
    chosen = select(pool(), 6, {"suspect": 1.0})
    assert [choice.sample_id for choice in chosen[:3]] == ["s3", "s1", "s40"]
    assert [choice.score for choice in chosen[:3]] == pytest.approx([1, 2 / 3, 1 / 3])
    assert len(chosen) == 6 and chosen[3].reasons[0] == "margin"


def test_select_diverse_takes_a_sample_of_each_cluster() -> None:
    random = np.random.default_rng(1)
    centers = random.normal(size=(6, 8)) * 50
    cluster = np.arange(60) % 6
    spread = centers[cluster] + random.normal(size=(60, 8)) * 0.1
    chosen = select(pool(embeddings=spread), 6, {"diverse": 1.0})
    assert {int(choice.sample_id[1:]) % 6 for choice in chosen} == set(range(6))


def test_select_random_slice_is_drawn_from_the_whole_pool() -> None:
    hits = np.zeros(60)
    for seed in range(400):
        for choice in select(pool(), 20, seed=seed):
            hits[int(choice.sample_id[1:])] += choice.reasons[0] == "random"
    # Two of 60 each time: 13.3 expected a sample, whatever the model thinks of it.
    assert hits.sum() == 800 and hits.min() >= 2 and hits.max() <= 30


def test_select_sample_wanted_twice_says_both_reasons_once() -> None:
    chosen = select(pool(), 20, {"margin": 0.5, "entropy": 0.5})
    assert len({choice.sample_id for choice in chosen}) == 20
    assert any(choice.reasons == ("margin", "entropy") for choice in chosen)


def test_select_without_embeddings_still_fills_the_budget() -> None:
    chosen = select(pool(embeddings=None), 20)
    assert len(chosen) == 20 and not any("diverse" in choice.reasons for choice in chosen)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 40),
    budget=st.integers(0, 50),
    seed=st.integers(0, 5),
    weights=st.lists(st.integers(0, 4), min_size=len(SHARES), max_size=len(SHARES)).filter(any),
    embedded=st.booleans(),
)
def test_select_any_pool_fills_the_budget_without_doubles_and_repeats(
    count: int, budget: int, seed: int, weights: list[int], embedded: bool
) -> None:
    random = np.random.default_rng(seed)
    ids = [f"s{i}" for i in range(count)]
    points = random.integers(0, 2, (count, 2)).astype(float) if embedded else None  # many equal points
    some = CandidatePool(ids, random.dirichlet(np.ones(3), count), points, ids[::7])
    shares = dict(zip(SHARES, map(float, weights), strict=True))
    chosen = select(some, budget, shares, seed)
    assert chosen == select(some, budget, shares, seed)
    names = [choice.sample_id for choice in chosen]
    assert len(names) == len(set(names)) == min(budget, count)
    assert set(names) <= set(ids) and all(choice.reasons for choice in chosen)


@given(
    budget=st.integers(0, 1000),
    weights=st.lists(st.floats(0, 10), min_size=len(SHARES), max_size=len(SHARES)),
)
def test_split_budget_adds_up_and_is_within_one_of_exact(budget: int, weights: list[float]) -> None:
    shares = dict(zip(SHARES, weights, strict=True))
    total = sum(weights)
    if total < 1e-6:
        return
    parts = split_budget(budget, shares)
    assert sum(parts.values()) == budget
    assert all(abs(parts[name] - budget * shares[name] / total) <= 1 for name in shares)


def test_k_center_equals_the_plain_greedy_algorithm() -> None:
    points = np.random.default_rng(3).normal(size=(40, 3)).astype(np.float32)
    found, lengths = k_center(points, 6, [7, 20])
    chosen, distances = [7, 20], []
    for _ in range(6):
        gaps = [min(float(np.linalg.norm(p - points[c])) for c in chosen) for p in points]
        chosen.append(int(np.argmax(gaps)))
        distances.append(max(gaps))
    assert found.tolist() == chosen[2:]
    assert lengths.tolist() == pytest.approx(distances, rel=1e-3)


def test_select_ten_thousand_samples_takes_seconds() -> None:
    random = np.random.default_rng(0)
    big = CandidatePool(
        [str(i) for i in range(10_000)],
        random.dirichlet(np.ones(10), 10_000),
        random.normal(size=(10_000, 128)).astype(np.float32),
    )
    started = time.process_time()
    assert len(select(big, 500)) == 500
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("wrong", "shares"),
    [
        ({"output": np.ones((3, 4))}, SHARES),
        ({"embeddings": np.ones((3, 4))}, SHARES),
        ({"ids": ["a"] * 60}, SHARES),
        ({}, {"margin": -1.0}),
        ({}, {"margin": 0.0}),
    ],
)
def test_select_inputs_that_do_not_fit_are_refused(wrong: dict[str, Any], shares: Any) -> None:
    good = pool()
    facts = {"ids": good.ids, "output": good.output, "embeddings": good.embeddings} | wrong
    with pytest.raises(ValueError):
        select(CandidatePool(**facts), 5, shares)


def test_select_test_samples_are_only_drawn_at_random() -> None:
    everything = [f"s{i}" for i in range(60)]
    audited = everything[:20]
    some = pool(audit=audited, suspects=everything, gold=everything)
    by_reason: dict[str, set[str]] = {}
    for choice in select(some, 30, {**SHARES, "audit": 0.1}):
        by_reason.setdefault(choice.reasons[0], set()).add(choice.sample_id)
        assert choice.reasons == ("audit",) or choice.sample_id not in audited
    assert len(by_reason["audit"]) == 3 and by_reason["audit"] <= set(audited)


def test_select_gold_and_production_take_their_own_samples_only() -> None:
    some = pool(gold=("s7", "s8", "s9"), requests=("s20", "s21", "s22", "s23"))
    chosen = select(some, 10, {"gold": 0.2, "production": 0.3, "margin": 0.5})
    taken = {reason: [c for c in chosen if c.reasons[0] == reason] for reason in ("gold", "production")}
    assert len(taken["gold"]) == 2 and {c.sample_id for c in taken["gold"]} <= {"s7", "s8", "s9"}
    unsure = FIGURES.margin(some.output)
    asked = sorted((20, 21, 22, 23), key=lambda i: unsure[i])[:3]
    assert [c.sample_id for c in taken["production"]] == [f"s{i}" for i in asked]


def test_select_by_chance_takes_requests_that_were_kept_by_chance_and_no_others() -> None:
    """Filled up with what a model doubts, or with training images, the answers would measure nothing."""
    requests = tuple(f"s{i}" for i in range(30, 60))
    given = pool(requests=requests, fair=requests[:20])
    chosen = select(given, 8, BY_CHANCE, seed=1)
    assert len(chosen) == 8 and {one.reasons for one in chosen} == {("drift",)}
    assert {one.sample_id for one in chosen} <= set(requests[:20])
    assert {one.sample_id for one in select(given, 40, BY_CHANCE)} == set(requests[:20])
    assert not select(pool(), 8, BY_CHANCE), "nothing was kept: nobody is asked"
    assert "drift" in UNBIASED, "people are not shown what the model said"
    assert all(one.reasons[0] != "drift" for one in select(given, 40))
