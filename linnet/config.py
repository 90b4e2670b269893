"""The configuration: one frozen, typed, self-validating section a life-cycle step.

A TOML file holds the sections; each becomes one struct parameter of the compiled pipeline, so that
the same values reach a laptop and a cluster. A field's meaning and unit stand under it.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from linnet.errors import ConfigError

Fraction = float  # a share in [0, 1]


class Section(BaseModel):
    """Base of all sections: frozen, keyword-only, strict about types, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def parse(cls, values: dict[str, Any], where: str = "") -> Self:
        """Builds the section from plain values (TOML, or a KFP struct, where 3 arrives as 3.0).

        Raises:
            ConfigError: names `section.field`, the value that was given and the remedy.
        """
        where = where or cls.__name__.removesuffix("Config").lower()
        try:
            return cls.model_validate_json(json.dumps(_integral(values)), strict=True)
        except ValidationError as error:
            raise _explain(cls, where, error) from error
        except (TypeError, ValueError) as error:
            raise ConfigError(where, f"cannot be read: {error}") from error

    def values(self) -> dict[str, Any]:
        """The section as plain JSON values, defaults included."""
        return self.model_dump(mode="json")


class DataConfig(Section):
    kind: Literal["idx", "folder", "manifest"] = "folder"
    """How the raw dataset is laid out: IDX files, one folder a class, or a CSV/Parquet of paths."""
    location: str = "data.dvc"
    """A `.dvc` file that names the dataset by digest, or the path of the raw folder or manifest."""
    revision: str = ""
    """Git revision of the `.dvc` file; empty: as it is in the working tree."""
    classes: tuple[str, ...] = ()
    """Class names in label order; empty: taken from the folders or the manifest, sorted."""
    height: int = Field(default=28, ge=4, le=1024)
    """Height in pixels that every image is resized to."""
    width: int = Field(default=28, ge=4, le=1024)
    """Width in pixels that every image is resized to."""
    color: Literal["gray", "rgb"] = "gray"
    """Colour mode that every image is converted to."""
    validation_fraction: Fraction = Field(default=0.05, gt=0, lt=0.5)
    """Share of the training images held out to choose temperature and to watch training."""
    production_fraction: Fraction = Field(default=0.05, gt=0, lt=0.5)
    """Share of the training images held out to be replayed as traffic during the canary."""
    test_fraction: Fraction = Field(default=0.15, gt=0, lt=0.5)
    """Share held out for the test; used only where the dataset brings no test split of its own."""
    cohorts: tuple[str, ...] = ()
    """Manifest columns whose values are reported as cohorts."""
    captured_at: str = "1970-01-01T00:00:00Z"
    """Capture time (ISO 8601, UTC) of images that carry none; a manifest's `captured_at` wins."""
    max_pixels: int = Field(default=16_777_216, ge=64)
    """Images with more pixels than this are refused before they are decoded."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.classes and len(self.classes) < 2:
            raise ValueError("classes: at least 2 are needed, or none to take them from the data")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a name stands there twice")
        held_out = self.validation_fraction + self.production_fraction + self.test_fraction
        if held_out >= 0.9:
            raise ValueError(f"the held-out fractions add up to {held_out:.2f}; leave some to train on")
        return self


class ValidationConfig(Section):
    min_per_class: int = Field(default=10, ge=1)
    """Fewest training images a class may have."""
    max_imbalance: float = Field(default=20.0, ge=1)
    """Largest allowed ratio between the biggest and the smallest class."""
    max_duplicate_fraction: Fraction = Field(default=0.05, ge=0, le=1)
    """Largest share of raw images that may have been dropped because their pixels came before."""
    min_side: int = Field(default=2, ge=1)
    """Smallest side in pixels that an original image may have."""
    max_class_drift: float = Field(default=0.2, gt=0, le=1)
    """Largest Jensen-Shannon distance (base 2) of the class mix from the last accepted version."""


class LabelsConfig(Section):
    min_agreement: Fraction = Field(default=0.5, ge=0, le=1)
    """Corrections with less agreement among annotators than this are left out."""
    budget: int = Field(default=200, ge=0)
    """How many samples `request_labels` asks people about after a run."""


class FeaturesConfig(Section):
    service: str = "image_classifier_v1"
    """Feast feature service that the model is tied to."""
    online: bool = True
    """Whether features are also materialised to the online store."""
    online_splits: tuple[Literal["train", "validation", "test", "production"], ...] = ("production",)
    """Splits whose samples can be asked for by id while serving; training samples are not."""


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


class EvaluationConfig(Section):
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Level of every interval."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap resamples for metrics that have no closed interval."""
    calibration_bins: int = Field(default=15, ge=2)
    """Equal-mass bins of the expected calibration error."""
    seed: int = Field(default=0, ge=0)
    """Seed of the bootstrap."""


