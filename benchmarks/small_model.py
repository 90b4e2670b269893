"""A small real champion for measurements of the monitoring: trained in seconds on Fashion-MNIST, no torch.

One hidden layer of 48 units on the pixels (scikit-learn), exported as an ONNX package with its
reference. What is measured of it is the monitoring, not the model.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.artifacts.onnx_model import GOLDEN_FILE, MODEL_FILE, PACKAGE_FILE, PackagedModel, model_digest
from linnet.artifacts.reference import REFERENCE_FILE
from linnet.data.fetch import fetch
from linnet.data.idx import read_idx
from linnet.packaging.reference import summarize
from linnet.records import ModelPackage, TrainingSetManifest, now
from linnet.vision.statistics import FEATURES, image_statistics

CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_TRAINED, _HELD_OUT, _HIDDEN = 20_000, 5_000, 48
Images = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


def fashion() -> dict[str, npt.NDArray[Any]]:
    """images [N, 28, 28, 1] and labels [N] of the official splits, from wherever `data.dvc` finds them."""
    raw = read_idx(fetch(Path("data.dvc")), CLASSES)
    found: dict[str, npt.NDArray[Any]] = {}
    for split in ("train", "test"):
        rows = [row for row in raw.rows if row.split == split]
        found[f"images-{split}"] = np.stack([row.source for row in rows])
        found[f"labels-{split}"] = np.array([CLASSES.index(row.label) for row in rows])
    return found


def make_champion(folder: Path, data: dict[str, npt.NDArray[Any]]) -> tuple[Images, Ints]:
    """Writes a package with its reference to `folder`; gives images and labels that it never saw."""
    from sklearn.neural_network import MLPClassifier

    images, labels = data["images-train"], data["labels-train"]
    rows = np.random.default_rng(0).permutation(len(images))
    trained, held = rows[:_TRAINED], rows[_TRAINED : _TRAINED + _HELD_OUT]
    network = MLPClassifier((_HIDDEN,), batch_size=200, learning_rate_init=2e-3, max_iter=8, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it could learn on
        network.fit(images[trained].reshape(_TRAINED, -1) / np.float32(255.0), labels[trained])
    folder.mkdir(parents=True, exist_ok=True)
    _export(network, folder / MODEL_FILE)
    about = TrainingSetManifest(
        classes=CLASSES, features=FEATURES, feature_service="image_classifier_v1", height=28, width=28,
        channels=1, dataset_digest="fashion", labels_digest="", counts={"train": _TRAINED},
    )  # fmt: skip
    ModelPackage(
        name="small", classes=CLASSES, height=28, width=28, channels=1, features=FEATURES,
        feature_service=about.feature_service, temperature=1.0, dataset_digest="fashion",
        model_digest=model_digest(folder / MODEL_FILE), parity_max_difference=0.0, parity_agreement=1.0,
        latency_p50_ms=1.0, latency_p95_ms=1.0, size_mb=0.2, metrics={}, created_at=now(),
    ).save(folder / PACKAGE_FILE)  # fmt: skip
    model = PackagedModel.load(folder)
    seen, features = images[held], image_statistics(images[held])
    probabilities, embedding = model.predict(seen, features)
    summarize(
        about,
        image_statistics(images[trained]),
        seen,
        features,
        labels[held],
        probabilities,
        embedding,
    ).save(folder / REFERENCE_FILE)
    np.savez(folder / GOLDEN_FILE, images=seen[:16], features=features[:16], probabilities=probabilities[:16])
    free = rows[_TRAINED + _HELD_OUT :]
    return images[free], labels[free]


def _export(network: Any, path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    (first, second), (bias, last) = network.coefs_, network.intercepts_
    constants = {"scale": 255.0, "first": first, "bias": bias, "second": second, "last": last}
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "scale"], ["unit"]),
        helper.make_node("Flatten", ["unit"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "first"], ["mixed"]),
        helper.make_node("Add", ["mixed", "bias"], ["shifted"]),
        helper.make_node("Relu", ["shifted"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "second"], ["scores"]),
        helper.make_node("Add", ["scores", "last"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        # The features are an input of every package; this model does not weigh them.
        helper.make_node("Concat", ["hidden", "features"], ["embedding"], axis=1),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "small",
        [
            info("image", TensorProto.UINT8, ["N", 28, 28, 1]),
            info("features", TensorProto.FLOAT, ["N", len(FEATURES)]),
        ],
        [
            info("probabilities", TensorProto.FLOAT, ["N", len(CLASSES)]),
            info("embedding", TensorProto.FLOAT, ["N", _HIDDEN + len(FEATURES)]),
        ],
        [numpy_helper.from_array(np.asarray(value, np.float32), key) for key, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
