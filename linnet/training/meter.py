"""What is measured while an epoch runs; the device is asked for numbers only now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from linnet.config import TrainConfig
from linnet.errors import TrainingError
from linnet.tasks.model import Model
from linnet.training.progress import Progress

Batch = TypeVar("Batch")

_REPORT_SECONDS = 0.25


class Meter:
    """Loss, accuracy and images a second of one epoch (counted from 0)."""

    def __init__(
        self,
        epoch: int,
        config: TrainConfig,
        batch_size: int,
        say: Progress | None,
        total_steps: int,
        task: Model,
    ) -> None:
        self._epoch, self._config, self._size = epoch, config, batch_size
        self._say, self._total, self._task = say, total_steps, task
        self._started = self._reported = time.perf_counter()
        self._loss: Tensor | float = 0.0
        self._right: Tensor | float = 0
        self._seen = self._steps = 0
        self._factor = self._waited = 0.0

    def waits(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches as they come; how long the loop stood still for each is added up."""
        source = iter(batches)
        while True:
            began = time.perf_counter()
            batch = next(source, None)
            self._waited += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def add(self, step: int, factor: float, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Takes in one step; `step` counts from the start of training. A mixed image's label is its main one.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        with torch.no_grad():
            self._loss = self._loss + loss.detach()
            self._right = self._right + self._task.right(self._task.named(logits), labels).sum()
        self._seen += len(labels)
        self._steps += 1
        self._factor = factor
        now = time.perf_counter()
        if self._steps == 1 or now - self._reported > _REPORT_SECONDS:
            self._reported = now
            row = self.finish()
            if self._say:
                self._say(
                    f"epoch {self._epoch + 1}/{self._config.epochs}: loss {row['loss']:.4g}, "
                    f"accuracy {row['train_accuracy']:.3f}, "
                    f"{row['images_per_second']:,.0f} images/s",
                    step + 1,
                    self._total,
                )

    def finish(self) -> dict[str, float]:
        """The measurements up to now, averaged over the epoch's steps.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        loss = float(self._loss) / max(self._steps, 1)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} in epoch {self._epoch + 1} at learning rate "
                f"{self._config.learning_rate * self._factor:.4g}: training diverged; lower "
                f"train.learning_rate (now {self._config.learning_rate:g}) or set train.precision to fp32"
            )
        return {
            "epoch": float(self._epoch + 1),
            "loss": loss,
            "train_accuracy": float(self._right) / max(self._seen, 1),
            "images_per_second": self._steps * self._size / max(self.seconds(), 1e-9),
            "waiting": self._waited / max(self.seconds(), 1e-9),
        }

    def seconds(self) -> float:
        """Wall-clock seconds since the epoch began."""
        return time.perf_counter() - self._started
