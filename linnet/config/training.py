"""Sections of a model: how it is trained, measured, judged and registered."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from linnet.config.places import File
from linnet.config.section import Fraction, Section

PHOTO_BACKBONE = "tf_efficientnet_lite0"
"""timm's EfficientNet-Lite0, for photos: made for CPUs and int8 (no squeeze-and-excitation, ReLU6)."""
SMALL_SIDE = 64
"""Images up to this many pixels on their shorter side are small: they keep the small network."""


class TrainConfig(Section):
    backbone: str = Field(default="auto", pattern=r"^[A-Za-z0-9_.]+$")
    """The network: `small` (residual, from random weights), any name that timm knows, or `auto`: small for
    images of up to 64 pixels on their shorter side, else tf_efficientnet_lite0."""
    weights: File = Field(default="auto", min_length=1)
    """What a timm backbone starts from: `none` (random), a file of tensors, an installed package, a name on
    timm's model hub, or `auto`: the package that Linnet installs where it fits, else the hub."""
    weights_sha256: str = Field(default="", pattern=r"^([0-9a-fA-F]{64})?$")
    """SHA-256 that the file of weights must have; empty: only that of Linnet's own package is checked."""
    epochs: int = Field(default=8, ge=0, le=10_000)
    """Passes over the training images; 0: only the head is fitted, on the frozen pretrained backbone."""
    backbone_rate: Fraction = Field(default=0.1, gt=0, le=1)
    """Learning rate of a pretrained backbone's last layers, as a share of the head's."""
    layer_decay: Fraction = Field(default=0.75, gt=0, le=1)
    """Each stage of a pretrained backbone learns at this share of the rate of the stage behind it."""
    freeze_norm: bool = True
    """Keep the batch normalization statistics of a pretrained backbone as they are."""
    patience: int = Field(default=0, ge=0)
    """Epochs without a better validation result after which training stops and the best weights are kept;
    0: train to the end and keep the last weights."""
    folds: int = Field(default=0, ge=0, le=20)
    """Cross-validation, for few images: training and validation split are cut into so many parts (3 or more),
    and each is answered by a network that learned from the others. `linnet tune` then goes by the mean.
    Near duplicates may stand in different parts. 0: none; the validation split alone measures."""
    watch: Literal["accuracy", "macro_f1"] = "accuracy"
    """Validation result that `patience` goes by."""
    clip_norm: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Gradients longer than this are cut down to it; 0: as they are."""
    focal_gamma: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Focal loss: how strongly images that are already named right lose weight; 0: cross-entropy."""
    balanced_sampling: bool = False
    """Draw the images of an epoch so that every class is seen equally often."""
    batch_size: int = Field(default=256, ge=2)
    """Images a step, over all processes; small sets use fewer, so that an epoch has 16 steps."""
    optimizer: Literal["sgd", "muon", "adamw"] = "sgd"
    """How weights move: Nesterov SGD, AdamW, or Muon (orthogonalized momentum; inner convolutions only)."""
    learning_rate: float = Field(default=0.2, gt=0, allow_inf_nan=False)
    """Peak learning rate of SGD or AdamW; AdamW wants about a hundredth of SGD's."""
    muon_learning_rate: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    """Peak learning rate of Muon: relative to weights of constant norm."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Nesterov momentum."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Weight decay of the convolution and linear weights."""
    schedule: Literal["onecycle", "cosine"] = "onecycle"
    """Course of the learning rate: linear up then down, or a half cosine after a warm-up."""
    warm_up: Fraction = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the learning rate of `cosine` rises to its peak."""
    label_smoothing: Fraction = Field(default=0.1, ge=0, lt=1)
    """Probability mass spread evenly over the classes."""
    width: int = Field(default=32, ge=4, le=1024)
    """Channels of the first stage; later stages double them."""
    depth: int = Field(default=1, ge=1, le=50)
    """Residual blocks a stage."""
    augment: Literal["simple", "photo"] = "simple"
    """Augmentation: `photo` adds a random crop at a random scale (`min_crop`), random changes of color or
    shape (`policy`), and what `rotation`, `color`, `blur` and `jpeg` add, to `flip`, `shift`, `cutout`."""
    min_crop: Fraction = Field(default=0.35, gt=0, le=1)
    """Photo augmentation: share of the area that a random crop keeps at least; 1 for no crop. From 0.08, as
    ImageNet is trained, small objects get lost."""
    policy: Literal["trivial", "rand", "none"] = "trivial"
    """Photo augmentation: `trivial` is one random change (TrivialAugment), `rand` two (RandAugment)."""
    rotation: float = Field(default=0.0, ge=0, le=180, allow_inf_nan=False)
    """Photo augmentation: turn by up to this many degrees to either side."""
    color: Fraction = Field(default=0.0, ge=0, le=1)
    """Photo augmentation: brightness, contrast and saturation change by up to this share."""
    blur: Fraction = Field(default=0.0, ge=0, le=1)
    """Photo augmentation: share of the images that are blurred."""
    jpeg: Fraction = Field(default=0.0, ge=0, le=1)
    """Photo augmentation: share of the images that go through JPEG at a quality between 20 and 90."""
    mixup: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Augmentation: mix each image, and its label, with another (MixUp); how evenly: the parameter of a
    Beta distribution, such as 0.2. 0 for none."""
    cutmix: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Augmentation: cut a rectangle of another image into each, and mix the labels by area (CutMix); the
    parameter of a Beta distribution, such as 1. 0 for none; with `mixup`, batches take turns by chance."""
    flip: bool = True
    """Augmentation: mirror images left to right at random."""
    shift: int = Field(default=1, ge=0)
    """Augmentation: shift by up to this many pixels."""
    cutout: int = Field(default=0, ge=0)
    """Augmentation: side in pixels of a square that is blanked; 0 for none."""
    class_weights: bool = False
    """Weigh the loss by inverse class frequency."""
    class_weight_power: Fraction = Field(default=1.0, gt=0, le=1)
    """How strongly `class_weights` weigh: 1 by inverse frequency, 0.5 by its square root."""
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
    init_weights: File = ""
    """Local file with weights to start from; layers whose shapes differ start afresh."""
    seed: int = Field(default=0, ge=0)
    """Seed of weights, order and augmentation."""

    def backbone_for(self, height: int, width: int) -> str:
        """`small`, or timm's name of the network for images of a size."""
        if self.backbone != "auto":
            return self.backbone
        return "small" if min(height, width) <= SMALL_SIDE else PHOTO_BACKBONE

    @model_validator(mode="after")
    def _check(self) -> Self:
        photo = ("min_crop", "policy", "rotation", "color", "blur", "jpeg")
        given = [name for name in photo if getattr(self, name) != type(self).model_fields[name].default]
        if given and self.augment != "photo":
            raise ValueError(f"{given[0]} changes photos only; set augment to 'photo', or leave it out")
        if self.balanced_sampling and self.class_weights:
            raise ValueError(
                "balanced_sampling and class_weights both even out the classes; keep one of them"
            )
        if self.folds in (1, 2):
            raise ValueError(f"folds is {self.folds}; set it to 3 or more, or to 0 for no cross-validation")
        if self.folds and self.processes > 1:
            raise ValueError("folds wants one process; set processes to 1, or folds to 0")
        return self
