"""Several processes that train together: started through torchrun, joined by DistributedDataParallel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed as dist
from torch import nn

from linnet.config import TrainConfig
from linnet.errors import TrainingError
from linnet.process.cpus import available_cpus
from linnet.training.device import choose_device
from linnet.training.progress import AfterEpoch, Progress, parse_line, parse_row

_PATIENCE = timedelta(hours=6)
"""How long processes wait for the first one, which alone computes a frozen backbone's activations."""
ERROR_PREFIX = "linnet-error: "
"""A worker says on standard error what went wrong, in one line that starts so."""


@dataclass(frozen=True)
class Rank:
    """Which of the processes this one is; rank 0 writes the results."""

    rank: int = 0
    local_rank: int = 0
    processes: int = 1


def is_worker() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def join(config: TrainConfig) -> Rank:
    """Meets the other processes, if torchrun started this one among several."""
    if not is_worker() or int(os.environ["WORLD_SIZE"]) == 1:
        return Rank()
    gpu = config.device != "cpu" and torch.cuda.is_available()
    dist.init_process_group("nccl" if gpu else "gloo", timeout=_PATIENCE)
    return Rank(int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"]))


def leave(place: Rank) -> None:
    """Parts from the other processes."""
    if place.processes > 1:
        dist.destroy_process_group()


def parallel(network: nn.Module, place: Rank) -> nn.Module:
    """The network with gradients averaged over the processes."""
    if place.processes == 1:
        return network
    device = next(network.parameters()).device
    return nn.parallel.DistributedDataParallel(
        network, device_ids=[device] if device.type == "cuda" else None
    )


def agreed(flag: bool, place: Rank, device: torch.device) -> bool:
    """The flag of the first process, in all of them: they must go on, or stop, together."""
    if place.processes == 1:
        return flag
    told = torch.tensor([int(flag)], device=device)
    dist.broadcast(told, src=0)
    return bool(told.item())


def launch(
    training_set: Path,
    config: TrainConfig,
    out: Path,
    work: Path,
    say: Progress,
    *,
    cached: bool = False,
    after_epoch: AfterEpoch | None = None,
) -> None:
    """Runs this training in `config.processes` processes and waits for them.

    `cached`: whether they may keep the activations of a frozen backbone in the content cache.
    `after_epoch`: is given each epoch's row of the history, and ends the training where it raises.

    Raises:
        ConfigError: there is not a GPU for each of them.
        TrainingError: a process failed; the message is that of the first that said why.
    """
    choose_device(config.device, config.processes - 1)  # says what is wrong before anything is started
    with tempfile.TemporaryDirectory(prefix="linnet-") as folder:
        settings = Path(folder) / "train.json"
        settings.write_text(json.dumps(config.values()), "utf-8")
        errors = Path(folder) / "errors"
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=1"]
        command += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
        command += [f"--nproc-per-node={config.processes}", "-m", "linnet.training"]
        command += ["--training-set", str(training_set), "--out", str(out)]
        command += ["--work", str(work), "--config", str(settings)]
        command += ["--cache"] if cached else []
        threads = str(max(available_cpus() // config.processes, 1))
        environment = {"OMP_NUM_THREADS": threads, **os.environ}
        with (
            errors.open("w") as sink,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=sink, text=True, env=environment
            ) as child,
        ):
            assert child.stdout is not None
            try:
                for text in child.stdout:
                    if found := parse_line(text):
                        say(*found)
                    elif after_epoch and (row := parse_row(text)):
                        after_epoch(row)
            except BaseException:
                child.terminate()  # torchrun passes it on to the processes
                raise
        if child.returncode:
            raise TrainingError(_first_error(errors, config.processes, child.returncode))


def _first_error(errors: Path, processes: int, status: int) -> str:
    lines = errors.read_text("utf-8", errors="replace").splitlines()
    said = [text.removeprefix(ERROR_PREFIX) for text in lines if text.startswith(ERROR_PREFIX)]
    if said:
        return said[0]
    tail = "\n".join(deque(lines, 15))
    return (
        f"training in {processes} processes failed (torchrun ended with status {status}); "
        f"set train.processes to 1 to see the error at its place. Last lines:\n{tail}"
    )
