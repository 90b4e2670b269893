"""A network of timm's, packaged at the size of photos: parity, the real server, its licence on the card."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.config import GatesConfig, ServingConfig
from linnet.packaging.package import package
from linnet.records import ModelPackage
from tests.packaging.folders import WEIGHTS, make_folders


@pytest.mark.slow
def test_package_of_photos_passes_and_says_whose_weights_it_started_from(tmp_path: Path) -> None:
    made = make_folders(tmp_path, channels=3, side=224, backbone=WEIGHTS.backbone)
    gates = GatesConfig(max_latency_p95_ms=60_000)  # the machine may be busy
    out = tmp_path / "package"
    described, decision = package(
        made.model, made.evaluation, made.training_set, gates, ServingConfig(threads=1), "photos", out
    )
    assert decision.verdict == "pass", decision.reasons
    assert described.parity_agreement == 1.0 and described.parity_max_difference < 1e-4
    assert ModelPackage.load(out / "package.json").weights == WEIGHTS
    for file in ("model_card.md", "model_card.html"):
        text = (out / file).read_text("utf-8")
        assert WEIGHTS.license in text and WEIGHTS.origin in text and WEIGHTS.sha256 in text
