"""Whoever starts a server is told what it keeps of the images that users send."""

from __future__ import annotations

from pathlib import Path

from linnet.commands.serve import _kept
from linnet.config import ServingConfig
from linnet.process.model_server import ModelToServe


def test_what_is_kept_is_said_for_each_model_and_nothing_where_nothing_is() -> None:
    silent = ServingConfig(log_sample=0)
    coarse = ServingConfig(log_sample=6, log_images=0.5, log_image_pixelate=4, log_image_days=2)
    models = [
        ModelToServe("pets", "1", Path("p")),
        ModelToServe("shoes", "2", Path("s"), silent),
        ModelToServe("faces", "3", Path("f"), coarse),
    ]
    pets, faces = _kept(models, ServingConfig())
    assert pets == (
        "pets: up to 30 images a minute that users send are kept, for 30 days and 1024 MB at most, to find "
        "drift and to ask people about; if they may not be, set serving.log_sample = 0"
    )
    assert (
        "up to 6 images" in faces
        and "and 50% of all requests, averaged over blocks of 4, for 2 days" in faces
    )
    assert _kept(models, silent) == [faces]
