"""What an answer of the exported segmentation model takes on a CPU: `python -m benchmarks mask_latency`.

Beside it the model of segmentation-models-pytorch's own first example, a U-Net on ResNet-34, exported as it
is. Linnet's has more inside: scaling, statistics, upsampling, temperature, class and probability a pixel.
Weights are random: they do not matter to the time. Processor time of one thread, which a busy machine
changes little; one image at a time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import segmentation_models_pytorch as smp
import torch

from benchmarks.machine import describe
from linnet.config import PHOTO_BACKBONE
from linnet.packaging.export import export
from linnet.tasks.model import model_of
from linnet.vision.backbones import plan_backbone
from linnet.vision.statistics import FEATURES

TASK, CLASSES, ROUNDS = "segmentation", 5, 40
SIDES = 64, 96, 256


def milliseconds(path: Path, feed: dict[str, Any]) -> float:
    """Median processor time of an answer."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        session.run(None, feed)
        took.append(1000 * (time.process_time() - began))
    return statistics.median(took)


def ours(side: int, folder: Path) -> float:
    """Linnet's export, as it is served."""
    about = plan_backbone(
        name=PHOTO_BACKBONE, height=side, width=side, channels=3, features=len(FEATURES), classes=CLASSES,
        flip_average=False,
    )  # fmt: skip
    path = export(model_of(TASK).network(about).eval(), 1.0, folder, TASK)
    image = np.zeros((1, side, side, 3), np.uint8)
    return milliseconds(path, {"image": image, "features": np.zeros((1, len(FEATURES)), np.float32)})


def theirs(side: int, folder: Path) -> float:
    """The example's model: logits of normalized pixels."""
    network = smp.Unet(encoder_name="resnet34", encoder_weights=None, in_channels=3, classes=CLASSES + 1)
    path, image = folder / "smp.onnx", torch.zeros(1, 3, side, side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one
        torch.onnx.export(network.eval(), (image,), path, input_names=["image"], dynamo=False)
    return milliseconds(path, {"image": image.numpy()})


def main() -> None:
    """Prints a row a size."""
    print(describe("torch", "onnxruntime", "segmentation-models-pytorch"))
    with tempfile.TemporaryDirectory() as folder:
        for side in SIDES:
            mine, other = ours(side, Path(folder)), theirs(side, Path(folder))
            print(f"{side} x {side}: {mine:.1f} ms, smp's example {other:.1f} ms: {other / mine:.1f} times")


if __name__ == "__main__":
    main()
