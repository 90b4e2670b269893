"""The transformation of Feast's on-demand view: statistics of pixels that arrive with a request.

It stands here and not in `feature_repo/`, so that Feast's registry keeps a reference to the installed
code: a copy pickled into the registry would go on computing what an older version computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from linnet.vision.statistics import FEATURES, image_statistics

INPUTS = ("pixels", "height", "width", "channels")
"""Names of the request data: raw uint8 bytes in row order, and the shape they have."""


def statistics_of_request(inputs: dict[str, list[Any]]) -> dict[str, list[np.float32]]:
    """Statistics of a batch of requests, a list a feature (float32), through the one shared function.

    A row whose bytes do not fit its shape gives NaN and not an error, because Feast probes every
    on-demand view with made-up values when it is applied; callers check shapes before they ask.
    """
    rows = [_statistics(*row) for row in zip(*(inputs[name] for name in INPUTS), strict=True)]
    return {name: [row[column] for row in rows] for column, name in enumerate(FEATURES)}


def _statistics(pixels: bytes, height: int, width: int, channels: int) -> list[np.float32]:
    if channels not in (1, 3) or min(height, width) < 1 or len(pixels) != height * width * channels:
        return [np.float32("nan")] * len(FEATURES)
    image = np.frombuffer(pixels, np.uint8).reshape(1, height, width, channels)
    return list(image_statistics(image)[0])
