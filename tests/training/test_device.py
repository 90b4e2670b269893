from __future__ import annotations

import pytest
import torch

from linnet.config import TrainConfig
from linnet.training import device

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({}, torch.float32), ({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16)],
)
def test_auto_takes_bf16_only_where_the_processor_computes_it(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert device.choose_precision("auto", CPU) == expected


def test_wanted_precision_wins_over_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert device.choose_precision("bf16", CPU) == torch.bfloat16
    assert device.choose_precision("fp32", CPU) == torch.float32


@pytest.mark.parametrize(("pixels", "processes", "threads"), [(1000, 1, 1), (10**6, 1, 4), (10**6, 2, 2)])
def test_threads_follow_work_cores_and_processes(
    monkeypatch: pytest.MonkeyPatch, pixels: int, processes: int, threads: int
) -> None:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(device, "cores", lambda: 4)
    try:
        device.prepare_threads(TrainConfig(processes=processes), CPU, pixels)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
