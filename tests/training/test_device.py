from __future__ import annotations

from pathlib import Path

import pytest
import torch

from linnet.config import TrainConfig
from linnet.errors import ConfigError
from linnet.training import device, distributed

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
    monkeypatch.setattr(device, "available_cpus", lambda: 4)
    try:
        device.prepare_threads(TrainConfig(processes=processes), CPU, pixels)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("gpus", "processes"), [(1, 2), (2, 3), (3, 8)])
def test_two_processes_never_share_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpus: int, processes: int
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    config = TrainConfig(processes=processes)
    assert [device.choose_device("auto", rank).index for rank in range(gpus)] == list(range(gpus))
    with pytest.raises(ConfigError, match=rf"train\.processes: .*{gpus}.*set it to {gpus}") as refused:
        distributed.launch(tmp_path, config, tmp_path / "out", tmp_path / "work", lambda *_: None)
    assert "train.device" in str(refused.value)
    assert device.choose_device("cpu", processes).type == "cpu"
