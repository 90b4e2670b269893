"""The head on frozen activations: its penalty, and what it says of images that it had not learned from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from linnet.tasks.classification.model import MODEL
from linnet.training.probe import Activations, Probe, fit_head


def clusters(count: int, seed: int, noise: float = 3.0) -> Activations:
    """Four classes in 24 dimensions that overlap."""
    numbers = torch.Generator().manual_seed(seed)
    middles = torch.randn(4, 24, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(0, 4, (count,), generator=numbers)
    return Activations(middles[labels] + noise * torch.randn(count, 24, generator=numbers), labels)


def fitted(train: Activations, validation: Activations, *, final: bool = False) -> tuple[nn.Linear, Probe]:
    network: Any = SimpleNamespace(head=nn.Linear(24, 4))
    said: list[tuple[str, int, int]] = []
    probe = fit_head(network, train, validation, None, lambda *what: said.append(what), MODEL, final=final)
    assert said[-1][1] == said[-1][2]
    return network.head, probe


def loss_of(head: nn.Linear, asked: Activations) -> float:
    with torch.no_grad():
        return float(functional.cross_entropy(head(asked.embedding), asked.labels))


def test_penalty_does_not_hang_on_the_few_images_of_a_small_validation_split() -> None:
    train, unseen = clusters(120, seed=2), clusters(4000, seed=3)
    chosen, losses = set(), []
    for seed in range(10, 18):
        head, probe = fitted(train, clusters(8, seed=seed))
        chosen.add(probe.penalty)
        losses.append(loss_of(head, unseen))
    assert len(chosen) <= 2
    assert max(losses) < 1.1 * min(losses)


def test_final_head_learned_from_both_splits_and_its_validation_logits_did_not() -> None:
    train, validation = clusters(40, seed=4), clusters(400, seed=5)
    plain, first = fitted(train, validation)
    whole, second = fitted(train, validation, final=True)
    with torch.no_grad():
        assert torch.allclose(plain(validation.embedding), first.validation_logits, atol=1e-2)
    assert torch.equal(first.validation_logits, second.validation_logits)
    assert loss_of(whole, validation) < loss_of(plain, validation)
    assert loss_of(whole, clusters(4000, seed=6)) < loss_of(plain, clusters(4000, seed=6))


def test_two_fits_give_the_same_head_whatever_the_global_numbers() -> None:
    heads = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        heads.append(fitted(clusters(90, seed=7), clusters(30, seed=8), final=True)[0])
    assert torch.equal(heads[0].weight, heads[1].weight)


@pytest.mark.parametrize("count", [1, 3])
def test_very_few_images_are_enough_to_fit(count: int) -> None:
    head, probe = fitted(clusters(count, seed=9), clusters(1, seed=10), final=True)
    assert torch.isfinite(head.weight).all() and torch.isfinite(probe.validation_logits).all()