class GatesConfig(Section):
    min_accuracy: Fraction = Field(default=0.80, ge=0, le=1)
    """The lower confidence bound of test accuracy must reach this."""
    min_macro_f1: Fraction = Field(default=0.75, ge=0, le=1)
    """The lower confidence bound of macro F1 must reach this."""
    min_worst_recall: Fraction = Field(default=0.5, ge=0, le=1)
    """The recall of the worst class must reach this."""
    min_auc: Fraction = Field(default=0.9, ge=0, le=1)
    """The lower bound of the macro one-against-rest AUC must reach this."""
    max_ece: Fraction = Field(default=0.05, ge=0, le=1)
    """Expected calibration error after temperature scaling may be at most this."""
    max_cohort_gap: Fraction = Field(default=0.25, ge=0, le=1)
    """Largest distance of a non-class cohort's accuracy below the overall accuracy."""
    min_cohort_samples: int = Field(default=30, ge=1)
    """Cohorts with fewer test samples are shown and not judged, unless none is larger."""
    non_inferiority_margin: Fraction = Field(default=0.01, ge=0, le=1)
    """The candidate may be worse than the champion by less than this (paired, lower bound)."""
    min_parity: Fraction = Field(default=0.999, ge=0, le=1)
    """Share of test images on which the packaged model must name the same top class as torch."""
    max_latency_p95_ms: float = Field(default=50.0, gt=0)
    """p95 of single-image requests to the packaged model in the real server, in milliseconds."""
    max_size_mb: float = Field(default=100.0, gt=0)
    """Size of the packaged model in megabytes."""


