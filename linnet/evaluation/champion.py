"""What the present champion says of the candidate's test samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from linnet.artifacts.training_set import HeldOut
from linnet.config import EvaluationConfig
from linnet.evaluation.measure import all_metrics
from linnet.evaluation.predict import batch_size
from linnet.progress import Progress
from linnet.statistics.metrics import Ints, Predictions

if TYPE_CHECKING:
    from linnet.artifacts.onnx_model import PackagedModel

_RESAMPLES = 100
"""Of the champion's metrics the values are told, which do not depend on it, and no interval."""


@dataclass(frozen=True)
class ChampionAnswers:
    """The champion on N samples of the candidate's test split, in the candidate's order of K classes."""

    version: str
    chosen: Ints
    """Likeliest class [N]; -1: a class that the candidate does not know."""
    probabilities: npt.NDArray[np.float64]
    """[N, K]"""
    remarks: tuple[str, ...]
    """What a reviewer must know of the comparison."""

    def metrics(self, labels: Ints, config: EvaluationConfig) -> dict[str, float]:
        """Its metrics on the first samples, whose labels are given; none where it names foreign classes."""
        chosen = self.chosen[: len(labels)]
        if (chosen < 0).any():
            return {}
        found = Predictions(labels, self.probabilities[: len(labels)])
        if found.not_finite:
            return {}
        few = config.model_copy(update={"resamples": _RESAMPLES})
        return {name: measured.value for name, measured in all_metrics(found, few).items()}


def ask_champion(
    test: HeldOut, package: Path, version: str, progress: Progress | None = None
) -> ChampionAnswers:
    """Runs the champion's package over `test`; classes are matched by name.

    A champion of another image size gets the test images resized.

    Raises:
        ServingError: the package is damaged.
    """
    from linnet.artifacts.onnx_model import PackagedModel

    packaged = PackagedModel.load(package)
    about = packaged.package
    remarks = []
    if (about.height, about.width, about.channels) != test.images.shape[1:]:
        remarks.append(
            f"the champion takes images of {about.height} x {about.width} x {about.channels}; "
            "it was given the candidate's test images, resized"
        )
    if unknown := [name for name in test.classes if name not in about.classes]:
        remarks.append(f"the champion does not know {', '.join(unknown)}: it is wrong on those samples")
    index = {name: k for k, name in enumerate(test.classes)}
    named = np.array([index.get(name, -1) for name in about.classes], np.int64)
    said = _probabilities(packaged, test, progress)
    shared = np.flatnonzero(named >= 0)
    matched = np.zeros((len(test), len(test.classes)))
    matched[:, named[shared]] = said[:, shared]
    return ChampionAnswers(version or about.name, named[said.argmax(axis=1)], matched, tuple(remarks))


def _probabilities(
    packaged: PackagedModel, test: HeldOut, progress: Progress | None
) -> npt.NDArray[np.float32]:
    """[N, K'] in the champion's own order of classes."""
    from linnet.vision.decode import color_of, resize

    about = packaged.package
    size = (about.height, about.width, about.channels)
    same = size == test.images.shape[1:]
    columns = [test.feature_names.index(n) for n in about.features if n in test.feature_names]
    stored = same and len(columns) == len(about.features)
    said = []
    step = batch_size(test.images)
    for start in range(0, len(test), step):
        images = np.array(test.images[start : start + step])
        if not same:
            color = color_of(about.channels)
            images = np.stack([resize(one, about.height, about.width, color) for one in images])
        features = test.features[start : start + step, columns] if stored else None
        said.append(packaged.predict(images, features)[0])
        if progress:
            progress("champion predictions", min(start + step, len(test)), len(test))
    return np.concatenate(said)
