"""Where to train and in which arithmetic."""

from __future__ import annotations

import os

import torch

from linnet.config import TrainConfig
from linnet.errors import ConfigError
from linnet.process.cpus import available_cpus

_PIXELS_A_THREAD = 50_000
"""Pixels a step from which several threads pay (a step of 128 images of 28 x 28 holds 100,000)."""


def choose_device(wanted: str, rank: int = 0) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`; the process `rank` gets the GPU of that number.

    Raises:
        ConfigError: `cuda` was asked for and there is none, or there is none for this process alone: two
            that share a GPU wait for each other for ever (NCCL refuses it, or hangs).
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device", "is 'cuda', but no GPU is to be seen", "set it to 'auto' or 'cpu'")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if rank >= (count := torch.cuda.device_count()):
        raise ConfigError(
            "train.processes",
            f"needs a GPU for each process, at least {rank + 1}, but there are {count}",
            f"set it to {count}, or train.device to 'cpu'",
        )
    return torch.device("cuda", rank)


def computes_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; emulated, it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def choose_precision(wanted: str, device: torch.device) -> torch.dtype:
    """float32 or bfloat16, for `auto`, `fp32` or `bf16`."""
    if wanted == "auto":
        return torch.bfloat16 if computes_bf16(device) else torch.float32
    return torch.bfloat16 if wanted == "bf16" else torch.float32


def prepare_threads(config: TrainConfig, device: torch.device, pixels: int) -> None:
    """Shares the cores among the processes of this machine; `OMP_NUM_THREADS` wins where it is set.

    Where a step holds few `pixels` (images x height x width), waiting for other threads costs more
    than they do, and on a busy machine many times more: then one thread it is. The number of
    threads decides how sums are split, so bitwise repeatability holds for one number.
    """
    if device.type == "cpu" and not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(
            1 if pixels < _PIXELS_A_THREAD else max(available_cpus() // config.processes, 1)
        )


def describe_device(device: torch.device) -> str:
    """The device for the report, such as `cpu: AMD EPYC, 2 threads`."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    name = torch.cpu.get_capabilities().get("cpu_name", "unknown processor")
    return f"cpu: {name}, {torch.get_num_threads()} threads"
