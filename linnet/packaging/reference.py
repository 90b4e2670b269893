"""The reference that monitoring compares traffic with, made once and carried in the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linnet.artifacts.onnx_model import Floats, Images, PackagedModel
from linnet.artifacts.reference import (
    COHORT_POINTS,
    REFERENCE_FILE,
    Cohort,
    Reference,
    SortedSample,
)
from linnet.errors import DataError
from linnet.packaging.held_out import golden_rows
from linnet.progress import Progress
from linnet.records import Split, TrainingSetManifest
from linnet.statistics.metrics import confusion_matrix
from linnet.statistics.spread import spread
from linnet.tasks.agree import agreement_of
from linnet.tasks.answer import answer_of
from linnet.tasks.summary import summary_of
from linnet.tasks.target import Targets, target_of
from linnet.vision.libraries import libraries
from linnet.vision.statistics import brightness_cohort, brightness_edges

TRAINED: tuple[Split, ...] = ("train", "validation")
HELD_OUT: tuple[Split, ...] = ("validation", "test")
HELD_OUT_ROWS = 12_000
EMBEDDINGS = 1_000
EXAMPLES = 64
_EXAMPLE_BYTES = 4 << 20
_MOST_COHORTS = 64
_BATCH = 250


def write_reference(
    training_set: Path,
    packaged: PackagedModel,
    out: Path,
    progress: Progress | None = None,
    held_out: Sequence[Split] = HELD_OUT,
) -> Reference:
    """Sketches the training set in `training_set`, as the packaged model sees it, into `out`.

    Features come from the training and validation split; confidence, predicted classes, confusion and
    embeddings from at most 12,000 images of the splits `held_out`, which the model did not learn from.

    Raises:
        DataError: a file of the training set is missing or damaged.
        ServingError: the model fails on an image.
    """
    about = TrainingSetManifest.load(training_set / "training_set.json")
    trained = np.concatenate([_read(training_set, "features", split) for split in TRAINED])
    images, features, labels = _held_out(training_set, held_out)
    said = _predict(packaged, images, features, progress)
    reference = summarize(about, trained, images, features, labels, *said, packaged.package.thresholds)
    reference.save(out / REFERENCE_FILE)
    return reference


def summarize(
    about: TrainingSetManifest,
    trained: Floats,
    images: Images,
    features: Floats,
    labels: Targets,
    output: Floats,
    embedding: Floats,
    thresholds: tuple[float, ...] = (),
) -> Reference:
    """The sketch of `trained` features [T, F] and of N held-out images with what the model says of them."""
    classes = len(about.classes)
    target, answer = target_of(about.task), answer_of(about.task, about.classes, thresholds)
    named, confidence = answer.named(output), answer.confidence(output)
    truth = [target.decode(row, about.classes) for row in labels]
    pairs = zip(answer.labels(output), truth, strict=True)
    accuracy = float(np.mean([agreement_of(about.task)(said, true) for said, true in pairs]))
    groups = target.groups(labels) if target.several else named.argmax(axis=1)
    confusion = np.zeros((0, 0), np.int64)
    if not target.several:
        confusion = confusion_matrix(labels, named.argmax(axis=1), classes)
    bright = (
        trained[:, about.features.index("brightness")] if "brightness" in about.features else trained[:, 0]
    )
    edges = brightness_edges(bright)
    scalars = summary_of(about.task, thresholds).scalars(output)
    outputs: list[npt.NDArray[np.floating]] = [confidence, *scalars.values()]
    columns: npt.NDArray[np.floating] = np.column_stack([features, *outputs])
    chosen = golden_rows(groups.astype(np.int64), _examples(images))
    rows = spread(len(labels), EMBEDDINGS)
    return Reference(
        features=about.features,
        classes=about.classes,
        rows=len(trained),
        held_out=len(labels),
        accuracy=accuracy,
        # The share of images above it is the accuracy: Garg et al., "Leveraging Unlabeled Data to
        # Predict Out-of-Distribution Performance" (ICLR 2022).
        atc_threshold=float(np.quantile(confidence, 1.0 - accuracy)),
        columns=tuple(SortedSample.of(column) for column in (*trained.T, *outputs)),
        confusion=confusion,
        embedding=embedding[rows],
        examples=np.ascontiguousarray(images[chosen]),
        example_classes=groups[chosen],
        brightness_edges=edges,
        cohorts=_cohorts(about, columns, named, edges),
        libraries=libraries(),
        task=about.task,
        thresholds=thresholds,
        named=named.sum(axis=0, dtype=np.int64),
        scalars=tuple(scalars),
    )


def _cohorts(
    about: TrainingSetManifest,
    columns: npt.NDArray[np.floating],
    named: npt.NDArray[np.bool_],
    edges: tuple[float, float],
) -> tuple[Cohort, ...]:
    """Predicted classes (the commonest, of very many) and, if there is brightness, its thirds."""
    names = np.array(about.classes)
    common = np.argsort(-named.sum(axis=0), kind="stable")[:_MOST_COHORTS]
    groups = [("class", str(names[k]), named[:, k]) for k in sorted(common)]
    if "brightness" in about.features:
        third = brightness_cohort(columns[:, about.features.index("brightness")].astype(np.float32), edges)
        groups += [("brightness", value, third == value) for value in ("dark", "medium", "bright")]
    return tuple(
        Cohort(
            column,
            value,
            float(inside.mean()),
            tuple(SortedSample.of(column_values[inside], COHORT_POINTS) for column_values in columns.T),
        )
        for column, value, inside in groups
    )


def _examples(images: Images) -> int:
    """How many examples may be kept: no more than fit into 4 MB, and at least one."""
    return max(1, min(EXAMPLES, _EXAMPLE_BYTES // max(int(np.prod(images.shape[1:])), 1)))


def _held_out(folder: Path, splits: Sequence[Split]) -> tuple[Images, Floats, Targets]:
    """Images, features and labels that were not trained on; of very many, an even share of each split."""
    sizes = {split: len(_read(folder, "labels", split)) for split in splits}
    total = sum(sizes.values())
    if total == 0:
        raise DataError(str(folder), f"no image in {' and '.join(splits)}", "build the features again")
    parts = []
    for split, size in sizes.items():
        take = min(size, round(HELD_OUT_ROWS * size / max(total, HELD_OUT_ROWS)) or size)
        rows = spread(size, take)
        images = np.load(folder / f"images-{split}.npy", mmap_mode="r")[rows]
        parts.append((images, _read(folder, "features", split)[rows], _read(folder, "labels", split)[rows]))
    images, features, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return images, features, labels


def _read(folder: Path, what: str, split: str) -> npt.NDArray[np.generic]:
    try:
        values: npt.NDArray[np.generic] = np.load(folder / f"{what}-{split}.npy")
    except (OSError, ValueError) as error:
        raise DataError(
            str(folder), f"the {split} split cannot be read ({error})", "build the features again"
        ) from error
    return values


def _predict(
    packaged: PackagedModel, images: Images, features: Floats, progress: Progress | None
) -> tuple[Floats, Floats]:
    found = []
    for start in range(0, len(images), _BATCH):
        stop = min(start + _BATCH, len(images))
        found.append(packaged.predict(images[start:stop], features[start:stop]))
        if progress:
            progress("reference for monitoring", stop, len(images))
    return np.concatenate([o for o, _ in found]), np.concatenate([e for _, e in found])
