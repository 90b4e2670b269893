"""The package's bill of materials: the model, the weights it started from, its data and libraries.

CycloneDX 1.6 in JSON (ECMA-424), which scanners of licences and vulnerabilities read.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from linnet.artifacts.onnx_model import MODEL_FILE
from linnet.cache.digest import file_digest
from linnet.records import ModelPackage, PretrainedWeights, TrainingReport
from linnet.storage.files import write_text

FILE = "sbom.cdx.json"
_MODEL, _DATA, _WEIGHTS = "model", "data", "pretrained-weights"
_SPACE = uuid.UUID("9b1f5f0e-6d0b-5c56-8f39-3d1f1b3f6f6a")
"""Makes serial numbers of the models' digests: the same package has the same number."""


def write_sbom(out: Path, package: ModelPackage, training: TrainingReport) -> None:
    """Writes `sbom.cdx.json` into the folder `out`, where `model.onnx` lies.

    Raises:
        StorageError: the folder cannot be read or written.
    """
    parts = [_data(package), *_libraries(training)]
    if package.weights:
        parts.insert(0, _weights(package.weights))
    model = {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": package.name,
        "version": package.model_digest,
        "hashes": [{"alg": "SHA-256", "content": file_digest(out / MODEL_FILE)}],
        "modelCard": {"modelParameters": {"task": package.task, "datasets": [{"ref": _DATA}]}},
    }
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, package.model_digest)}",
        "version": 1,
        "metadata": {"timestamp": package.created_at.isoformat(), "component": model},
        "components": parts,
        "dependencies": [{"ref": _MODEL, "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    write_text(out / FILE, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _weights(weights: PretrainedWeights) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": _WEIGHTS,
        "name": weights.backbone,
        "description": f"pretrained weights: {weights.origin}",
        "hashes": [{"alg": "SHA-256", "content": weights.sha256}],
        "licenses": [{"license": _license(weights.license)}],
        "properties": [{"name": "linnet:origin", "value": weights.origin}],
    }
    return found | ({"purl": weights.purl} if weights.purl else {})


def _license(named: str) -> dict[str, str]:
    """By its SPDX identifier where it is one; whatever else a publisher wrote is kept as a name."""
    try:
        found = str(canonicalize_license_expression(named))
    except InvalidLicenseExpression:
        return {"name": named}
    return {"name": named} if " " in found or found.startswith("LicenseRef-") else {"id": found}


def _data(package: ModelPackage) -> dict[str, Any]:
    return {
        "type": "data",
        "bom-ref": _DATA,
        "name": "training data",
        "version": package.dataset_digest,
        "data": [{"type": "dataset", "name": package.dataset_digest}],
    }


def _libraries(training: TrainingReport) -> list[dict[str, Any]]:
    """What trained it; the interpreter is a platform, everything else a package of PyPI."""
    found: list[dict[str, Any]] = []
    for name, version in sorted(training.versions.items()):
        about: dict[str, Any] = {
            "type": "library",
            "bom-ref": f"library-{name}",
            "name": name,
            "version": version,
        }
        if name == "python":
            found.append(about | {"type": "platform"})
        else:
            found.append(about | {"purl": f"pkg:pypi/{name}@{version.replace('+', '%2B')}"})
    return found
