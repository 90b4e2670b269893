from __future__ import annotations

import pytest
import torch

from linnet.training.optimizer import learning_rate_factor, orthogonalize


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_learning_rate_rises_to_the_peak_and_falls_but_never_to_nothing(schedule: str, steps: int) -> None:
    factors = [learning_rate_factor(schedule, step, steps) for step in range(steps)]
    top = factors.index(max(factors))
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    if steps == 50:
        assert max(factors) > 0.95 and factors[-1] < 0.05


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(16, 40), (40, 16)])
def test_orthogonalize_keeps_directions_and_levels_their_strength(
    shape: tuple[int, int], precision: torch.dtype
) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalize(matrix, precision)
    assert result.dtype == matrix.dtype
    strengths = torch.linalg.svdvals(result)
    assert strengths.min() > 0.5 and strengths.max() < 1.35
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    ideal = left @ right
    assert torch.nn.functional.cosine_similarity(result.flatten(), ideal.flatten(), dim=0) > 0.97
