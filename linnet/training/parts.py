"""Samples divided into equal parts, each with an equal share of every class."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def even_parts(groups: Tensor, count: int) -> Tensor:
    """The part int64 [N], from 0 to `count`, of each sample of a group [N].

    Every part has as many of a group as any other, give or take one. The same groups give the same parts.
    """
    order = np.random.default_rng(0).permutation(len(groups))
    order = order[np.argsort(groups.numpy()[order], kind="stable")]
    part = np.empty(len(groups), np.int64)
    part[order] = np.arange(len(groups)) % count
    return torch.from_numpy(part)
