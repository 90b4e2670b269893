"""Builds tiny but real model packages, good and broken, for tests of the server and of releases.

The good model bands the mean brightness of an image: with K classes, class k is the likeliest for
brightness in [k / K, (k + 1) / K). So a test knows the right answer, and images of a single gray
level cover all classes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from linnet.artifacts.onnx_model import GOLDEN_FILE, MODEL_FILE, PACKAGE_FILE, model_digest
from linnet.records import ModelPackage
from linnet.vision.decode import Fit
from linnet.vision.statistics import FEATURES, image_statistics

Broken = Literal["permuted", "slow", "raising", "nan", "nan_some", "shape", "corrupt", "golden"]
CLASSES = ("dark", "dim", "bright", "white")
RAISING_LEVEL = 5
"""The `raising` and `nan_some` models fail where the first pixel is below this: 2 % of 0..255."""


def make_package(
    folder: Path,
    *,
    classes: tuple[str, ...] = CLASSES,
    height: int = 8,
    width: int = 8,
    channels: int = 1,
    broken: Broken | None = None,
    sharpness: float = 60.0,
    slow_rounds: int = 140,
    name: str = "tiny",
    max_pixels: int = 134_217_728,
    max_image_mb: float = 100.0,
    fit: Fit = "squash",
) -> Path:
    """Writes model.onnx, package.json and golden.npz to `folder` and returns it.

    broken: `permuted` classes are rotated by one (its golden samples agree, so that it loads);
    `slow` computes `slow_rounds` matrix products more, of 25 µs each; `raising` fails (Gather out of range)
    where the first pixel is below RAISING_LEVEL, `nan_some` answers NaN there; `nan` always does;
    `shape` has one class too many; `corrupt` has damaged bytes; `golden` differs from its golden samples.
    """
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    model = _model(len(classes), height, width, channels, broken, sharpness, slow_rounds)
    onnx.save(model, str(folder / MODEL_FILE))
    package = ModelPackage(
        name=name,
        classes=classes,
        height=height,
        width=width,
        channels=channels,
        features=FEATURES,
        feature_service="image_classifier_v1",
        temperature=1.0,
        dataset_digest="0" * 32,
        max_pixels=max_pixels,
        max_image_mb=max_image_mb,
        model_digest=model_digest(folder / MODEL_FILE),
        parity_max_difference=0.0,
        parity_agreement=1.0,
        latency_p50_ms=1.0,
        latency_p95_ms=1.0,
        size_mb=0.01,
        metrics={"accuracy": 1.0},
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        fit=fit,
    )
    package.save(folder / PACKAGE_FILE)
    _save_golden(folder, package, broken, sharpness)
    if broken == "corrupt":
        damaged = bytearray((folder / MODEL_FILE).read_bytes())
        damaged[len(damaged) // 2] ^= 0xFF
        (folder / MODEL_FILE).write_bytes(bytes(damaged))
    return folder


def image_of(level: int, height: int = 8, width: int = 8, channels: int = 1) -> npt.NDArray[np.uint8]:
    """An image [H, W, C] of one gray level."""
    return np.full((height, width, channels), level, np.uint8)


def expected_probabilities(
    images: npt.NDArray[np.uint8], classes: int = len(CLASSES), sharpness: float = 60.0, shift: int = 0
) -> npt.NDArray[np.float64]:
    """What the good model answers for images [N, H, W, C]: [N, K]; `shift` 1: the permuted one."""
    brightness = images.mean(axis=(1, 2, 3), dtype=np.float64) / 255.0
    logits = -sharpness * (brightness[:, None] - _centers(classes)) ** 2
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.roll(raised / raised.sum(axis=1, keepdims=True), shift, axis=1)


def _centers(classes: int) -> npt.NDArray[np.float32]:
    return ((np.arange(classes) + 0.5) / classes).astype(np.float32)


def _save_golden(folder: Path, package: ModelPackage, broken: Broken | None, sharpness: float) -> None:
    levels = np.linspace(RAISING_LEVEL, 255, 16).astype(np.uint8)
    shape = (16, package.height, package.width, package.channels)
    images = np.ascontiguousarray(np.broadcast_to(levels[:, None, None, None], shape))
    shift = 1 if broken == "permuted" else 0
    probabilities = expected_probabilities(images, len(package.classes), sharpness, shift)
    if broken == "golden":
        probabilities = probabilities[::-1]
    np.savez(
        folder / GOLDEN_FILE,
        images=images,
        features=image_statistics(images),
        probabilities=probabilities.astype(np.float32),
    )


def _model(
    classes: int, height: int, width: int, channels: int, broken: Broken | None, sharpness: float, rounds: int
) -> Any:
    from onnx import TensorProto, checker, helper, numpy_helper

    constants = {
        "scale": np.float32(255.0),
        "center": np.roll(_centers(classes), 1 if broken == "permuted" else 0)[None],
        "sharpness": np.float32(-sharpness),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean4"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Flatten", ["mean4"], ["mean"], axis=1),
        helper.make_node("Div", ["mean", "scale"], ["brightness"]),
        helper.make_node("Sub", ["brightness", "center"], ["gap"]),
        helper.make_node("Mul", ["gap", "gap"], ["square"]),
        helper.make_node("Mul", ["square", "sharpness"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["soft"], axis=1),
        helper.make_node("Concat", ["brightness", "features"], ["embedding"], axis=1),
    ]
    last = _add_fault(nodes, constants, broken, rounds)
    nodes.append(helper.make_node("Identity", [last], ["probabilities"]))
    wide = classes + (1 if broken == "shape" else 0)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", height, width, channels]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", len(FEATURES)]),
        ],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", wide]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", len(FEATURES) + 1]),
        ],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    return model


def _product() -> Any:
    """The body of a Loop: state times weights."""
    from onnx import TensorProto, helper

    values = helper.make_tensor_value_info
    return helper.make_graph(
        [
            helper.make_node("Identity", ["again"], ["go_on"]),
            helper.make_node("MatMul", ["before", "weights"], ["after"]),
        ],
        "product",
        [
            values("round", TensorProto.INT64, []),
            values("again", TensorProto.BOOL, []),
            values("before", TensorProto.FLOAT, [1, 512]),
        ],
        [values("go_on", TensorProto.BOOL, []), values("after", TensorProto.FLOAT, [1, 512])],
    )


def _add_fault(nodes: list[Any], constants: dict[str, Any], broken: Broken | None, rounds: int) -> str:
    """Adds the nodes of the fault; returns the name of the tensor that holds the probabilities."""
    from onnx import TensorProto, helper

    if broken == "slow":  # a chain that ends in zeros to add, but that no optimizer can fold
        constants["weights"] = np.full((512, 512), 1e-6, np.float32)
        constants["start"] = np.zeros((1, 512), np.float32)
        constants["first"] = np.zeros((1,), np.int64)
        nodes.append(helper.make_node("Gather", ["brightness", "first"], ["one"], axis=0))
        nodes.append(helper.make_node("Add", ["start", "one"], ["state"]))
        constants["rounds"] = np.int64(rounds)  # one Loop: a node a product takes long to load
        nodes.append(helper.make_node("Loop", ["rounds", "", "state"], ["last"], body=_product()))
        nodes.append(helper.make_node("ReduceMax", ["last"], ["tiny"], axes=[0, 1], keepdims=0))
        nodes.append(helper.make_node("Add", ["soft", "tiny"], ["slowed"]))
        return "slowed"
    if broken == "shape":
        constants["extra"] = np.zeros((1,), np.int64)
        nodes.append(helper.make_node("Gather", ["soft", "extra"], ["more"], axis=1))
        nodes.append(helper.make_node("Concat", ["soft", "more"], ["wider"], axis=1))
        return "wider"
    if broken in ("raising", "nan_some", "nan"):
        constants["axes_end"] = np.ones((3,), np.int64)
        constants["axes_start"] = np.zeros((3,), np.int64)
        constants["axes"] = np.array([1, 2, 3], np.int64)
        constants["level"] = np.float32(1e9 if broken == "nan" else RAISING_LEVEL)
        nodes.append(helper.make_node("Slice", ["float", "axes_start", "axes_end", "axes"], ["pixel4"]))
        nodes.append(helper.make_node("Flatten", ["pixel4"], ["pixel"], axis=1))
        nodes.append(helper.make_node("Less", ["pixel", "level"], ["fails"]))
        if broken == "raising":  # index 1 of a table with one row is out of range
            constants["table"] = np.zeros((1,), np.float32)
            nodes.append(helper.make_node("Cast", ["fails"], ["index"], to=TensorProto.INT64))
            nodes.append(helper.make_node("Gather", ["table", "index"], ["nothing"], axis=0))
        else:  # 0 / 0 where it fails, 0 / 1 elsewhere
            constants["unit"], constants["zero"] = np.float32(1.0), np.float32(0.0)
            nodes.append(helper.make_node("Cast", ["fails"], ["flag"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Sub", ["unit", "flag"], ["divisor"]))
            nodes.append(helper.make_node("Div", ["zero", "divisor"], ["nothing"]))
        nodes.append(helper.make_node("Add", ["soft", "nothing"], ["faulty"]))
        return "faulty"
    return "soft"
