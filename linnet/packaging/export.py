"""The trained network as ONNX, with everything between uint8 pixels and answers inside.

Inputs: image uint8 [N, H, W, C], features float32 [N, F]; outputs: what the task answers, float32 with N rows
(such as probabilities [N, K]), and embedding float32 [N, D]; N is free.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.artifacts.onnx_model import MODEL_FILE
from linnet.config import DEFAULT_TASK
from linnet.errors import PackagingError
from linnet.storage.files import replacing
from linnet.tasks.answer import answer_of

if TYPE_CHECKING:
    from torch import nn

OPSET = 17
"""ONNX operator set (ONNX 1.12): everything the network needs, and old runtimes still load it."""
_INPUTS = "image", "features"


def export(network: nn.Module, temperature: float, folder: Path, task: str = DEFAULT_TASK) -> Path:
    """Writes `model.onnx` of an eval-mode network into `folder`, checked; returns its path.

    Equal weights and versions give equal bytes: what the exporter notes about source lines is taken out.

    Raises:
        PackagingError: the temperature is not a positive number, or the network cannot be exported.
    """
    if not 0 < temperature < float("inf"):
        raise PackagingError(f"the temperature is {temperature}, not a positive number: evaluate again")
    path = folder / MODEL_FILE
    try:
        with replacing(path) as scratch:
            _trace(network, temperature, scratch, task)
            _clean(scratch)
    except Exception as error:  # torch and onnx raise many kinds on what they cannot express
        raise PackagingError(f"the model cannot be exported to ONNX: {error}") from error
    return path


def _trace(network: nn.Module, temperature: float, path: Path, task: str) -> None:
    import torch

    about: dict[str, Any] = network.architecture  # type: ignore[assignment]
    # A batch of two: with one, the tracer could take the batch for a constant 1 and broadcast it.
    images = torch.zeros((2, about["height"], about["width"], about["channels"]), dtype=torch.uint8)
    example = images, torch.zeros((2, about["features"]))
    outputs = answer_of(task, ()).output_name, "embedding"
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one: see below
        # Tracing takes a tenth of the time of torch.export here and needs no onnxscript; this network
        # has no control flow that depends on data, and parity is measured afterwards.
        torch.onnx.export(
            _served(network, temperature, task).eval(),
            example,
            str(path),
            input_names=list(_INPUTS),
            output_names=list(outputs),
            dynamic_axes={name: {0: "N"} for name in _INPUTS + outputs},
            opset_version=OPSET,
            dynamo=False,
        )


def _served(network: nn.Module, temperature: float, task: str) -> nn.Module:
    from torch import Tensor, nn

    from linnet.tasks.model import model_of

    learned = model_of(task)

    class ServedNetwork(nn.Module):
        """The network with the task's answer in place of logits."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
            logits, embedding = self.network(image, features)
            return learned.output(logits, temperature), embedding

    return ServedNetwork()


def _clean(path: Path) -> None:
    """Removes what differs from machine to machine, and checks the model."""
    import onnx

    model = onnx.load(str(path))
    model.producer_version = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
