"""The skew audit's comparison: served features against offline features, bit by bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that was served otherwise than it stands offline."""

    sample_id: str
    feature: str
    served: float
    offline: float


def differences(
    sample_ids: Sequence[str],
    features: Sequence[str],
    served: npt.NDArray[np.float32],
    offline: npt.NDArray[np.float32],
) -> list[Difference]:
    """Every place where float32 [N, F] `served` and `offline` differ in so much as one bit.

    Bits and not closeness: training and serving call one function whose result does not depend on
    the batch, so any difference is a defect. A NaN (a value that is missing on one side) equals only
    the same NaN, and 0.0 is not -0.0.

    Raises:
        ValueError: the shapes are not [len(sample_ids), len(features)], or not float32.
    """
    shape = (len(sample_ids), len(features))
    for name, values in (("served", served), ("offline", offline)):
        if values.shape != shape or values.dtype != np.float32:
            raise ValueError(f"{name} must be float32 {shape}, not {values.dtype} {values.shape}")
    unequal = np.ascontiguousarray(served).view(np.uint32) != np.ascontiguousarray(offline).view(np.uint32)
    return [
        Difference(sample_ids[row], features[column], float(served[row, column]), float(offline[row, column]))
        for row, column in np.argwhere(unequal)
    ]
