"""What `decode` and `resize` do to an image, told to clients that send tensors instead of files.

`examples/send_tensor.py` follows it; a test holds its tensors equal to the server's.
"""

from __future__ import annotations

from linnet.vision.cost import WHOLE_PIXELS
from linnet.vision.decode import BAR, Fit, color_of

Parameters = dict[str, str | int | bool]


def parameters_of(channels: int, fit: Fit) -> Parameters:
    """The rule as parameters of the tensor `image` in the model's metadata."""
    return {
        "layout": "NHWC",
        "color": color_of(channels),
        "gray": "ITU-R 601 luma",
        "orientation": "EXIF applied",
        "profile": "to sRGB",
        "reduced_beyond_pixels": WHOLE_PIXELS,
        "alpha": "on white",
        "fit": fit,
        "pad_value": BAR,
        "resampling": "bilinear",
        "antialias": True,
    }


def input_key(height: int, width: int, channels: int, fit: Fit) -> str:
    """The name of what a model sees of an image, such as `28x28x1-squash`.

    Whatever is computed from the prepared pixels is known under it: two models of one use case may
    take images of different sizes.
    """
    return f"{height}x{width}x{channels}-{fit}"


def in_words(height: int, width: int, channels: int, fit: Fit) -> str:
    """The same for people, as the model card tells it."""
    how = {
        "squash": "both sides are scaled by themselves",
        "crop": "the size is filled and what hangs over is cut off, equally on both sides",
        "pad": f"all of the image is shown in the middle, with bars of brightness {BAR}",
    }[fit]
    mode = "gray (ITU-R 601 luma)" if channels == 1 else "RGB"
    return (
        "A client that sends tensors prepares them as the server prepares files: EXIF orientation applied, "
        f"at reduced scale beyond {WHOLE_PIXELS / 1e6:.1f} megapixels, color profiles brought to sRGB, "
        f"transparency laid on white, {mode}, then {width} x {height} pixels by fit = {fit} ({how}), "
        "resampled bilinearly with antialiasing (Pillow's Image.Resampling.BILINEAR; its default, bicubic, "
        "and resizers without antialiasing move probabilities); uint8, channels last, not normalized. The "
        "model's metadata (GET /v2/models/NAME) says it, and examples/send_tensor.py does it."
    )
