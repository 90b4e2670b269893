"""How long the training loop stood still for its next batch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from linnet.config import TrainConfig
from linnet.records import TrainingReport
from linnet.tasks.classification.model import MODEL
from linnet.training.meter import Meter


class Clock:
    """Seconds that pass when a test says so: a busy machine would add its own."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("reading", "computing", "share"), [(3.0, 1.0, 0.75), (0.0, 1.0, 0.0), (1.0, 0.0, 1.0)]
)
def test_meter_tells_the_loader_s_time_from_the_network_s(
    reading: float, computing: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("linnet.training.meter.time", clock)

    def batches() -> Iterator[int]:
        for number in range(5):
            clock.now += reading
            yield number

    meter = Meter(0, TrainConfig(), 2, None, 5, MODEL)
    for step, _ in enumerate(meter.waits(batches())):
        clock.now += computing
        meter.add(step, 1.0, torch.tensor(1.0), torch.eye(2), torch.tensor([0, 1]))
    assert meter.finish()["waiting"] == pytest.approx(share)


def test_report_weighs_the_epochs_by_their_time_and_leaves_the_head_out() -> None:
    rows = (
        {"epoch": 0.0, "seconds": 100.0},
        {"epoch": 1.0, "seconds": 3.0, "waiting": 0.5},
        {"epoch": 2.0, "seconds": 1.0, "waiting": 0.1},
    )
    report = TrainingReport(
        history=rows, parameters=1, seconds=1.0, device="cpu", precision="fp32", versions={}, config={}
    )
    assert report.waiting == pytest.approx(0.4)
    assert report.model_copy(update={"history": rows[:1]}).waiting is None
