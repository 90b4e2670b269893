"""A client that prepares tensors by the model's metadata sends what the server makes of the file."""

from __future__ import annotations

import importlib.util
import io
import json
import urllib.request
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from linnet.records import ModelPackage
from linnet.serving.protocol import model_metadata
from linnet.vision.decode import Fit, color_of, decode, encode_png, resize
from tests.serving.packages import make_package
from tests.serving.running import running

REPOSITORY = Path(__file__).resolve().parents[2]


def load_client() -> Any:
    spec = importlib.util.spec_from_file_location("send_tensor", REPOSITORY / "examples" / "send_tensor.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


client = load_client()
FITS: tuple[Fit, ...] = get_args(Fit)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    """Images as people have them: odd proportions, modes, transparency, turned by EXIF."""
    rng = np.random.default_rng(1)

    def noise(height: int, width: int, channels: int) -> np.ndarray[Any, Any]:
        return rng.integers(0, 256, (height, width, channels), np.uint8)

    turned = Image.Exif()
    turned[0x0112] = 6
    deep = rng.integers(0, 65536, (31, 17), np.uint16)
    return {
        "long": encode_png(noise(9, 160, 3)),
        "tall": encode_png(noise(133, 11, 1)),
        "one row": encode_png(noise(1, 40, 3)),
        "as it is": encode_png(noise(24, 40, 3)),
        "turned": saved(Image.fromarray(noise(30, 70, 3)), "JPEG", exif=turned.tobytes()),
        "clear": saved(Image.fromarray(noise(50, 33, 4), "RGBA")),
        "gray and clear": saved(Image.fromarray(noise(50, 33, 2), "LA")),
        "palette": saved(Image.fromarray(noise(41, 57, 3)).quantize(16)),
        "one bit": saved(Image.fromarray(noise(41, 57, 1)[:, :, 0]).convert("1")),
        "deep": saved(Image.fromarray(deep)),
        "deep and clear": saved(Image.fromarray(deep), transparency=int(deep[3, 3])),
        "web": saved(Image.fromarray(noise(64, 21, 4), "RGBA"), "WEBP", lossless=True),
    }


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("channels", [1, 3])
def test_client_prepares_the_very_tensor_that_the_server_makes(
    tmp_path: Path, fit: Fit, channels: int
) -> None:
    folder = make_package(tmp_path / "p", height=24, width=40, channels=channels, fit=fit)
    metadata = model_metadata("tiny", ["1"], ModelPackage.load(folder / "package.json"))
    for name, data in files().items():
        own = client.prepare(data, json.loads(json.dumps(metadata)))
        served = resize(decode(data).pixels, 24, 40, color_of(channels), fit)
        assert np.array_equal(own, served), name


def test_tensor_of_the_client_is_answered_as_the_file_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over HTTP; with another resampling, Pillow's default, the answer differs."""
    package = make_package(tmp_path / "p", height=24, width=40, channels=3, fit="pad", sharpness=400.0)
    with running(tmp_path, package, "1", "--workers", "1") as server:
        url = server.state.url
        metadata = json.load(urllib.request.urlopen(f"{url}/v2/models/tiny"))
        for name, data in files().items():
            answer = client.infer(url, "tiny", client.prepare(data, metadata)[None])
            outputs = {output["name"]: output["data"] for output in answer["outputs"]}
            uploaded = server.client.predict(data)["predictions"]
            assert outputs["class"] == [uploaded[0]["class"]], name
            best = sorted(outputs["probabilities"], reverse=True)[: len(uploaded)]
            assert np.allclose(best, [one["probability"] for one in uploaded], atol=1e-6), name
        (tmp_path / "a.png").write_bytes(files()["long"])
        client.main([url, str(tmp_path / "a.png")])
        assert capsys.readouterr().out.startswith(f"{tmp_path}/a.png: ")
        with pytest.raises(SystemExit, match="name one with --model: tiny"):
            client.main([url, str(tmp_path / "a.png"), "--model", "other"])
