#!/usr/bin/env python3
"""Asks a model server with tensors, prepared from the metadata exactly as the server prepares files.

    python examples/send_tensor.py http://127.0.0.1:8090 photo.jpg [more files] [--model NAME]

It needs numpy and Pillow, and nothing of Linnet: copy it. The request is that of the Open Inference
Protocol v2 with binary tensors.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps


def prepare(data: bytes, metadata: dict[str, Any]) -> np.ndarray[Any, Any]:
    """An encoded image as uint8 [height, width, channels], what the input `image` takes."""
    (tensor,) = (given for given in metadata["inputs"] if given["name"] == "image")
    _, height, width, _ = tensor["shape"]
    rule = tensor["parameters"]
    if rule["resampling"] != "bilinear" or not rule["antialias"]:
        raise ValueError(f"this client does not know {rule['resampling']} resampling")
    size, method = (width, height), Image.Resampling.BILINEAR  # Pillow's filters antialias when shrinking
    opened = Image.open(io.BytesIO(data))
    if opened.width * opened.height > rule["reduced_beyond_pixels"]:
        raise ValueError(
            f"{opened.width} x {opened.height} pixels: send so large a file to /predict, as it is"
        )
    image = _srgb(_flat(ImageOps.exif_transpose(opened)), opened.info.get("icc_profile"))
    image = image.convert("L" if rule["color"] == "gray" else "RGB")
    if image.size != size:
        bar = rule["pad_value"] if rule["color"] == "gray" else (rule["pad_value"],) * 3
        image = {
            "squash": lambda: image.resize(size, method),
            "crop": lambda: ImageOps.fit(image, size, method),
            "pad": lambda: ImageOps.pad(image, size, method, color=bar),
        }[rule["fit"]]()
    return np.asarray(image).reshape(tensor["shape"][1:])


def _flat(image: Image.Image) -> Image.Image:
    """Eight bits a channel, transparency laid on white; a gray image stays gray."""
    gray = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
    if image.mode.startswith("I"):  # gray of 16 bits
        values = np.asarray(image, np.float64)
        pixels = np.clip(values / 65535 * 255, 0, 255).round().astype(np.uint8)
        if isinstance(clear := image.info.get("transparency"), int):
            pixels[values == clear] = 255
        return Image.fromarray(pixels)
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("L" if gray else "RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The colors that a profile means, in sRGB; a profile that is sRGB itself changes nothing."""
    if not profile:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != {"L": "GRAY", "RGB": "RGB"}[image.mode]:
            return image
        change = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), image.mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    probe = levels[None, :] if image.mode == "L" else np.stack(np.meshgrid(levels, levels, levels), -1)
    probe = probe if image.mode == "L" else probe.reshape(len(levels), -1, 3)
    seen = np.asarray(change.apply(Image.fromarray(probe))).astype(int)
    if np.abs((seen[..., 1] if image.mode == "L" else seen) - probe).max() <= 3:
        return image
    changed = change.apply(image)
    return changed.getchannel("G") if image.mode == "L" else changed


def infer(url: str, model: str, images: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The server's answer to images uint8 [N, height, width, channels]."""
    raw = np.ascontiguousarray(images).tobytes()
    tensor = {
        "name": "image",
        "datatype": "UINT8",
        "shape": list(images.shape),
        "parameters": {"binary_data_size": len(raw)},
    }
    outputs = [{"name": name, "parameters": {"binary_data": False}} for name in ("class", "probabilities")]
    head = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    request = urllib.request.Request(f"{url}/v2/models/{model}/infer", head + raw, headers)  # noqa: S310
    return dict(_answer(request))


def _answer(request: urllib.request.Request | str) -> Any:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  the caller's own address
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"the server answers {error.code}: {error.read().decode()}") from error
    except OSError as error:
        raise SystemExit(f"the server does not answer: {error}") from error


def main(words: list[str] | None = None) -> None:
    """Prints the class and its probability for each file."""
    parser = argparse.ArgumentParser(description="Ask a model server with tensors.")
    parser.add_argument("url")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", default="", help="whom to ask; else the only one that is served")
    given = parser.parse_args(words)
    models = [entry["name"] for entry in _answer(f"{given.url}/v2/models")]
    model = given.model or (models[0] if len(models) == 1 else "")
    if model not in models:
        raise SystemExit(f"name one with --model: {', '.join(models)}")
    metadata = _answer(f"{given.url}/v2/models/{model}")
    images = np.stack([prepare(file.read_bytes(), metadata) for file in given.files])
    answer = {output["name"]: output for output in infer(given.url, model, images)["outputs"]}
    scores = np.reshape(answer["probabilities"]["data"], answer["probabilities"]["shape"])
    for file, name, row in zip(given.files, answer["class"]["data"], scores, strict=True):
        sys.stdout.write(f"{file}: {name} {row.max():.4f}\n")


if __name__ == "__main__":
    main()
