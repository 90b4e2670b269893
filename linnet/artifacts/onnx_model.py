"""A packaged model, loaded: what packaging tests and what the server serves are this one class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from linnet.errors import ServingError, StorageError
from linnet.process.cpus import available_cpus
from linnet.records import ModelPackage
from linnet.tasks.answer import answer_of_package
from linnet.vision.statistics import FEATURES, image_statistics

OpenSession = Callable[[Path, int], Any]
Floats = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]

MODEL_FILE, PACKAGE_FILE, GOLDEN_FILE = "model.onnx", "package.json", "golden.npz"
_INPUTS = {"image": "tensor(uint8)", "features": "tensor(float)"}
EMBEDDING = "embedding"
"""The output beside the task's."""


class _Node(Protocol):
    """What ONNX Runtime says of an input or output; a dimension is a number, a name or None."""

    name: str
    type: str
    shape: list[int | str | None]


def model_digest(path: Path, size: int = 20) -> str:
    """blake2b digest of a file: 2 * `size` hex digits; `ModelPackage.model_digest` has 40."""
    digest = hashlib.blake2b(digest_size=size)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


class PackagedModel:
    """An ONNX session that keeps to the package's contract; `predict` may be called by many threads."""

    def __init__(self, package: ModelPackage, session: Any) -> None:
        self.package = package
        self.answer = answer_of_package(package)
        """Reads what `predict` gives."""
        self.row_shape = self.answer.row_shape(package.height, package.width)
        """The shape of a row of that."""
        self._session = session
        known = set(package.features) <= set(FEATURES)
        self._columns = [FEATURES.index(name) for name in package.features] if known else None

    @classmethod
    def load(cls, folder: Path, threads: int = 0, open_with: OpenSession | None = None) -> PackagedModel:
        """Loads and checks the package in `folder`: files, digest, names, types, shapes, one prediction.

        `threads`: ONNX Runtime threads of the session; 0: as many as there are cores. `open_with`: opens
        the session elsewhere than in this process.

        Raises:
            ServingError: the package is missing, damaged, or not a model that Linnet can serve.
        """
        package = read_package(folder)
        model = cls(package, (open_with or open_session)(folder / MODEL_FILE, threads))
        model._check_signature()
        probe = np.full((2, package.height, package.width, package.channels), 128, np.uint8)
        model.predict(probe, np.zeros((2, len(package.features)), np.float32))
        return model

    def features(self, images: Images) -> Floats:
        """Statistics of images uint8 [N, H, W, C] in the order of the package: float32 [N, F].

        Raises:
            ServingError: the model needs a feature that cannot be computed from pixels.
        """
        if self._columns is None:
            unknown = [name for name in self.package.features if name not in FEATURES]
            raise ServingError(
                f"model {self.package.name}: the features {unknown} cannot be computed from the image; "
                "send them with the request"
            )
        return np.ascontiguousarray(image_statistics(images)[:, self._columns])

    def memory_mb(self) -> float:
        """Memory of the session's own process; 0: it has none, or the system does not say."""
        measure = getattr(self._session, "memory_mb", None)
        return float(measure()) if measure is not None else 0.0

    def predict(self, images: Images, features: Floats | None = None) -> tuple[Floats, Floats]:
        """The task's output, float32 with N rows, and embedding float32 [N, D] of images uint8 [N, H, W, C].

        `features` float32 [N, F]; None: computed from the images.

        Raises:
            ValueError: an array has another shape or type than the package says.
            ServingError: the model failed, or its output cannot be that of its task.
        """
        package = self.package
        expected = (len(images), package.height, package.width, package.channels)
        if images.shape != expected or images.dtype != np.uint8:
            raise ValueError(f"images must be uint8 {expected}, not {images.dtype} {images.shape}")
        if features is None:
            features = self.features(images)
        if features.shape != (len(images), len(package.features)) or features.dtype != np.float32:
            raise ValueError(
                f"features must be float32 {(len(images), len(package.features))}, "
                f"not {features.dtype} {features.shape}"
            )
        try:
            outputs = self._session.run(
                [self.answer.output_name, EMBEDDING], {"image": images, "features": features}
            )
        except Exception as error:  # onnxruntime's errors share no public base
            raise ServingError(f"model {package.name} failed: {_first_line(error)}") from error
        return self._checked(len(images), outputs[0], outputs[1])

    def _checked(self, count: int, output: Floats, embedding: Floats) -> tuple[Floats, Floats]:
        expected, kind = (count, *self.row_shape), self.answer.output_name
        name = self.package.name
        if output.shape != expected:
            raise ServingError(f"model {name} answered {kind} of shape {output.shape}, not {expected}")
        if embedding.ndim != 2 or len(embedding) != count:
            raise ServingError(f"model {name} answered an embedding of shape {embedding.shape}")
        if problem := self.answer.problem(output):
            raise ServingError(f"model {name} answered numbers that are not {kind} ({problem})")
        return output, embedding

    def _check_signature(self) -> None:
        package, name = self.package, self.answer.output_name
        sizes: dict[str, list[int | None]] = {
            "image": [None, package.height, package.width, package.channels],
            "features": [None, len(package.features)],
            name: [None, *self.row_shape],
            EMBEDDING: [None, None],
        }
        _check_nodes("input", self._session.get_inputs(), _INPUTS, sizes)
        outputs = dict.fromkeys((name, EMBEDDING), "tensor(float)")
        _check_nodes("output", self._session.get_outputs(), outputs, sizes)


