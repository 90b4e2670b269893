"""Drifted streams: real images as they would come after something changed, with the labels they have.

Each kind is one of the changes that the literature tells apart. Severity 0 is no change, 1 the largest:

- `blur`: a lens out of focus; Gaussian of sigma up to an eighth of the image's side.
- `noise`: a poor sensor; Gaussian of up to 96 gray levels.
- `darken`: less light; down to a tenth of the brightness.
- `invert`: an upstream change of format; the share of images that come as negatives.
- `class-mix`: images with classes of one half become rarer, down to none (a change of the prior).
- `label-shift`: one class grows, up to all images of the stream (the tweak-one shift of Lipton, Wang & Smola,
  "Detecting and Correcting for Label Shift with Black Box Predictors", ICML 2018). Images of a class
  look as ever.
- `new-class`: the share of images of a kind that was never seen: handwritten digits (UCI, as
  scikit-learn ships them). Their label is `digit`.
- `relabel`: concept drift; images as ever, but the share of labels that people give otherwise than
  before. It shows in feedback only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from linnet.artifacts.onnx_model import Images
from linnet.config import DEFAULT_TASK
from linnet.errors import ConfigError, LinnetError
from linnet.progress import Progress
from linnet.tasks.agree import agreement_of
from linnet.tasks.target import Targets, target_of
from linnet.vision.decode import color_of, resize

Kind = Literal["blur", "noise", "darken", "invert", "class-mix", "label-shift", "new-class", "relabel"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NEW_CLASS = "digit"
_WORKERS = 8


@dataclass(frozen=True)
class ImagePool:
    """Real images [N, H, W, C] to draw from, with their labels as the task encodes them."""

    images: Images
    labels: Targets
    """N rows"""
    classes: tuple[str, ...]
    task: str = DEFAULT_TASK


def drifted(
    pool: ImagePool, kinds: Sequence[str], severity: float, count: int, seed: int = 0
) -> Iterator[tuple[Images, str]]:
    """Draws `count` images, uint8 [H, W, C], from the pool with what they show.

    `kinds` act one after another.

    Raises:
        ConfigError: there is no such kind, or the severity is not in [0, 1].
    """
    check(kinds, severity)
    if "new-class" in kinds and target_of(pool.task).spatial:
        problem = f"new-class says what an image shows, and not where, as a label of {pool.task} does"
        raise ConfigError("--kind", problem, "choose another kind")
    rng, target = np.random.default_rng(seed), target_of(pool.task)
    weights = _weights(pool, kinds, severity)
    renamed = dict(zip(pool.classes, (*pool.classes[1:], pool.classes[0]), strict=True))
    strangers = _foreign_images(pool.images.shape[1:]) if "new-class" in kinds else None
    for _ in range(count):
        row = int(rng.choice(len(weights), p=weights))
        image, label = np.asarray(pool.images[row]), target.decode(pool.labels[row], pool.classes)
        if strangers is not None and rng.random() < severity:
            image, label = strangers[int(rng.integers(len(strangers)))], target.label((NEW_CLASS,))
        if "relabel" in kinds and rng.random() < severity:
            label = target.renamed(target.decode(pool.labels[row], pool.classes), renamed.__getitem__)
        for kind in kinds:
            image = _change(image, kind, severity, rng)
        yield image, label


def check(kinds: Sequence[str], severity: float) -> None:
    """Refuses kinds that are not known and severities outside [0, 1]."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ConfigError(
            "--kind", f"there is no kind {', '.join(unknown) or 'given'}", f"one of {', '.join(KINDS)}"
        )
    if not 0.0 <= severity <= 1.0:
        raise ConfigError("--severity", f"{severity:g} is not between 0 and 1")


def _weights(pool: ImagePool, kinds: Sequence[str], severity: float) -> npt.NDArray[np.float64]:
    weights = np.ones(len(pool.labels))
    size = len(pool.classes)
    shown = target_of(pool.task).matrix(pool.labels, size)
    if "class-mix" in kinds:
        weights[shown[:, size - size // 2 :].any(axis=1)] *= 1.0 - severity
    if "label-shift" in kinds:
        inside = shown[:, size // 2]
        share = max(float(inside.mean()), 1e-12)
        grown = share + severity * (1.0 - share)
        weights[inside] *= grown / share
        weights[~inside] *= (1.0 - grown) / max(1.0 - share, 1e-12)
    normal: npt.NDArray[np.float64] = weights / weights.sum()
    return normal


def _change(image: Images, kind: str, severity: float, rng: np.random.Generator) -> Images:
    if severity == 0.0:
        return image
    if kind == "blur":
        from scipy.ndimage import gaussian_filter

        sigma = severity * min(image.shape[:2]) / 8.0
        return _bytes(gaussian_filter(image.astype(np.float32), (sigma, sigma, 0.0)))
    if kind == "noise":
        return _bytes(image + rng.normal(0.0, 96.0 * severity, image.shape))
    if kind == "darken":
        return _bytes(image * (1.0 - 0.9 * severity))
    if kind == "invert" and rng.random() < severity:
        return 255 - image
    return image


def _bytes(values: npt.NDArray[np.floating[Any]]) -> Images:
    rounded: Images = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def _foreign_images(shape: tuple[int, ...]) -> Images:
    """Handwritten digits in the pool's size and colors: uint8 [N, H, W, C]."""
    from sklearn.datasets import load_digits

    height, width, channels = shape
    digits = (load_digits().images * (255.0 / 16.0)).astype(np.uint8)
    return np.stack([resize(digit[..., None], height, width, color_of(channels)) for digit in digits])


@dataclass
class Sent:
    """How a stream went."""

    answered: int = 0
    failed: int = 0
    late: int = 0
    """Requests that could not be sent on time: the server, or this machine, is slower than the rate."""
    right: float = 0.0
    """How far the answers agree with what the images show, added up; of one class, how many are right."""
    problem: str = ""
    """The first failure."""
    labels: list[tuple[str, str]] = field(default_factory=list)
    """Request id and true label of every answered request."""


Ask = Callable[[Images], tuple[str, str]]
"""Sends an image; gives request id and the label that is answered. Raises LinnetError."""


def play(
    stream: Iterator[tuple[Images, str]],
    ask: Ask,
    rate: float,
    count: int,
    seconds: float | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    task: str = DEFAULT_TASK,
) -> Sent:
    """Sends a stream at `rate` requests a second, at most `count` of them or for `seconds`.

    Open loop: request i is due at i / rate, whether or not those before it were answered.
    """
    sent, lock, began = Sent(), threading.Lock(), clock()
    agreement = agreement_of(task)
    room = threading.BoundedSemaphore(_WORKERS * 4)

    def one(image: Images, label: str) -> None:
        try:
            request_id, predicted = ask(image)
            with lock:
                sent.answered += 1
                sent.right += agreement(predicted, label)
                sent.labels.append((request_id, label))
        except LinnetError as error:
            with lock:
                sent.failed += 1
                sent.problem = sent.problem or str(error)
        finally:
            room.release()

    with ThreadPoolExecutor(_WORKERS, "simulate") as pool:
        for number, (image, label) in enumerate(stream):
            due = began + number / rate
            if seconds is not None and number / rate >= seconds:
                break
            if (wait := due - clock()) > 0:
                sleep(wait)
            sent.late += wait < -1.0
            room.acquire()
            pool.submit(one, image, label)
            if progress:
                progress("requests", number + 1, count)
    return sent
