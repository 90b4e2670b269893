"""Sections of a model: how it is trained, measured, judged and registered."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from linnet.config.section import Fraction, Section


class TrainConfig(Section):
    epochs: int = Field(default=8, ge=1, le=10_000)
    """Passes over the training images."""
    batch_size: int = Field(default=256, ge=2)
    """Images a step, over all processes; small sets use fewer, so that an epoch has 16 steps."""
    optimizer: Literal["sgd", "muon"] = "sgd"
    """How the inner convolutions move: Nesterov SGD, or Muon (orthogonalised momentum)."""
    learning_rate: float = Field(default=0.2, gt=0, allow_inf_nan=False)
    """Peak learning rate of SGD."""
    muon_learning_rate: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    """Peak learning rate of Muon: relative to weights of constant norm."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Nesterov momentum."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Weight decay of the convolution and linear weights."""
    schedule: Literal["onecycle", "cosine"] = "onecycle"
    """Course of the learning rate: linear up then down, or a half cosine after a short warm-up."""
    label_smoothing: Fraction = Field(default=0.1, ge=0, lt=1)
    """Probability mass spread evenly over the classes."""
    width: int = Field(default=32, ge=4, le=1024)
    """Channels of the first stage; later stages double them."""
    depth: int = Field(default=1, ge=1, le=50)
    """Residual blocks a stage."""
    flip: bool = True
    """Augmentation: mirror images left to right at random."""
    shift: int = Field(default=1, ge=0)
    """Augmentation: shift by up to this many pixels."""
    cutout: int = Field(default=0, ge=0)
    """Augmentation: side in pixels of a square that is blanked; 0 for none."""
    class_weights: bool = False
    """Weigh the loss by inverse class frequency."""
    ema_decay: Fraction = Field(default=0.0, ge=0, lt=1)
    """Decay a step of the averaged weights that are kept; 0 keeps the last weights."""
    flip_average: bool = True
    """Average the prediction with that of the mirrored image; part of the exported model."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic; auto takes bf16 where the device computes it natively."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU if there is one."""
    processes: int = Field(default=1, ge=1)
    """Processes for data-parallel training through torchrun."""
    init_weights: str = ""
    """Local file with weights to start from; layers whose shapes differ start afresh."""
    seed: int = Field(default=0, ge=0)
    """Seed of weights, order and augmentation."""