def read_package(folder: Path) -> ModelPackage:
    """What package.json says; the model's digest is checked.

    Raises:
        ServingError: the package is missing or damaged.
    """
    remedy = "package the model again, or name the folder that `package` wrote"
    for name in (PACKAGE_FILE, MODEL_FILE):
        if not (folder / name).is_file():
            raise ServingError(f"{folder}: is not a model package, {name} is missing; {remedy}")
    try:
        package = ModelPackage.load(folder / PACKAGE_FILE)
        found = model_digest(folder / MODEL_FILE, len(package.model_digest) // 2)
    except StorageError as error:
        raise ServingError(f"{error}; {remedy}") from error
    except (OSError, ValueError) as error:
        raise ServingError(f"{folder}: the package cannot be read ({error}); {remedy}") from error
    if found != package.model_digest:
        raise ServingError(
            f"{folder / MODEL_FILE}: its digest is {found}, but {PACKAGE_FILE} says {package.model_digest}; "
            f"the file is damaged or was replaced: {remedy}"
        )
    return package


def open_session(path: Path, threads: int) -> Any:
    """An ONNX Runtime session of a model file, in this process; `threads` 0: as many as there are cores.

    Raises:
        ServingError: it cannot be loaded.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_cpus()
    options.inter_op_num_threads = 1
    # Idle threads that spin take the cores from decoding and from the other version's session.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # a failing request is counted and logged by us, with its id
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no public base
        raise ServingError(f"{path}: ONNX Runtime cannot load it ({_first_line(error)})") from error


def _check_nodes(
    kind: str, nodes: Sequence[_Node], types: dict[str, str], sizes: dict[str, list[int | None]]
) -> None:
    found = {node.name: node for node in nodes}
    if set(found) != set(types):
        raise ServingError(f"the model's {kind}s are {sorted(found)}, but {sorted(types)} are expected")
    for name, node in found.items():
        wanted = sizes[name]
        fits = len(node.shape) == len(wanted) and all(
            not isinstance(have, int) or want is None or have == want
            for have, want in zip(node.shape, wanted, strict=True)
        )
        # The batch must be free: a model that takes only one image would fail on a batch of two.
        if node.type != types[name] or not fits or isinstance(node.shape[0], int):
            raise ServingError(
                f"the model's {kind} {name} is {node.type} {node.shape}, but {types[name]} "
                f"{['N', *wanted[1:]]} is expected"
            )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
