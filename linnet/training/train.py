"""Training: from a training set and a config to `model.pt` and a report. The loop reads top to bottom."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from linnet.artifacts.activations import Kept
from linnet.artifacts.validation_logits import write_validation_logits
from linnet.cache.store import Cache
from linnet.config import TrainConfig
from linnet.records import TrainingReport
from linnet.tasks.augment import augment_of
from linnet.tasks.model import Model, WholeImage, model_of
from linnet.training import checkpoint, distributed
from linnet.training.augmentation import Augmentation
from linnet.training.averaging import WeightAverage
from linnet.training.best import Best
from linnet.training.dataset import Batches, SplitData, TrainingSet, read_training_set
from linnet.training.device import choose_device, choose_precision, describe_device, prepare_threads
from linnet.training.folds import AfterFold, Fold, cross_validate
from linnet.training.frozen import fit_frozen
from linnet.training.measure import epochs_of, library_versions, validate
from linnet.training.meter import Meter
from linnet.training.mixing import Mixing
from linnet.training.optimizer import Optimizer, learning_rate_factor
from linnet.training.photo_augmentation import PhotoAugmentation
from linnet.training.prepare import hold_norms, learning_rate_scales, prepare_network
from linnet.training.progress import AfterEpoch, Progress, silent
from linnet.vision.fusion import FusionNetwork
from linnet.vision.networks import save_model

REPORT = "training.json"


def train(
    training_set: Path,
    config: TrainConfig,
    out: Path,
    work: Path,
    progress: Progress | None = None,
    cache: Cache | None = None,
    after_epoch: AfterEpoch | None = None,
) -> TrainingReport:
    """Trains on the folder `training_set`; writes `model.pt` and `training.json` into `out`.

    A pretrained backbone first gets its head, fitted on its frozen activations (which `cache` keeps);
    then the epochs follow, in which all weights move. After every epoch a checkpoint goes to `work`;
    the same call continues from there. On a CPU the weights are a function of data, config and number
    of threads, bit by bit, interrupted or not. With `config.processes > 1` the processes are started
    here, through torchrun. `after_epoch` is given each epoch's row of the history, those of before an
    interruption first, and may raise to end the training. With `config.folds` a cross-validation goes first.

    Raises:
        TrainingError: the training set or the initial weights cannot be used, or the loss diverged.
        ConfigError: the device asked for does not exist, or settings do not go with the network.
        StorageError: `work` or `out` cannot be written.
    """
    say = progress or silent
    if config.processes > 1 and not distributed.is_worker():
        cached = cache is not None
        distributed.launch(training_set, config, out, work, say, cached=cached, after_epoch=after_epoch)
        return TrainingReport.load(out / REPORT)
    place = distributed.join(config)
    try:
        with _own_threads():
            data, kept = read_training_set(training_set), Kept(cache, training_set) if cache else None
            folds = cross_validated(data, config, work, say, kept) if config.folds else ()
            return _train(data, config, out, work, say, place, kept, after_epoch, folds)
    finally:
        distributed.leave(place)


def cross_validated(
    data: TrainingSet,
    config: TrainConfig,
    work: Path,
    say: Progress,
    kept: Kept | None,
    after_fold: AfterFold | None = None,
) -> tuple[Fold, ...]:
    """The rows of `config.folds` trainings in this process; see `folds.cross_validate`."""

    def learn(fold: TrainingSet, folder: Path) -> None:
        _train(fold, config, folder, folder, say, distributed.Rank(), None, None, ())

    return cross_validate(data, config, work, say, learn, kept, after_fold)


def _train(
    data: TrainingSet,
    config: TrainConfig,
    out: Path,
    work: Path,
    say: Progress,
    place: distributed.Rank,
    kept: Kept | None,
    after_epoch: AfterEpoch | None,
    folds: tuple[Fold, ...],
) -> TrainingReport:
    device = choose_device(config.device, place.local_rank)
    precision = choose_precision(config.precision, device)
    task = model_of(data.task)
    task.check(config)
    network, origin, notes = prepare_network(data, task, config, device, precision)
    name = checkpoint.fingerprint(config, data.digest, network.architecture, origin.sha256 if origin else "")
    batches = Batches(
        _to_device(data.train, device),
        config.batch_size,
        Augmentation(data.height, data.width, config.flip, config.shift, config.cutout),
        config.seed,
        device,
        place.rank,
        place.processes,
        config.balanced_sampling,
        PhotoAugmentation.of(config),
        _mixing(config, len(data.classes), task),
        augment_of(data.task),
    )
    prepare_threads(config, device, batches.size * data.height * data.width)
    weights = class_weights(data, task, config.class_weight_power, device) if config.class_weights else None
    optimizer = Optimizer(network, config, learning_rate_scales(network, config) if origin else None)
    average, best = WeightAverage(network, config.ema_decay), Best(config)
    saved, note = checkpoint.load_checkpoint(work, name)
    notes += [note] if note else []
    for note in notes:
        say(note, 0, 0)
    history: list[dict[str, float]] = []
    unseen: Tensor | None = None
    """What the head said of the validation images before it learned from them, too."""
    if saved:
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        average.load_state_dict(saved["average"])
        best.load_state_dict(saved["best"])
        history, unseen = saved["history"], saved["unseen"]
        if after_epoch and place.rank == 0:
            for row in history:
                after_epoch(row)
    resumed, started = epochs_of(history), time.perf_counter()
    total = batches.steps * config.epochs

    def end_epoch(row: dict[str, float], began: float) -> None:
        row["seconds"] = time.perf_counter() - began
        history.append(row)
        best.see(row, average.network())
        if place.rank == 0:
            state = {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "average": average.state_dict(),
                "best": best.state_dict(),
                "history": history,
                "unseen": unseen,
            }
            checkpoint.save_checkpoint(work, name, state)
        if after_epoch and place.rank == 0:
            after_epoch(row)

    # The other processes get the head from the first one.
    if isinstance(network, FusionNetwork) and origin and not history and place.rank == 0:
        began = time.perf_counter()
        final = config.epochs == 0
        alone = cast(WholeImage, task)
        fit = fit_frozen(network, data, alone, weights, device, precision, kept, say, final=final)
        unseen = fit.probe.validation_logits if final else None
        average.restart()
        end_epoch(fit.row, began)
    model = distributed.parallel(network, place)

    for epoch in range(epochs_of(history), config.epochs):
        if distributed.agreed(best.enough, place, device):
            break
        began = time.perf_counter()
        model.train()
        if origin and config.freeze_norm:
            hold_norms(network.get_submodule("backbone"))
        meter = Meter(epoch, config, batches.size, say if place.rank == 0 else None, total, task)
        for step, batch in enumerate(meter.waits(batches.epoch(epoch)), start=epoch * batches.steps):
            factor = learning_rate_factor(config.schedule, step, total, config.warm_up)
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                logits, _ = model(batch.images, batch.features)
            losses = task.losses(logits, batch.labels, weights, config.label_smoothing, config.focal_gamma)
            loss = losses.mean()  # over samples, so that equal shares of processes add up
            loss.backward()  # type: ignore[no-untyped-call]
            if config.clip_norm:
                nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
            optimizer.step(factor)
            average.update()
            meter.add(step, factor, loss, logits, batch.labels)
        row = meter.finish()
        row |= validate(average.network(), data.validation, len(data.classes), device, precision, task)
        end_epoch(row, began)

    best.restore(average.network())
    report = TrainingReport(
        history=tuple(history),
        parameters=sum(weight.numel() for weight in network.parameters()),
        seconds=time.perf_counter() - started,
        device=describe_device(device),
        precision=str(precision).removeprefix("torch."),
        versions=library_versions(origin),
        config=config.values(),
        resumed_from_epoch=resumed,
        notes=tuple(notes),
        weights=origin,
        folds=folds,
    )
    if place.rank == 0:
        save_model(out, average.network())
        if unseen is not None:
            write_validation_logits(out, unseen.numpy(), data.digest)
        report.save(out / REPORT)
    return report


def _mixing(config: TrainConfig, classes: int, task: Model) -> Mixing | None:
    wanted = config.mixup or config.cutmix
    return Mixing(config.mixup, config.cutmix, classes, cast(WholeImage, task)) if wanted else None


def _to_device(split: SplitData, device: torch.device) -> SplitData:
    """The split on the GPU if it takes less than a quarter of what is free there; else as it is."""
    if device.type != "cuda" or split.mapped:
        return split
    free, _ = torch.cuda.mem_get_info(device)
    return split.to(device) if split.images.nbytes < free / 4 else split


def class_weights(data: TrainingSet, task: Model, power: float, device: torch.device) -> Tensor:
    """Inverse class frequencies to a power, float32 [K], scaled so that the mean weight of a sample is 1."""
    counts = task.counts(data.train.labels, len(data.classes))
    weights = counts.clamp_min(1).double() ** -power
    return (weights * int(counts.sum()) / (weights * counts).sum()).to(device, torch.float32)


@contextmanager
def _own_threads() -> Iterator[None]:
    """Gives the caller's number of threads back when training is over."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
