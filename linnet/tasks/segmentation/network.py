"""A backbone, and the decoder of a U-Net behind it: logits for every second pixel.

The decoder is that of segmentation-models-pytorch (MIT). Ronneberger et al., "U-Net" (2015),
arXiv 1505.04597.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from linnet.errors import ConfigError
from linnet.vision.dense import DenseNetwork
from linnet.vision.fusion import ENCODED

STRIDE = 2
"""Pixels of the image a side of a logit."""
_WIDEST, _NARROWEST = 128, 24
"""Channels of the decoder's first and last block."""


class SegmentationNetwork(DenseNetwork):
    """forward gives logits float32 [N, K + 1, H / 2, W / 2], background first, and the embedding."""

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__(architecture)
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

        self.flip_average = bool(architecture["flip_average"])
        self._first = self._finest()
        channels = self.channels[self._first :]
        self._extra = self.strides[self._first] > STRIDE
        """Whether the last block doubles the finest map, with none beside it."""
        blocks = len(channels) - 1 + self._extra
        widths = [max(_NARROWEST, _WIDEST >> place) for place in range(blocks)]
        self.decoder = UnetDecoder((architecture["channels"], *channels), widths, n_blocks=blocks)
        outputs = architecture["classes"] + 1
        self.head = nn.Conv2d(widths[-1], outputs, 3, padding=1)
        self.shift = nn.Linear(ENCODED, outputs)
        """What the statistics of an image say for a class, wherever in it."""

    def forward(self, images: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and embedding of uint8 images [N, H, W, C]."""
        logits, embedding = super().forward(images, features)
        if self.flip_average and not self.training:
            mirrored, other = super().forward(images.flip(2), features)
            logits, embedding = (logits + mirrored.flip(3)) * 0.5, (embedding + other) * 0.5
        encoded = embedding[:, -ENCODED:]
        return logits + self.shift(encoded).float()[:, :, None, None], embedding

    def answered(self, maps: list[Tensor]) -> Tensor:
        """Logits of the pixels alone."""
        finest = maps[self._first]
        # The decoder takes the size that its last block ends at from the map before the finest.
        size = (
            finest
            if not self._extra
            else finest.new_zeros(1).expand(1, 1, *(2 * side for side in finest.shape[2:]))
        )
        found: Tensor = self.head(self.decoder([size, *maps[self._first :]]))
        return found

    def _finest(self) -> int:
        """The place of the finest map that the decoder goes up to.

        Raises:
            ConfigError: there is none of a half or a quarter of the size, or an image is halved unevenly.
        """
        last = self.strides[-1]
        for side in ("height", "width"):
            if self.architecture[side] % last:
                near = max(last, round(self.architecture[side] / last) * last)
                problem = (
                    f"is {self.architecture[side]}, but the network halves an image to 1/{last} of its side"
                )
                raise ConfigError(f"data.{side}", problem, f"set it to a multiple of {last}, such as {near}")
        for stride in (STRIDE, 2 * STRIDE):
            if stride in self.strides:
                return self.strides.index(stride)
        raise self._unfit(f"but at {list(self.strides)}")
