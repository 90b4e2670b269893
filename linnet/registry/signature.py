"""MLflow's description of a package (`MLmodel`): its signature, and how `mlflow.pyfunc` loads it.

Written from the package's own record: MLflow's own way would load the model and pandas with it.
Format: MLflow documentation, "MLflow Models", storage format and tensor-based signatures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from linnet.records import ModelPackage
from linnet.tasks.answer import answer_of_package


def signature(package: ModelPackage) -> dict[str, list[dict[str, Any]]]:
    """Tensor specifications of the inputs and outputs; -1 is a free dimension."""
    answer = answer_of_package(package)

    def tensor(name: str, kind: str, *shape: int) -> dict[str, Any]:
        return {"name": name, "type": "tensor", "tensor-spec": {"dtype": kind, "shape": [-1, *shape]}}

    return {
        "inputs": [
            tensor("image", "uint8", package.height, package.width, package.channels),
            tensor("features", "float32", len(package.features)),
        ],
        "outputs": [
            tensor(answer.output_name, "float32", *answer.row_shape(package.height, package.width)),
            tensor("embedding", "float32", -1),
        ],
    }


def write_descriptor(package: Path, path: Path, run_id: str, model_id: str) -> None:
    """Writes the MLmodel file of the package folder to `path`. JSON is YAML, which MLflow reads."""
    described = ModelPackage.load(package / "package.json")
    document = {
        "flavors": {
            "onnx": {"data": "model.onnx", "code": None, "providers": ["CPUExecutionProvider"]},
            "python_function": {"loader_module": "mlflow.onnx", "data": "model.onnx"},
        },
        "signature": {
            **{side: json.dumps(specs) for side, specs in signature(described).items()},
            "params": None,
        },
        "run_id": run_id,
        "model_id": model_id,
        "model_uuid": model_id,
        "utc_time_created": f"{described.created_at:%Y-%m-%d %H:%M:%S.%f}",
        "model_size_bytes": (package / "model.onnx").stat().st_size,
    }
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
