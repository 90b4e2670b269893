"""A prediction without a server: what `linnet predict` does where none runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from linnet.errors import RequestRejected
from linnet.serving.predictor import Predictor


def local_answers(package: Path, name: str, version: str, images: list[Path]) -> Iterator[dict[str, Any]]:
    """The answers that a server would give for image files: model, version and predictions.

    Of a file that cannot be read, or is no image that is accepted, the answer is its `error`.

    Raises:
        ServingError: the package cannot be loaded.
    """
    predictor = Predictor.load(version, package)
    for path in images:
        try:
            data = path.read_bytes()
        except OSError as error:
            yield {"error": f"cannot be read ({error.strerror})"}
            continue
        try:
            prediction = predictor.predict_upload(data)
        except RequestRejected as error:
            yield {"error": error.problem}
            continue
        listed = predictor.answer.listed(prediction.output[0])
        yield {"model": name, "version": version, "predictions": listed}
