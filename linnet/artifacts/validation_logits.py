"""What the model said of the validation split while it had not learned from it, beside `model.pt`.

A head on a frozen backbone learns from the validation images, too, in the end. What calibrates it, and what
finds doubtful labels, must then come from the head that had not seen them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from linnet.errors import StorageError
from linnet.records import TrainingSetManifest

FILE = "validation.npz"
Floats32 = npt.NDArray[np.float32]


def write_validation_logits(folder: Path, logits: Floats32, digest: str) -> None:
    """Writes float32 [N, K]; `digest` names data and labels.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / FILE, logits=logits.astype(np.float32), digest=np.array(digest))
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written ({error}); free some space") from error


def unseen_logits(model: Path, training_set: Path, count: int) -> Floats32 | None:
    """As `read_validation_logits`, for the `count` validation images of a training set.

    Raises:
        StorageError: a file of the model or the training set is damaged.
    """
    about = TrainingSetManifest.load(training_set / "training_set.json")
    return read_validation_logits(model, f"{about.dataset_digest}/{about.labels_digest}", count)


def read_validation_logits(folder: Path, digest: str, count: int) -> Floats32 | None:
    """The logits [count, K]; None if the model learned from no validation image of this training set.

    Raises:
        StorageError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            logits, found = stored["logits"], str(stored["digest"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise StorageError(f"{path}: damaged ({error}); train the model again") from error
    return logits if found == digest and len(logits) == count else None
