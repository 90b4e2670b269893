"""Training: from a training set and a config to `model.pt` and a report. The loop reads top to bottom."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from linnet.config import TrainConfig
from linnet.records import TrainingReport
from linnet.training import checkpoint, distributed
from linnet.training.augmentation import Augmentation
from linnet.training.averaging import WeightAverage
from linnet.training.dataset import Batches, SplitData, TrainingSet, read_training_set
from linnet.training.device import choose_device, choose_precision, describe_device, prepare_threads
from linnet.training.initial import take_initial_weights
from linnet.training.meter import Meter
from linnet.training.optimizer import Optimiser, learning_rate_factor
from linnet.training.progress import Progress, silent
from linnet.vision.networks import ResidualNetwork, build_network, plan_architecture, save_model

REPORT = "training.json"
_CONSTANTS_FROM = 20_000
"""Training images, evenly spread, from which the normalising constants are computed."""


def train(
    training_set: Path, config: TrainConfig, out: Path, work: Path, progress: Progress | None = None
) -> TrainingReport:
    """Trains on the folder `training_set`; writes `model.pt` and `training.json` into `out`.

    After every epoch a checkpoint goes to `work`; the same call continues from there. On a CPU the
    weights are a function of data, config and number of threads, bit by bit, interrupted or not.
    With `config.processes > 1` the processes are started here, through torchrun.

    Raises:
        TrainingError: the training set or the initial weights cannot be used, or the loss diverged.
        ConfigError: the device asked for does not exist.
        StorageError: `work` or `out` cannot be written.
    """
    say = progress or silent
    if config.processes > 1 and not distributed.is_worker():
        distributed.launch(training_set, config, out, work, say)
        return TrainingReport.load(out / REPORT)
    place = distributed.join(config)
    try:
        with _own_threads():
            return _train(training_set, config, out, work, say, place)
    finally:
        distributed.leave(place)


def _train(
    training_set: Path, config: TrainConfig, out: Path, work: Path, say: Progress, place: distributed.Rank
) -> TrainingReport:
    device = choose_device(config.device, place.local_rank)
    precision = choose_precision(config.precision, device)
    data = read_training_set(training_set)
    network, notes = _network(data, config, device, precision)
    name = checkpoint.fingerprint(config, data.digest, network.architecture)
    batches = Batches(
        _to_device(data.train, device),
        config.batch_size,
        Augmentation(data.height, data.width, config.flip, config.shift, config.cutout),
        config.seed,
        device,
        place.rank,
        place.processes,
    )
    prepare_threads(config, device, batches.size * data.height * data.width)
    weights = _class_weights(data, device) if config.class_weights else None
    optimiser = Optimiser(network, config)
    average = WeightAverage(network, config.ema_decay)
    saved, note = checkpoint.load_checkpoint(work, name)
    notes += [note] if note else []
    for note in notes:
        say(note, 0, 0)
    history: list[dict[str, float]] = []
    if saved:
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        average.load_state_dict(saved["average"])
        history = saved["history"]
    resumed, started = len(history), time.perf_counter()
    total = batches.steps * config.epochs
    model = distributed.parallel(network, place)

    for epoch in range(resumed, config.epochs):
        model.train()
        meter = Meter(epoch, config, batches.size, say if place.rank == 0 else None, total)
        for step, batch in enumerate(batches.epoch(epoch), start=epoch * batches.steps):
            factor = learning_rate_factor(config.schedule, step, total)
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                logits, _ = model(batch.images, batch.features)
            loss = _loss(logits, batch.labels, weights, config.label_smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step(factor)
            average.update()
            meter.add(step, factor, loss, logits, batch.labels)
        row = meter.finish()
        row["validation_accuracy"] = _accuracy(average.network(), data.validation, device, precision)
        row["seconds"] = meter.seconds()
        history.append(row)
        if place.rank == 0:
            checkpoint.save_checkpoint(
                work,
                name,
                {
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "average": average.state_dict(),
                    "history": history,
                },
            )

    report = TrainingReport(
        history=tuple(history),
        parameters=sum(weight.numel() for weight in network.parameters()),
        seconds=time.perf_counter() - started,
        device=describe_device(device),
        precision=str(precision).removeprefix("torch."),
        versions={"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        config=config.values(),
        resumed_from_epoch=resumed,
        notes=tuple(notes),
    )
    if place.rank == 0:
        save_model(out, average.network())
        report.save(out / REPORT)
    return report


def _network(
    data: TrainingSet, config: TrainConfig, device: torch.device, precision: torch.dtype
) -> tuple[ResidualNetwork, list[str]]:
    """The network on the device, with constants from the data and, if asked for, given weights."""
    architecture = plan_architecture(
        height=data.height,
        width=data.width,
        channels=data.channels,
        features=len(data.features),
        classes=len(data.classes),
        base=config.width,
        depth=config.depth,
        flip_average=config.flip_average,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = build_network(architecture)
    assert isinstance(network, ResidualNetwork)
    every = max(len(data.train) // _CONSTANTS_FROM, 1)
    network.fit_constants(data.train.images[::every], data.train.features)
    notes = take_initial_weights(network, Path(config.init_weights)) if config.init_weights else []
    # Channels last feeds bfloat16 units and tensor cores; float32 on a CPU runs a fifth slower with it.
    last = device.type == "cuda" or precision == torch.bfloat16
    memory_format = torch.channels_last if last else torch.contiguous_format
    return network.to(device, memory_format=memory_format), notes  # type: ignore[call-overload]


def _to_device(split: SplitData, device: torch.device) -> SplitData:
    """The split on the GPU if it takes less than a quarter of what is free there; else as it is."""
    if device.type != "cuda" or split.mapped:
        return split
    free, _ = torch.cuda.mem_get_info(device)
    return split.to(device) if split.images.nbytes < free / 4 else split


def _class_weights(data: TrainingSet, device: torch.device) -> Tensor:
    """Inverse class frequencies float32 [K], scaled so that the mean weight of a sample is 1."""
    counts = torch.bincount(data.train.labels, minlength=len(data.classes)).clamp_min(1)
    present = int((torch.bincount(data.train.labels, minlength=len(data.classes)) > 0).sum())
    return (len(data.train) / (present * counts)).to(device, torch.float32)


def _loss(logits: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Mean cross-entropy; the mean is over samples, so that equal shares of processes add up."""
    losses = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    return losses.mean() if weights is None else (losses * weights[labels]).mean()


@torch.no_grad()
def _accuracy(network: nn.Module, split: SplitData, device: torch.device, precision: torch.dtype) -> float:
    """Share of a split on which the network, in eval mode, names the right class."""
    network.eval()
    right = 0
    for start in range(0, len(split), 1000):
        part = slice(start, start + 1000)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits, _ = network(split.images[part].to(device), split.features[part].to(device))
        right += int((logits.argmax(dim=1) == split.labels[part].to(device)).sum())
    return right / len(split)


@contextmanager
def _own_threads() -> Iterator[None]:
    """Gives the caller's number of threads back when training is over."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