class ReleaseConfig(Section):
    steps: tuple[int, ...] = (1, 5, 25, 50, 100)
    """Percent of traffic that goes to the candidate, a step each; rising, ending in 100. The step
    before 100 lasts until everything is proven, so it should be a large one."""
    rate: float = Field(default=200.0, gt=0, le=5000)
    """Requests a second that the replayer sends."""
    min_requests: int = Field(default=30, ge=1)
    """Fewest requests that the candidate computed in a step before the next may begin."""
    deadline_seconds: float = Field(default=60.0, gt=0)
    """A step that is still inconclusive after this long is rolled back."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Bound on the probability of rolling back a candidate that is no worse, over all looks."""
    mirror: Fraction = Field(default=0.5, ge=0, le=1)
    """Share of requests that the version that does not answer them computes too, to be compared."""
    bake_seconds: float = Field(default=2.0, ge=0)
    """Shortest time that a step lasts."""
    look_seconds: float = Field(default=0.25, gt=0)
    """Time between two looks of the judge; its error bound holds however often it looks."""
    max_error_increase: Fraction = Field(default=0.005, gt=0, le=1)
    """Non-inferiority margin of the error rate; without a champion the largest error rate."""
    max_latency_ratio: float = Field(default=2.0, gt=1)
    """The candidate's median and p95 latency may be at most this many times the champion's."""
    median_floor_ms: float = Field(default=1.0, ge=0)
    """A median that is longer by less than this many milliseconds is never held against a candidate."""
    latency_floor_ms: float = Field(default=5.0, ge=0)
    """A p95 that is longer by less than this many milliseconds is never held against a candidate."""
    first_latency_p95_ms: float = Field(default=50.0, gt=0)
    """Without a champion: p95 latency that is accepted at least, whatever the package measured alone."""
    min_agreement: Fraction = Field(default=0.7, ge=0, le=1)
    """Share of mirrored requests on which candidate and champion must name the same class."""
    max_accuracy_drop: Fraction = Field(default=0.05, gt=0, le=1)
    """Accuracy on the replayed, labelled images may be lower by less than this."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        rising = all(a < b for a, b in zip(self.steps, self.steps[1:], strict=False))
        if not self.steps or not rising or self.steps[0] < 1 or self.steps[-1] != 100:
            raise ValueError("steps: must rise from at least 1 to exactly 100, such as [1, 25, 100]")
        return self


class ServingConfig(Section):
    host: str = "127.0.0.1"
    """Address the server binds to."""
    port: int = Field(default=8090, ge=0, le=65535)
    """Port the server binds to; 0 takes a free one."""
    threads: int = Field(default=0, ge=0)
    """ONNX Runtime threads a session; 0: as many as there are cores."""
    max_body_mb: float = Field(default=8.0, gt=0)
    """Largest request body in megabytes."""
    max_pixels: int = Field(default=16_777_216, ge=64)
    """Uploaded images with more pixels are refused before they are decoded."""
    log_images: Fraction = Field(default=0.0, ge=0, le=1)
    """Share of requests whose input image is kept in the prediction log."""
    log_queue: int = Field(default=10_000, ge=1)
    """Log records that may wait to be written; more are dropped, and counted."""


class RegistryConfig(Section):
    tracking_uri: str = ""
    """MLflow tracking and registry URI; empty: SQLite in the local state folder."""
    model: str = ""
    """Registered model's name; empty: the config's name."""


SECTIONS: dict[str, type[Section]] = {
    "data": DataConfig,
    "validation": ValidationConfig,
    "labels": LabelsConfig,
    "features": FeaturesConfig,
    "train": TrainConfig,
    "evaluation": EvaluationConfig,
    "gates": GatesConfig,
    "release": ReleaseConfig,
    "serving": ServingConfig,
    "registry": RegistryConfig,
}


class Config(Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    """Name of the use case: lower-case letters, digits, `-` and `_`; also the model's name."""
    data: DataConfig = DataConfig()
    validation: ValidationConfig = ValidationConfig()
    labels: LabelsConfig = LabelsConfig()
    features: FeaturesConfig = FeaturesConfig()
    train: TrainConfig = TrainConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gates: GatesConfig = GatesConfig()
    release: ReleaseConfig = ReleaseConfig()
    serving: ServingConfig = ServingConfig()
    registry: RegistryConfig = RegistryConfig()


def load_config(path: Path, overrides: dict[str, Any] | None = None) -> Config:
    """Reads a TOML config; `overrides` maps `section.field` to a value that wins.

    Raises:
        ConfigError: the file is missing, is not TOML, or a setting is wrong.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(str(path), "no such file", "see `linnet init --help`") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"is not TOML: {error}") from error
    for key, value in (overrides or {}).items():
        section, dot, field = key.partition(".")
        if not dot:
            raise ConfigError(key, "is not of the form section.field=value", "such as train.epochs=3")
        raw.setdefault(section, {})[field] = value
    return parse_config(raw, str(path))


def parse_config(raw: dict[str, Any], where: str = "config") -> Config:
    """Builds a config from plain values; errors name `section.field`."""
    for key, value in raw.items():
        if key in SECTIONS and not isinstance(value, dict):
            raise ConfigError(key, f"must be a table, not {value!r}", f"write it as [{key}]")
    sections = {key: value for key, value in raw.items() if key in SECTIONS}
    return Config.parse({**raw, **parse_sections(sections)}, where)


def parse_sections(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Checks sections and gives them as plain JSON values, defaults included."""
    return {key: SECTIONS[key].parse(value, key).values() for key, value in sections.items()}


def _integral(value: Any) -> Any:
    """Undoes what protobuf structs do to integers: 3.0 becomes 3 again (a float field takes both)."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _integral(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_integral(item) for item in value]
    return value


def _explain(model: type[Section], where: str, error: ValidationError) -> ConfigError:
    """Turns the first of pydantic's complaints into one sentence with the remedy."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    full = f"{where}.{field}" if field else where
    known = sorted(model.model_fields)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(field, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
        return ConfigError(full, "unknown key", remedy)
    if first["type"] == "missing":
        return ConfigError(full, "is missing", "add it to the config")
    problem = first["msg"].removeprefix("Value error, ")
    if not field:
        return ConfigError(full, problem)
    described = model.model_fields[field.split(".")[0]].description if field else None
    return ConfigError(full, f"{problem}, but it is {first['input']!r}", described or "")
