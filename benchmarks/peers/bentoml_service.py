"""BentoML with the benchmark's model: images as PNG. Started by `bentoml serve`."""

import os
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from model import decode, predict, session


# A line of log a request would cost it more than the request: the other servers write none either.
@bentoml.service(
    workers=int(os.environ["BENCH_WORKERS"]),
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Fashion:
    def __init__(self) -> None:
        self.session = session()

    # Positional-only: the body itself is the image; a named parameter would be a part of a form or of JSON.
    @bentoml.api(route="/predict")
    def classify(self, image: Annotated[Path, ContentType("image/png")], /) -> list[float]:
        return predict(self.session, *decode(image.read_bytes()))[0][0].tolist()
