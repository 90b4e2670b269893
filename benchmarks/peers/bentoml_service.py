"""BentoML with the benchmark's model: images as PNG. Started by `bentoml serve`."""

import os
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from model import decode, predict, session


@bentoml.service(workers=int(os.environ["BENCH_WORKERS"]), metrics={"enabled": False})
class Fashion:
    def __init__(self) -> None:
        self.session = session()

    @bentoml.api(route="/predict")
    def classify(self, image: Annotated[Path, ContentType("image/png")]) -> list[float]:
        return predict(self.session, *decode(image.read_bytes()))[0][0].tolist()
