"""NVIDIA's client of the Open Inference Protocol, unmodified, against the real server."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import tritonclient.http as client

from linnet.vision.statistics import image_statistics
from tests.serving.packages import image_of, make_package
from tests.serving.running import running


@pytest.mark.parametrize("binary", [True, False], ids=["binary tensors", "JSON"])
def test_tritonclient_infers_and_reads_what_the_server_says_of_itself(tmp_path: Path, binary: bool) -> None:
    images = np.stack([image_of(level) for level in (10, 90, 150, 250)])
    given = (("image", "UINT8", images), ("features", "FP32", image_statistics(images)))
    with running(tmp_path / "run", make_package(tmp_path / "package"), "7", "--workers", "1") as server:
        triton = client.InferenceServerClient(urlsplit(server.state.url).netloc)
        assert triton.is_server_live() and triton.is_server_ready() and triton.is_model_ready("tiny", "7")
        inputs = []
        for name, kind, values in given:
            tensor = client.InferInput(name, list(values.shape), kind)
            tensor.set_data_from_numpy(values, binary_data=binary)
            inputs.append(tensor)
        asked = [client.InferRequestedOutput("probabilities", binary_data=binary)]
        answer = triton.infer("tiny", inputs, request_id="r1", outputs=asked)
        triton.close()
    assert answer.get_response()["id"] == "r1" and answer.get_response()["model_version"] == "7"
    assert answer.as_numpy("probabilities").argmax(1).tolist() == [0, 1, 2, 3]
