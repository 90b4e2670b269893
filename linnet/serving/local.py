"""A prediction without a server: what `linnet predict` does where none runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from linnet.errors import RequestRejected, ServingError
from linnet.serving.predictor import Predictor, top_classes


def local_answers(
    package: Path, name: str, version: str, images: list[Path], max_pixels: int
) -> Iterator[dict[str, Any]]:
    """The answers that a server would give for image files: model, version and predictions.

    Raises:
        ServingError: the package cannot be loaded, or a file cannot be read.
        RequestRejected: a file is not an image that is accepted.
    """
    predictor = Predictor.load(version, package)
    for path in images:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ServingError(f"{path}: cannot be read ({error.strerror})") from error
        try:
            prediction = predictor.predict_upload(data, max_pixels)
        except RequestRejected as error:
            raise RequestRejected(error.status, f"{path}: {error.problem}") from error
        top = top_classes(predictor.classes, prediction.probabilities[0])
        yield {"model": name, "version": version, "predictions": top}
