"""One loaded version: bytes or arrays in, its task's output out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from linnet.artifacts.onnx_model import (
    GOLDEN_FILE,
    MODEL_FILE,
    Floats,
    Images,
    OpenSession,
    PackagedModel,
)
from linnet.errors import ImageTooLarge, InvalidImage, RequestRejected, ServingError
from linnet.vision.decode import color_of, encode_png, read_image, resize
from linnet.vision.formats import format_of, why_not_read

GOLDEN_TOLERANCE = 1e-4
"""Largest difference of a number from the packaged golden sample at warm-up."""
WARM_UP_RUNS = 3
CHUNKS = (2, 4, 8, 16)
"""Batch sizes that are tried at warm-up, beside 1."""
TUNE_SECONDS = 0.4
"""Longest time that trying may take, so that a slow model is loaded soon nevertheless."""


class FeatureSource(Protocol):
    """Where a request's features come from: the pixels, or a feature store by entity keys."""

    def features(self, images: Images, keys: Mapping[str, str]) -> Floats:
        """Features float32 [N, F] of images uint8 [N, H, W, C], in the model's order."""
        ...


MakeSource = Callable[[PackagedModel], FeatureSource]


class PixelFeatures:
    """Features computed from the images, by the function that training uses."""

    def __init__(self, model: PackagedModel) -> None:
        self._model = model

    def features(self, images: Images, keys: Mapping[str, str]) -> Floats:  # noqa: ARG002
        """Image statistics; the keys do not matter."""
        return self._model.features(images)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a version said of N images, with what it saw: all arrays have N rows."""

    images: Images
    features: Floats
    output: Floats
    """As the version's `answer` reads it."""
    embedding: Floats


