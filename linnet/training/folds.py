"""Cross-validation: every image of the training and the validation split is answered by a network that did
not learn from it.

A validation split of a few dozen images says little: which of them it holds moves its accuracy by several
points. The parts of a cross-validation use each image once, and their spread tells how much that matters.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from linnet.artifacts.activations import Kept, pooled_activations
from linnet.config import TrainConfig
from linnet.errors import ConfigError
from linnet.storage.files import write_text
from linnet.tasks.model import WholeImage, load_network, model_of
from linnet.training import checkpoint
from linnet.training.dataset import SplitData, TrainingSet
from linnet.training.device import choose_device, choose_precision
from linnet.training.measure import validate
from linnet.training.parts import even_parts
from linnet.training.prepare import prepare_network
from linnet.training.progress import Progress
from linnet.vision.fusion import FusionNetwork

Fold = dict[str, float]
AfterFold = Callable[[list[Fold]], None]
Learn = Callable[[TrainingSet, Path], None]
"""Trains on a training set with all checkpoints in a folder, and leaves `model.pt` there."""
_DONE = "folds.json"


def cross_validate(
    data: TrainingSet,
    config: TrainConfig,
    work: Path,
    say: Progress,
    learn: Learn,
    kept: Kept | None = None,
    after_fold: AfterFold | None = None,
) -> tuple[Fold, ...]:
    """One row per fold: its `images`, `validation_accuracy` and `validation_macro_f1` on them.

    Of `config.folds` equal parts, with equal shares of every class, one is held back in turn and another
    stands in for the validation split (by which penalties and epochs are chosen, so that it may not measure);
    the network learns from the others. What is done is kept in `work`: the same call goes on from there.
    `after_fold` is given all rows so far, and may raise to end it.

    Raises:
        ConfigError: there are fewer images than parts, or too many for the memory.
        TrainingError: as `train`.
    """
    known = _all_known(data, config, say, kept)
    part, total = _part_of_each(known, data.task, config.folds), config.folds
    done, name = work / _DONE, checkpoint.fingerprint(config, data.digest, {})
    rows = _rows(done, name)
    device = choose_device(config.device, 0)
    precision = choose_precision(config.precision, device)
    for number in range(len(rows), total):
        say(f"fold {number + 1} of {total}", number, total)
        held, watched = part == number, part == (number + 1) % total
        folder = work / f"fold-{number + 1}"
        fold = replace(
            data,
            digest=f"{data.digest}/fold {number + 1} of {total}",
            train=known.part(~held & ~watched),
            validation=known.part(watched),
        )
        learn(fold, folder)
        task, asked = model_of(data.task), known.part(held)
        network = load_network(folder, data.task).to(device)
        row = validate(network, asked, len(data.classes), device, precision, task)
        rows.append({"images": float(len(asked)), **row})
        write_text(done, json.dumps({"name": name, "rows": rows}))
        shutil.rmtree(folder, ignore_errors=True)
        if after_fold:
            after_fold(rows)
    return tuple(rows)


def _all_known(data: TrainingSet, config: TrainConfig, say: Progress, kept: Kept | None) -> SplitData:
    """Both splits as one; what a frozen backbone makes of their images is computed once for all folds."""
    splits = (data.train, data.validation)
    if any(split.mapped for split in splits):
        problem = "needs all images in memory, which they do not fit into"
        raise ConfigError("train.folds", problem, "set it to 0: so many images need no cross-validation")
    device = choose_device(config.device, 0)
    precision = choose_precision(config.precision, device)
    network, origin, _ = prepare_network(data, model_of(data.task), config, device, precision)
    if not isinstance(network, FusionNetwork):
        problem = f"is for tasks that answer for the whole image, not for {data.task}"
        raise ConfigError("train.folds", problem, "set it to 0")
    pooled = None
    if origin:
        pooled = torch.cat(
            [
                pooled_activations(network, split.images, name, device, precision, kept, say)
                for name, split in zip(("train", "validation"), splits, strict=True)
            ]
        )
    return SplitData(
        torch.cat([split.images for split in splits]),
        torch.cat([split.features for split in splits]),
        torch.cat([split.labels for split in splits]),
        mapped=False,
        pooled=pooled,
    )


def _part_of_each(known: SplitData, task: str, count: int) -> Tensor:
    if len(known) < count:
        problem = f"is {count}, but training and validation split have {len(known)} images together"
        raise ConfigError("train.folds", problem, "lower it, or add images")
    return even_parts(cast(WholeImage, model_of(task)).groups(known.labels), count)


def _rows(path: Path, name: str) -> list[Fold]:
    """The rows of an earlier call for the same training, if it was interrupted."""
    try:
        stored = json.loads(path.read_text("utf-8"))
        return list(stored["rows"]) if stored["name"] == name else []
    except (OSError, ValueError, KeyError, TypeError):
        return []
