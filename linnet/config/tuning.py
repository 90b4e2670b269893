"""Section `tune`: which settings of training `linnet tune` searches, and for how long.

It is no parameter of a pipeline: a search ends in another config, and only that one is run.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from linnet.config.places import Reach
from linnet.config.section import Section
from linnet.config.training import TrainConfig

_FIXED = {"seed", "folds", "device", "processes", "precision", "weights_sha256"}
"""Settings that no search may choose: luck, how it is measured, and where it runs."""
_SEARCHABLE = tuple(
    name
    for name, field in TrainConfig.model_fields.items()
    if name not in _FIXED and not any(isinstance(mark, Reach) for mark in field.metadata)
)


class Range(Section):
    low: float
    """Smallest value that is tried."""
    high: float
    """Largest value that is tried."""
    log: bool = False
    """Search by the logarithm: for what matters by factors, such as a learning rate."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("low must be above 0 where log is set")
        return self


Choice = tuple[float | bool | str, ...]


class TuneConfig(Section):
    trials: int = Field(default=20, ge=1, le=10_000)
    """Trainings that a search takes at most."""
    minutes: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Minutes after which no further trial begins; 0 for no limit."""
    metric: Literal["accuracy", "macro_f1"] = "macro_f1"
    """Validation result that is searched for; with `train.folds` its mean over the folds."""
    prune: bool = True
    """Stop a trial that does worse after an epoch (with `train.folds`: a fold) than half of the earlier ones
    did after that one."""
    space: dict[str, Range | Choice] = Field(default_factory=dict)
    """Settings of `train`, each with the values to choose from, or with `low` and `high`. Empty: a space
    that suits the network."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, values in self.space.items():
            if name not in _SEARCHABLE:
                raise ValueError(
                    f"space names {name!r}, which is not searched; what may be: {', '.join(_SEARCHABLE)}"
                )
            if isinstance(values, Range):
                if TrainConfig.model_fields[name].annotation not in (int, float):
                    raise ValueError(f"space.{name} has low and high, but is no number; list its values")
            elif len(values) < 2:
                raise ValueError(f"space.{name} needs two values or more to choose from")
        return self