class Predictor:
    """A version that may answer: model, feature source and names. Safe to call from many threads."""

    def __init__(
        self,
        version: str,
        model: PackagedModel,
        source: FeatureSource | None = None,
        folder: Path | None = None,
        isolated: bool = False,
    ) -> None:
        """`folder`: of its package, if it has one; `isolated`: its session is in a process of its own."""
        self.version, self.folder, self.isolated = version, folder, isolated
        self.model = model
        self.package = model.package
        self.classes = model.package.classes
        self.answer = model.answer
        self.loaded_at = time.time()
        self.chunk = 1
        """Images a run of the model. More than one only where that gives the same bits and is faster."""
        self.embedding = 0
        """Values of an embedding; 0 until it was warmed up."""
        self.pace = 0.0
        """Seconds an image, a moving mean over what was measured last."""
        self.memory_mb = 0.0
        """Memory of its session: measured where it has a process of its own, else the size of its file."""
        self._source = source or PixelFeatures(model)

    @classmethod
    def load(
        cls,
        version: str,
        folder: Path,
        threads: int = 0,
        source: MakeSource | None = None,
        open_with: OpenSession | None = None,
    ) -> Predictor:
        """Loads the package in `folder` and warms it up with its golden samples.

        `open_with`: opens its session in another process; None: in this one.

        Raises:
            ServingError: it cannot be loaded, or does not reproduce its golden samples.
        """
        model = PackagedModel.load(folder, threads, open_with)
        features = source(model) if source is not None else None
        predictor = cls(version, model, features, folder, isolated=open_with is not None)
        predictor.warm_up(folder)
        predictor.memory_mb = model.memory_mb() or 1e-6 * (folder / MODEL_FILE).stat().st_size
        return predictor

    def warm_up(self, folder: Path) -> float:
        """Predicts the golden samples; returns the largest difference from what they should give.

        Raises:
            ServingError: golden.npz is missing or damaged, or a number differs by more than
                GOLDEN_TOLERANCE.
        """
        path = folder / GOLDEN_FILE
        try:
            with np.load(path) as golden:
                images, features = golden["images"], golden["features"]
                expected = golden[self.answer.output_name]
            said = self.predict(images, features)
            answered, self.embedding = said.output, said.embedding.shape[1]
            if len(images) == 0 or answered.shape != expected.shape:
                raise ValueError(
                    f"{self.answer.output_name} of shape {expected.shape} for {len(images)} images"
                )
        except (OSError, KeyError, ValueError) as error:
            raise ServingError(
                f"{path}: the golden samples cannot be used ({error}); package again"
            ) from error
        difference = self.answer.difference(answered, expected)
        if not difference <= GOLDEN_TOLERANCE:
            raise ServingError(
                f"version {self.version}: differs from its golden samples by {difference:.2g}, at most "
                f"{GOLDEN_TOLERANCE:g} is allowed; it is not the model that was evaluated: package again"
            )
        for _ in range(WARM_UP_RUNS):
            self.predict_upload(encode_png(images[0]))
        self._tune(images, features)
        return difference

    def _tune(self, images: Images, features: Floats) -> None:
        """Finds the fastest batch size among those that do not change a single bit of an answer.

        Whether rows depend on the batch they ride in is a matter of the kernels that ONNX Runtime
        picks on this processor, so it is measured where it matters. If they do, every image runs by
        itself: the same image gets the same answer whatever else is asked at that moment.
        """
        until = time.perf_counter() + TUNE_SECONDS
        count = min(len(images), max(CHUNKS))
        alone, paces = [], []
        for i in range(count):
            began = time.perf_counter()
            alone.append(self.model.predict(images[i : i + 1], features[i : i + 1]))
            paces.append(time.perf_counter() - began)
            if time.perf_counter() > until:
                break
        best, self.pace = 1, min(paces)  # the least disturbed one
        if len(alone) == count:
            singly = [np.concatenate(part) for part in zip(*alone, strict=True)]
            for size in (size for size in CHUNKS if size <= count):
                took = []
                for start in range(0, count - size + 1, size):
                    rows = slice(start, start + size)
                    began = time.perf_counter()
                    together = self.model.predict(images[rows], features[rows])
                    took.append((time.perf_counter() - began) / size)
                    if any(not np.array_equal(a, b[rows]) for a, b in zip(together, singly, strict=True)):
                        return
                if (pace := min(took)) < self.pace:
                    best, self.pace = size, pace
                if time.perf_counter() > until:
                    break
        self.chunk = best

    def predict_upload(self, data: bytes, keys: Mapping[str, str] | None = None) -> Prediction:
        """Decodes an uploaded image as `image_of` does, and predicts.

        Raises:
            RequestRejected: as `image_of`.
            ServingError: the model failed on this image.
        """
        return self.predict(self.image_of(data), None, keys)

    def image_of(self, data: bytes) -> Images:
        """An uploaded image as the model sees it, decoded and resized as in training: [1, H, W, C].

        It may be what an image in training might be: the limits travel with the model.

        Raises:
            RequestRejected: 415, no format that is read, by content; 413, too many bytes or pixels; 400,
                damaged.
        """
        if format_of(data) is None:
            raise RequestRejected(415, f"the body {why_not_read(data)}")
        package = self.package
        try:
            pixels = read_image(data, "the body", package.max_pixels, package.max_image_mb).pixels
        except ImageTooLarge as error:
            raise RequestRejected(413, str(error), "pixels" if error.of_pixels else "size") from error
        except InvalidImage as error:
            raise RequestRejected(400, str(error), "decode") from error
        return resize(pixels, package.height, package.width, color_of(package.channels), package.fit)[None]

    def predict(
        self, images: Images, features: Floats | None, keys: Mapping[str, str] | None = None
    ) -> Prediction:
        """Predicts images uint8 [N, H, W, C]; `features` None: asked from the feature source.

        Raises:
            RequestRejected: 400, the shapes are not the model's.
            ServingError: the model failed.
        """
        self.check(images, features)
        if features is None:
            features = self._source.features(images, keys or {})
        return self.run(images, features)

    def check(self, images: Images, features: Floats | None) -> None:
        """Whether shapes are the model's.

        Raises:
            RequestRejected: 400, they are not.
        """
        package = self.package
        expected = [package.height, package.width, package.channels]
        if list(images.shape[1:]) != expected:
            raise RequestRejected(
                400,
                f"input image: its shape must be [N, {', '.join(map(str, expected))}], as the model's, "
                f"not {list(images.shape)}; POST /predict takes images of any size",
            )
        if features is not None and features.shape != (len(images), len(package.features)):
            raise RequestRejected(
                400,
                f"input features: its shape must be [{len(images)}, {len(package.features)}], "
                f"not {list(features.shape)}",
            )

    def features(self, images: Images, keys: Mapping[str, str] | None = None) -> Floats:
        """Features float32 [N, F] of images uint8 [N, H, W, C] from the feature source."""
        return self._source.features(images, keys or {})

    def run(self, images: Images, features: Floats) -> Prediction:
        """The model on arrays that `check` accepted, `chunk` images at a time.

        Raises:
            ServingError: the model failed.
        """
        size = self.chunk
        if len(images) <= size:
            return Prediction(images, features, *self.model.predict(images, features))
        parts = [
            self.model.predict(images[i : i + size], features[i : i + size])
            for i in range(0, len(images), size)
        ]
        output, embedding = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Prediction(images, features, output, embedding)
