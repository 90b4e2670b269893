"""What the present champion says of the candidate's test samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from linnet.artifacts.training_set import HeldOut
from linnet.config import EvaluationConfig
from linnet.errors import DataError
from linnet.evaluation.predict import batch_size
from linnet.progress import Progress
from linnet.tasks.score import score_of
from linnet.tasks.target import Targets, target_of

if TYPE_CHECKING:
    from linnet.artifacts.onnx_model import PackagedModel

_NEVER = 2.0
"""Threshold of a class that is not known."""
_RESAMPLES = 100
"""Of the champion's metrics the values are told, which do not depend on it, and no interval."""


@dataclass(frozen=True)
class ChampionAnswers:
    """The champion on N samples of the candidate's test split."""

    version: str
    task: str
    said: tuple[str, ...]
    """Its answers as labels are written, in its own classes: [N]."""
    classes: tuple[str, ...]
    """The candidate's, K of them."""
    output: npt.NDArray[np.float64]
    """As a model of these classes would say it."""
    thresholds: tuple[float, ...]
    """[K], where the task has them; above 1 for a class that the champion does not know."""
    remarks: tuple[str, ...]
    """What a reviewer must know of the comparison."""

    def metrics(self, targets: Targets, config: EvaluationConfig) -> dict[str, float]:
        """Its metrics on the first samples, whose labels are given; none where it names foreign classes."""
        known, count = set(self.classes), len(targets)
        target, score = target_of(self.task), score_of(self.task)
        if not all(known.issuperset(target.classes(label)) for label in self.said[:count]):
            return {}
        found = score.described(targets, self.output[:count], self.thresholds)
        if found.not_finite:
            return {}
        few = config.model_copy(update={"resamples": _RESAMPLES})
        return {name: measured.value for name, measured in score.intervals(found, few).items()}


def ask_champion(
    test: HeldOut, package: Path, version: str, progress: Progress | None = None
) -> ChampionAnswers:
    """Runs the champion's package over `test`; classes are matched by name.

    A champion of another image size gets the test images resized.

    Raises:
        DataError: the champion was asked something else of an image.
        ServingError: the package is damaged.
    """
    from linnet.artifacts.onnx_model import PackagedModel

    packaged = PackagedModel.load(package)
    about = packaged.package
    if about.task != test.task:
        raise DataError(
            f"champion {version or about.name}",
            f"its task is {about.task}, that of the training set is {test.task}",
            "give the new use case another name, or registry.model",
        )
    remarks = []
    if (about.height, about.width, about.channels) != test.images.shape[1:]:
        remarks.append(
            f"the champion takes images of {about.height} x {about.width} x {about.channels}; "
            "it was given the candidate's test images, resized"
        )
    if about.fit != test.fit:
        remarks.append(
            f'the champion brings images to its size by "{about.fit}" and was given those of the candidate, '
            f'brought there by "{test.fit}": with its own it may be better'
        )
    if unknown := [name for name in test.classes if name not in about.classes]:
        remarks.append(f"the champion does not know {', '.join(unknown)}: it is wrong on those samples")
    said = _output(packaged, test, progress)
    matched = packaged.answer.in_classes(said, test.classes).astype(np.float64)
    thresholds = tuple(
        about.thresholds[about.classes.index(name)] if name in about.classes else _NEVER
        for name in (test.classes if about.thresholds else ())
    )
    answers = tuple(packaged.answer.labels(said))
    return ChampionAnswers(
        version or about.name, about.task, answers, test.classes, matched, thresholds, tuple(remarks)
    )


def _output(packaged: PackagedModel, test: HeldOut, progress: Progress | None) -> npt.NDArray[np.float32]:
    """In the champion's own order of classes."""
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
