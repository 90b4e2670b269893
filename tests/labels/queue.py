"""A queue of requests with images, as a run leaves it, without the run."""

from __future__ import annotations

from collections.abc import Sequence

from linnet.labels.queue import LabelRequest, enqueue
from tests.labels.sample_tables import CLASSES

CHOICES = (*CLASSES, "cannot tell")


def request(number: int, batch: str = "b1", reason: str = "margin", gold: str = "") -> LabelRequest:
    return LabelRequest(
        batch=batch,
        sample_id=f"s{number:05d}",
        reasons=(reason,),
        score=0.5,
        label="bag",
        predicted="boot",
        confidence=0.6,
        probabilities=(0.3, 0.6, 0.1),
        classes=CLASSES,
        gold=gold,
    )


def fill(
    count: int, batch: str = "b1", name: str = "d", first: int = 0, images: bool = True
) -> list[LabelRequest]:
    """Queues `count` requests with images."""
    requests = [request(first + i, batch) for i in range(count)]
    put(requests, name, images)
    return requests


def put(requests: Sequence[LabelRequest], name: str = "d", images: bool = True) -> None:
    pictures = {one.sample_id: b"\x89PNG\r\n\x1a\n" + one.sample_id.encode() for one in requests}
    enqueue(name, requests[0].batch, list(requests), pictures if images else {})
