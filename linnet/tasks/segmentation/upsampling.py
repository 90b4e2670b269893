"""Brings maps of logits to the size of the image: bilinear, alike in training, in ONNX and in evaluation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats32 = npt.NDArray[np.float32]


def interpolation(given: int, wanted: int) -> Floats32:
    """The matrix [wanted, given] that samples a line between the centres of its pixels.

    As torch.nn.functional.interpolate does with mode "bilinear" and align_corners False.
    """
    places = np.clip((np.arange(wanted) + 0.5) * given / wanted - 0.5, 0, given - 1)
    left = np.minimum(places.astype(np.int64), max(given - 2, 0))
    share = (places - left).astype(np.float32)
    found = np.zeros((wanted, given), np.float32)
    found[np.arange(wanted), left] = 1 - share
    found[np.arange(wanted), np.minimum(left + 1, given - 1)] += share
    return found


def upsampled(maps: npt.NDArray[np.floating], height: int, width: int) -> Floats32:
    """Maps [..., h, w] at the size [..., height, width]."""
    rows, columns = interpolation(maps.shape[-2], height), interpolation(maps.shape[-1], width)
    found: Floats32 = rows @ maps.astype(np.float32) @ columns.T
    return found
